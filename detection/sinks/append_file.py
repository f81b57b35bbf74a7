"""Lines added to a file that other processes may be adding to as well.

Each adds its lines at the end while it holds the file's lock, all of them or none. Nothing that
stands before them is read or written again, however large the file is.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from errno import EWOULDBLOCK
from pathlib import Path

import orjson

from detection.atomic_files import READ_AND_ADD, is_at, sync_folder

LOCK_TIMEOUT_S = 60.0  # seconds to wait for others that add to the file
LOCK_RETRY_S = 0.02
WRITE_BYTES = 1_000_000  # bytes that are written, or looked through, in one call


def append_lines(path: Path, lines: Iterable[bytes], *, patience: float = LOCK_TIMEOUT_S) -> None:
    """Add whole lines at the end of a file, which is made if it is not there.

    A row that a killed process left unfinished there is cut off first. Raises OSError if the lines
    cannot be written, after taking back what was, or if others keep the file for too long.
    """
    with _locked(path, time.monotonic() + patience) as handle:
        size, before = _end_of(handle)
        try:
            for piece in _pieces(before, lines):
                _write(handle, piece)
            os.fsync(handle)
        except BaseException:
            os.ftruncate(handle, size)
            raise


@contextlib.contextmanager
def _locked(path: Path, until: float) -> Iterator[int]:
    """Open the file that is at `path` once it is this process's turn."""
    while True:
        new = not path.exists()
        handle = os.open(path, READ_AND_ADD | os.O_CREAT, 0o666)
        try:
            _lock(handle, until)
            if is_at(handle, path):  # else it was replaced meanwhile
                if new:
                    sync_folder(path.parent)
                yield handle
                return
        finally:
            os.close(handle)


def _lock(handle: int, until: float) -> None:
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise OSError(EWOULDBLOCK, "another run is writing it and does not end") from None
        time.sleep(LOCK_RETRY_S)


def _end_of(handle: int) -> tuple[int, bytes]:
    """Return where the next line may begin, and what is to be written before it.

    The last line may lack its end. The beginning of a row is cut off: the run that wrote it was
    killed, and what it had to write is written again. Anything else is ended.
    """
    size = os.fstat(handle).st_size
    start = _start_of_last_line(handle, size)
    if start == size:
        return size, b""
    if os.pread(handle, 1, start) == b"{" and not _is_json(os.pread(handle, size - start, start)):
        os.ftruncate(handle, start)
        return start, b""
    return size, b"\n"


def _start_of_last_line(handle: int, size: int) -> int:
    """Return the place after the last line break, by looking through the file from its end."""
    place = size
    while place:
        length = min(WRITE_BYTES, place)
        place -= length
        found = os.pread(handle, length, place).rfind(b"\n")
        if found >= 0:
            return place + found + 1
    return 0


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except ValueError:
        return False
    return True


def _pieces(before: bytes, lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines some at a time: all together they may be hundreds of megabytes."""
    held = bytearray(before)
    for line in lines:
        held += line
        if len(held) >= WRITE_BYTES:
            yield bytes(held)
            held.clear()
    yield bytes(held)


def _write(handle: int, piece: bytes) -> None:
    left = memoryview(piece)
    while left:
        left = left[os.write(handle, left) :]
