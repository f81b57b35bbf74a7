"""Findings or run records as JSON Lines: on a stream, or in a file whose lines are whole rows."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import orjson

from detection.atomic_files import replace, writable
from detection.outbox import Outbox, Row
from detection.sinks.append_file import append_lines
from detection.sinks.failures import as_delivery_error

SelectRows = Callable[[Outbox], Sequence[Row]]


class JsonLinesStream:
    """Writes the picked rows to standard output, a line each."""

    def __init__(self, stream: BinaryIO, pick: SelectRows) -> None:
        self._stream = stream
        self._pick = pick

    def deliver(self, outbox: Outbox) -> None:
        """Write and flush; raises SystemExit where nobody reads any more."""
        with as_delivery_error(
            "standard output", "free space or redirect it elsewhere, and run again"
        ):
            for line in _lines(self._pick(outbox)):
                self._stream.write(line)
            self._stream.flush()


class JsonLinesFile:
    """Adds the picked rows to a file, each time all of them or none.

    With `append`, rows already in the file stay; without, the first delivery starts it anew.
    """

    def __init__(self, path: Path, pick: SelectRows, *, append: bool) -> None:
        """Raise UsageError now if the file cannot be written later."""
        self._path = writable(path, append=append)
        self._pick = pick
        self._append = append

    def deliver(self, outbox: Outbox) -> None:
        """Write the rows down before returning; without any, the file is only made."""
        with as_delivery_error(str(self._path), "free space or make it writable, and run again"):
            rows = self._pick(outbox)
            if not self._append:
                replace(self._path, _lines(rows))
            elif rows or not self._path.exists():
                append_lines(self._path, _lines(rows))
        self._append = True


def _lines(rows: Sequence[Row]) -> Iterator[bytes]:
    """Yield the rows one by one: all together they may be hundreds of megabytes.

    What cannot be seen is escaped, as a terminal may show the line: the JSON stays the same.
    """
    for row in rows:
        text = orjson.dumps(row).decode()
        if not text.isprintable():
            text = "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
        yield text.encode() + b"\n"
