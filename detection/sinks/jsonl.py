"""Findings or run records as JSON Lines: on a stream, or in a file that is always whole."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import orjson

from detection.errors import DeliveryError
from detection.outbox import Outbox, Row
from detection.sinks.files import replace, writable

Pick = Callable[[Outbox], Sequence[Row]]


class JsonLinesStream:
    """Writes the picked rows to a stream, a line each."""

    def __init__(self, stream: BinaryIO, pick: Pick) -> None:
        self._stream = stream
        self._pick = pick

    def deliver(self, outbox: Outbox) -> None:
        """Write and flush."""
        try:
            for line in _lines(self._pick(outbox)):
                self._stream.write(line)
            self._stream.flush()
        except OSError as error:
            raise DeliveryError(f"standard output took no more: {error.strerror}") from error


class JsonLinesFile:
    """Keeps the picked rows in a file, which is replaced as a whole at each delivery.

    With `append`, rows already in the file stay; without, the first delivery starts it anew.
    """

    def __init__(self, path: Path, pick: Pick, *, append: bool) -> None:
        """Raise UsageError now if the file cannot be written later."""
        self._path = writable(path)
        self._pick = pick
        self._append = append

    def deliver(self, outbox: Outbox) -> None:
        """Put the old rows and the new ones in place of the file."""
        try:
            self._replace(self._pick(outbox))
        except OSError as error:
            raise DeliveryError(f"{self._path} could not be written: {error.strerror}") from error
        self._append = True

    def _replace(self, rows: Sequence[Row]) -> None:
        if self._append and not rows and self._path.exists():
            return
        kept = b""
        if self._append and self._path.exists():
            kept = _whole_lines(self._path.read_bytes())
        replace(self._path, chain([kept], _lines(rows)))


def _lines(rows: Sequence[Row]) -> Iterator[bytes]:
    """Yield the rows one by one: all together they may be hundreds of megabytes."""
    for row in rows:
        yield orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def _whole_lines(content: bytes) -> bytes:
    """Return a file's content ready for another line."""
    return content + b"\n" if content and not content.endswith(b"\n") else content
