"""Findings or run records as JSON Lines: on a stream, or in a file that is always whole."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import orjson

from detection.errors import DeliveryError, UsageError
from detection.rule.ledger import Outbox, Row

Pick = Callable[[Outbox], Sequence[Row]]


class JsonLinesStream:
    """Writes the picked rows to a stream, a line each."""

    def __init__(self, stream: BinaryIO, pick: Pick) -> None:
        self._stream = stream
        self._pick = pick

    def deliver(self, outbox: Outbox) -> None:
        """Write and flush."""
        try:
            self._stream.writelines(_lines(self._pick(outbox)))
            self._stream.flush()
        except OSError as error:
            raise DeliveryError(f"standard output took no more: {error.strerror}") from error


class JsonLinesFile:
    """Keeps the picked rows in a file, which is replaced as a whole at each delivery.

    With `append`, rows already in the file stay; without, the first delivery starts it anew.
    """

    def __init__(self, path: Path, pick: Pick, *, append: bool) -> None:
        """Raise UsageError now if the file cannot be written later."""
        self._path = path = path.resolve()  # a symbolic link stays one
        self._pick = pick
        self._append = append
        if path.exists() and not path.is_file():
            raise UsageError(f"{path} is not a file: name a file to write to")
        try:
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            os.close(handle)
            Path(name).unlink()
        except OSError as error:
            raise UsageError(
                f"{path} cannot be written ({error.strerror}): name a file in a folder that "
                "exists and that you may write to"
            ) from error

    def deliver(self, outbox: Outbox) -> None:
        """Put the old rows and the new ones in place of the file."""
        try:
            self._replace(self._pick(outbox))
        except OSError as error:
            raise DeliveryError(f"{self._path} could not be written: {error.strerror}") from error
        self._append = True

    def _replace(self, added: Sequence[Row]) -> None:
        if self._append and not added and self._path.exists():
            return
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
        whole = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                if self._append and self._path.exists():
                    file.write(_whole_lines(self._path.read_bytes()))
                file.writelines(_lines(added))
                file.flush()
                os.fsync(file.fileno())
            if self._path.exists():
                shutil.copymode(self._path, whole)
            else:
                whole.chmod(0o666 & ~_umask())
            whole.replace(self._path)
        except BaseException:
            whole.unlink()
            raise


def _lines(rows: Sequence[Row]) -> Iterator[bytes]:
    """Yield a line for each row: together they may be larger than the logs."""
    for row in rows:
        yield orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def _whole_lines(content: bytes) -> bytes:
    """Return a file's content ready for another line."""
    return content + b"\n" if content and not content.endswith(b"\n") else content


def _umask() -> int:
    """Return the process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
