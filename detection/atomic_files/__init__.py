"""Atomic file writes, and the removal of temporary files of killed processes."""

import contextlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from detection.atomic_files.system import (
    READ_APPEND_FLAGS,
    RENAMES_OPEN_FILES,
    lock_if_possible,
    remove_unlocked,
    sync_folder,
)
from detection.errors import UsageError


def resolve_writable(path: Path, *, append: bool = False) -> Path:
    """Return the file behind a path; raise UsageError now if it cannot be written later.

    With `append`, checks that lines can be appended, else that the file can be replaced. Removes
    temporary files of killed runs.
    """
    try:
        exists = _is_file(path)
        path = Path(os.path.realpath(path))  # so that a symbolic link is not replaced by a file
        remove_leftovers(path.parent, _temporary_prefix(path))
        if exists and append:
            os.close(os.open(path, READ_APPEND_FLAGS))
        else:
            with unfinished(path.parent, _temporary_prefix(path)):
                pass
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written ({error.strerror}): name a file in a folder that "
            "exists and that you may write to"
        ) from error
    return path


def replace_file(path: Path, parts: Iterable[bytes]) -> None:
    """Replace the file's content atomically; raises OSError."""
    with unfinished(path.parent, _temporary_prefix(path)) as (file, temporary):
        file.writelines(parts)
        file.flush()
        if path.exists():
            shutil.copymode(path, temporary)
        else:
            temporary.chmod(0o666 & ~_umask())
        os.fsync(file.fileno())
        move_finished(file, temporary, path)
    sync_folder(path.parent)


def move_finished(file: BinaryIO, temporary: Path, path: Path) -> None:
    """Give a file of unfinished() the name `path`, also if another file has it; raises OSError.

    On POSIX the file is still locked then, so that no other process removes it meanwhile.
    """
    if not RENAMES_OPEN_FILES:
        file.close()
    temporary.replace(path)


@contextlib.contextmanager
def unfinished(folder: Path, prefix: str) -> Iterator[tuple[BinaryIO, Path]]:
    """Yield a new temporary file, open for writing, and its path; remove that path at the end.

    The file stays locked while it is open. remove_leftovers() removes only unlocked files, which
    killed processes have left.
    """
    handle, path = _create_locked(folder, prefix)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file, path
    finally:
        path.unlink(missing_ok=True)


def remove_leftovers(folder: Path, prefix: str) -> None:
    """Remove the temporary files of killed processes; ignores files that cannot be removed."""
    left = re.compile(re.escape(prefix) + "[a-z0-9_]{8}", re.ASCII)  # as mkstemp() names them
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if left.fullmatch(path.name):
                with contextlib.suppress(OSError):
                    remove_unlocked(path)


def is_at(handle: int, path: Path) -> bool:
    """Return True if a path still names this open file."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _is_file(path: Path) -> bool:
    """Return True if a file exists; raises UsageError if the path names anything else."""
    try:
        mode = path.stat().st_mode  # follows links, such as /dev/stdout
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(mode):
        raise UsageError(f"{path} is not a file: name a file to write to")
    return True


def _temporary_prefix(path: Path) -> str:
    """Return the prefix of a file's temporary names."""
    return f".{path.name}.unfinished-"


def _create_locked(folder: Path, prefix: str) -> tuple[int, Path]:
    while True:
        handle, name = tempfile.mkstemp(dir=folder, prefix=prefix)
        lock_if_possible(handle)  # without locks, remove_leftovers() removes nothing
        if is_at(handle, Path(name)):
            return handle, Path(name)
        os.close(handle)  # another process removed it before it was locked


def _umask() -> int:
    """Return the process's umask; the system only returns it to a process that sets it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
