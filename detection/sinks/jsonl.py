"""Writes findings or run records as JSON Lines to a stream or a file."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import orjson

from detection.atomic_files import replace_file, resolve_writable
from detection.outbox import Outbox, Row
from detection.sinks.append_file import append_lines
from detection.sinks.failures import as_delivery_error

SelectRows = Callable[[Outbox], Sequence[Row]]


class JsonLinesStream:
    """Writes the selected rows to standard output, one per line."""

    def __init__(self, stream: BinaryIO, select: SelectRows) -> None:
        self._stream = stream
        self._select = select

    def deliver(self, outbox: Outbox) -> None:
        """Write and flush; raises SystemExit if the pipe is closed."""
        with as_delivery_error(
            "standard output", "free space or redirect it to another place, and run again"
        ):
            for line in _lines(self._select(outbox)):
                self._stream.write(line)
            self._stream.flush()


class JsonLinesFile:
    """Appends the selected rows to a file, in each delivery all of them or none.

    With `append`, rows already in the file stay; without, the first delivery replaces the file.
    """

    def __init__(self, path: Path, select: SelectRows, *, append: bool) -> None:
        """Raise UsageError now if the file cannot be written later."""
        self._path = resolve_writable(path, append=append)
        self._select = select
        self._append = append

    def deliver(self, outbox: Outbox) -> None:
        """Write the rows to disk; without rows, only create the file."""
        with as_delivery_error(str(self._path), "free space or make it writable, and run again"):
            rows = self._select(outbox)
            if not self._append:
                replace_file(self._path, _lines(rows))
            elif rows or not self._path.exists():
                append_lines(self._path, _lines(rows))
        self._append = True


def _lines(rows: Sequence[Row]) -> Iterator[bytes]:
    """Yield the rows one by one: together they may be hundreds of megabytes.

    Invisible characters are escaped, because a terminal may show the line. The JSON value is the
    same.
    """
    for row in rows:
        text = orjson.dumps(row).decode()
        if not text.isprintable():
            text = "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
        yield text.encode() + b"\n"
