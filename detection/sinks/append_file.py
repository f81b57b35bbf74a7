"""Appends lines to a file that other processes may append to as well.

Each process holds the file's lock and appends all of its lines or none. Earlier content is neither
read nor rewritten, however large the file is.
"""

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from errno import EWOULDBLOCK
from pathlib import Path

import orjson

from detection.atomic_files import is_at
from detection.atomic_files.system import READ_APPEND_FLAGS, read_at, sync_folder, try_lock

LOCK_TIMEOUT_S = 60.0  # seconds to wait while other processes append to the file
LOCK_RETRY_S = 0.02
WRITE_BYTES = 1_000_000  # bytes written, or searched, in one call


def append_lines(path: Path, lines: Iterable[bytes], *, timeout: float = LOCK_TIMEOUT_S) -> None:
    """Append whole lines to a file; create it if it does not exist.

    First removes an incomplete row that a killed process left at the end. Raises OSError if the
    lines cannot be written, after it has removed those already written, or if other processes hold
    the lock for longer than `timeout` seconds.
    """
    with _open_locked(path, time.monotonic() + timeout) as handle:
        size, prefix = _prepare_end(handle)
        try:
            for chunk in _in_chunks(prefix, lines):
                _write(handle, chunk)
            os.fsync(handle)
        except BaseException:
            os.ftruncate(handle, size)
            raise


@contextlib.contextmanager
def _open_locked(path: Path, deadline: float) -> Iterator[int]:
    """Yield the file at `path`, opened and locked; waits for the lock until `deadline`."""
    while True:
        new = not path.exists()
        handle = os.open(path, READ_APPEND_FLAGS | os.O_CREAT, 0o666)
        try:
            _acquire_lock(handle, deadline)
            if is_at(handle, path):  # else another process replaced the file: open the new one
                if new:
                    sync_folder(path.parent)
                yield handle
                return
        finally:
            os.close(handle)


def _acquire_lock(handle: int, deadline: float) -> None:
    while not try_lock(handle):
        if time.monotonic() > deadline:
            raise OSError(EWOULDBLOCK, "another run keeps it locked")
        time.sleep(LOCK_RETRY_S)


def _prepare_end(handle: int) -> tuple[int, bytes]:
    """Return the position for new lines, and the bytes to write before them.

    The last line may lack its line break. If it is an incomplete row, a killed run left it there,
    and its rows are delivered again: it is removed. Any other line gets its line break.
    """
    size = os.fstat(handle).st_size
    start = _start_of_last_line(handle, size)
    if start == size:
        return size, b""
    if read_at(handle, 1, start) == b"{" and not _is_json(read_at(handle, size - start, start)):
        os.ftruncate(handle, start)
        return start, b""
    return size, b"\n"


def _start_of_last_line(handle: int, size: int) -> int:
    """Return the position after the last line break; reads the file backwards from its end."""
    position = size
    while position:
        length = min(WRITE_BYTES, position)
        position -= length
        found = read_at(handle, length, position).rfind(b"\n")
        if found >= 0:
            return position + found + 1
    return 0


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except ValueError:
        return False
    return True


def _in_chunks(prefix: bytes, lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines in chunks of WRITE_BYTES: together they may be hundreds of megabytes."""
    buffer = bytearray(prefix)
    for line in lines:
        buffer += line
        if len(buffer) >= WRITE_BYTES:
            yield bytes(buffer)
            buffer.clear()
    yield bytes(buffer)


def _write(handle: int, chunk: bytes) -> None:
    remaining = memoryview(chunk)
    while remaining:
        remaining = remaining[os.write(handle, remaining) :]
