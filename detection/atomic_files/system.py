"""The calls on files that differ between Windows and other systems.

On Windows a lock covers a byte far behind the end of the file, since it would keep other processes
from reading what it covers. An open file can be neither renamed nor removed there, and a folder
cannot be flushed.
"""

import contextlib
import errno
import os
import sys
from pathlib import Path
from typing import Final

RENAMES_OPEN_FILES: Final = sys.platform != "win32"

if sys.platform == "win32":
    import msvcrt

    # Without O_BINARY, Windows would write each line break as two characters.
    READ_APPEND_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_BINARY
    _LOCKED_BYTE: Final = 2**31 - 2  # the C runtime below msvcrt takes positions of 31 bits

    def try_lock(handle: int) -> bool:
        """Lock an open file until it is closed; return False if another process holds the lock.

        Moves the file's position to its start. Raises OSError if the file system has no locks.
        """
        os.lseek(handle, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        finally:
            os.lseek(handle, 0, os.SEEK_SET)
        return True

    def remove_unlocked(path: Path) -> None:
        """Remove a file that no process has open; raises OSError."""
        path.unlink()

    def sync_folder(folder: Path) -> None:
        """Do nothing: Windows has no call for it."""

else:
    import fcntl

    READ_APPEND_FLAGS: Final = os.O_RDWR | os.O_APPEND

    def try_lock(handle: int) -> bool:
        """Lock an open file until it is closed; return False if another process holds the lock.

        Raises OSError if the file system has no locks.
        """
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def remove_unlocked(path: Path) -> None:
        """Remove a file that no process has locked; raises OSError."""
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if try_lock(handle):
                path.unlink()
        finally:
            os.close(handle)

    def sync_folder(folder: Path) -> None:
        """Flush a folder's entries to disk, so that they survive a power loss; raises OSError."""
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno != errno.EINVAL:  # the file system cannot flush folders
                raise
        finally:
            os.close(handle)


def read_at(handle: int, length: int, position: int) -> bytes:
    """Return up to `length` bytes of an open file from a position on; moves the file's position."""
    os.lseek(handle, position, os.SEEK_SET)
    return os.read(handle, length)


def lock_if_possible(handle: int) -> None:
    """Lock a file that nobody else knows yet; a file system without locks is no error."""
    with contextlib.suppress(OSError):
        try_lock(handle)
