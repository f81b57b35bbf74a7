"""Writes findings or run records as JSON Lines to a file, to which later runs may append."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from detection.atomic_files import replace_file, resolve_writable
from detection.outbox import Outbox, Row
from detection.sinks.append_file import append_lines
from detection.sinks.failures import as_delivery_error
from detection.sinks.row_formats import JsonLines, encoded
from detection.sinks.row_outputs import SelectRows


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
    """Yield the rows one by one: together they may be hundreds of megabytes."""
    return encoded(JsonLines(), rows)
