"""Files that appear whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from detection.errors import UsageError


def writable(path: Path) -> Path:
    """Return the file behind a path; raise UsageError now if it cannot be written later."""
    path = path.resolve()  # a symbolic link stays one
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
    return path


def replace(path: Path, parts: Iterable[bytes]) -> None:
    """Put the parts in place of the file, as a whole; raises OSError."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    whole = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, whole)
        else:
            whole.chmod(0o666 & ~_umask())
        whole.replace(path)
    except BaseException:
        whole.unlink()
        raise


def _umask() -> int:
    """Return the process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
