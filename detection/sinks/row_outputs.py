"""Writes rows to standard output as they come, or to a file at the end of the run."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from detection.atomic_files import replace_file, resolve_writable
from detection.outbox import Outbox, PendingRows, Row, pending
from detection.sinks.failures import as_delivery_error, standard_output_errors
from detection.sinks.row_formats import RowFormat

SelectRows = Callable[[Outbox], Sequence[Row]]


class RowStream:
    """A FindingSink that writes the selected rows to standard output in one form."""

    def __init__(self, stream: BinaryIO, select: SelectRows, form: RowFormat) -> None:
        self._stream = stream
        self._select = select
        self._form = form
        self._written = -1  # rows; -1 before the beginning

    def deliver(self, outbox: Outbox) -> None:
        """Write and flush; raises SystemExit if the pipe is closed."""
        self._write(self._select(outbox))

    def close(self, *, failed: bool) -> None:
        """Write the end; after a failure before the first delivery, write nothing."""
        if failed and self._written < 0:
            return
        self._write([])
        self._put(self._form.end(is_empty=self._written == 0))

    def _write(self, rows: Iterable[Row]) -> None:
        if self._written < 0:
            self._put(self._form.begin())
            self._written = 0
        with standard_output_errors():
            for row in rows:
                text = self._form.row(row, is_first=self._written == 0)
                self._stream.write(text.encode())
                self._written += 1
            self._stream.flush()

    def _put(self, text: str) -> None:
        with standard_output_errors():
            self._stream.write(text.encode())
            self._stream.flush()


class RowFile:
    """A FindingSink that replaces a file by all selected rows at the end of the run."""

    def __init__(
        self,
        path: Path,
        select: SelectRows,
        written: Callable[[Sequence[Row]], Iterable[bytes]],
    ) -> None:
        """`written`: from the rows to the content of the file.

        Raises UsageError now if the file cannot be written later.
        """
        self._path = resolve_writable(path)
        self._select = select
        self._written = written
        self._rows: PendingRows[Row] | None = None  # None before the first delivery

    def deliver(self, outbox: Outbox) -> None:
        """Keep the rows."""
        self._rows = (self._rows or PendingRows()).followed_by(pending(self._select(outbox)))

    def close(self, *, failed: bool) -> None:
        """Write the file; after a failure before the first delivery, leave it as it was."""
        if failed and self._rows is None:
            return
        with as_delivery_error(str(self._path), "free space or make it writable, and run again"):
            replace_file(self._path, self._written(self._rows or PendingRows()))
