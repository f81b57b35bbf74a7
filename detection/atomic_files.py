"""Files that appear whole or not at all, and what killed processes have left of such files."""

import contextlib
import errno
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from detection.errors import UsageError

READ_AND_ADD = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC


def writable(path: Path, *, append: bool = False) -> Path:
    """Return the file behind a path; raise UsageError now if it cannot be written later.

    With `append` it is going to be added to, else replaced. What killed runs have left of it is
    removed.
    """
    try:
        there = _is_file(path)
        path = Path(os.path.realpath(path))  # a symbolic link stays one
        remove_leftovers(path.parent, _prefix(path))
        if there and append:
            os.close(os.open(path, READ_AND_ADD))
        else:
            with unfinished(path.parent, _prefix(path)):
                pass
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written ({error.strerror}): name a file in a folder that "
            "exists and that you may write to"
        ) from error
    return path


def replace(path: Path, parts: Iterable[bytes]) -> None:
    """Put the parts in place of the file, as a whole; raises OSError."""
    with unfinished(path.parent, _prefix(path)) as (file, whole):
        file.writelines(parts)
        file.flush()
        if path.exists():
            shutil.copymode(path, whole)
        else:
            whole.chmod(0o666 & ~_umask())
        os.fsync(file.fileno())
        whole.replace(path)
    sync_folder(path.parent)


@contextlib.contextmanager
def unfinished(folder: Path, prefix: str) -> Iterator[tuple[BinaryIO, Path]]:
    """Give a new file to write and its name, which is gone at the end, renamed or not.

    It is locked while it is written: that is how remove_leftovers() tells it from one whose
    process was killed.
    """
    handle, path = _new_and_locked(folder, prefix)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file, path
    finally:
        path.unlink(missing_ok=True)


def remove_leftovers(folder: Path, prefix: str) -> None:
    """Remove the unfinished files of processes that are gone, as far as possible."""
    left = re.compile(re.escape(prefix) + "[a-z0-9_]{8}", re.ASCII)  # as mkstemp() names them
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if left.fullmatch(path.name):
                _remove_unlocked(path)


def sync_folder(folder: Path) -> None:
    """Make what was named in a folder survive a loss of power; raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that has no such thing
            raise
    finally:
        os.close(handle)


def is_at(handle: int, path: Path) -> bool:
    """Whether an open file is still the one that a path names."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _is_file(path: Path) -> bool:
    """Whether something is there; raises UsageError if it is no file."""
    try:
        mode = path.stat().st_mode  # of what links lead to, the standard output's among them
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(mode):
        raise UsageError(f"{path} is not a file: name a file to write to")
    return True


def _prefix(path: Path) -> str:
    """Return how the names of a file's unfinished versions begin."""
    return f".{path.name}.unfinished-"


def _new_and_locked(folder: Path, prefix: str) -> tuple[int, Path]:
    while True:
        handle, name = tempfile.mkstemp(dir=folder, prefix=prefix)
        with contextlib.suppress(OSError):  # without locks, nothing is ever taken for left over
            fcntl.flock(handle, fcntl.LOCK_EX)
        if is_at(handle, Path(name)):
            return handle, Path(name)
        os.close(handle)  # taken for left over between its making and its lock


def _remove_unlocked(path: Path) -> None:
    """Remove a file whose writer holds no lock any more."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        finally:
            os.close(handle)


def _umask() -> int:
    """Return the process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
