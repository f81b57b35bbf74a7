"""State in a local folder, one file a version.

A version is written beside the others and put in place by a hard link, which fails if that version
exists: of two overlapping runs one wins, and a run killed while writing leaves the last version
as it was. No lock is held, so none can be left behind.
"""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from detection.errors import StateConflict, StateError, UsageError
from detection.state import State, Tag
from detection.state.codec import decode, pieces

_VERSION = re.compile(r"state-(\d{10})\.json", re.ASCII)


class FolderStore:
    """A StateStore whose tag is the number of the version it read."""

    remembers: Final = True

    def __init__(self, folder: Path, *, create: bool = True) -> None:
        """Use `folder`, created on request; raises UsageError if that is impossible."""
        self._folder = folder
        try:
            if create:
                folder.mkdir(parents=True, exist_ok=True)
            elif folder.exists() and not folder.is_dir():
                raise NotADirectoryError(None, "Not a directory")
        except OSError as error:
            raise UsageError(
                f"--state-dir {folder} cannot be used ({error.strerror}): name a folder that you "
                "may write to"
            ) from error

    def load(self) -> tuple[State, Tag]:
        """Return the newest version."""
        for _ in range(10):
            version = max(self._versions(), default=0)
            if version == 0:
                return State(), "0"
            path = self._path(version)
            try:
                return decode(path.read_bytes(), str(path)), str(version)
            except FileNotFoundError:
                continue  # a newer version took its place while we looked
            except OSError as error:
                raise StateError(f"{path} cannot be read: {error.strerror}") from error
        raise StateConflict(f"{self._folder} changes too fast: is another run working on it?")

    def save(self, state: State, tag: Tag) -> Tag:
        """Write the next version and remove older ones."""
        version = int(tag) + 1
        path = self._path(version)
        try:
            self._link(pieces(state), path)
            # A version that was removed could be linked again by a run that had read the one
            # before it: a newer one is there then.
            if max(self._versions()) > version:
                path.unlink(missing_ok=True)
                raise FileExistsError
        except FileExistsError:
            raise StateConflict(
                f"another run wrote {self._folder} first; this one delivered nothing more"
            ) from None
        except OSError as error:
            raise StateError(f"{path} cannot be written: {error.strerror}") from error
        for older in self._versions():
            if older < version:
                with contextlib.suppress(OSError):
                    self._path(older).unlink()
        return str(version)

    def _link(self, body: Iterable[bytes], path: Path) -> None:
        """Put `body` at `path`, whole, on disk, and only if nothing is there."""
        handle, name = tempfile.mkstemp(dir=self._folder, prefix=".state-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.writelines(body)
                file.flush()
                os.fsync(file.fileno())
            os.link(name, path)
        finally:
            Path(name).unlink()

    def _versions(self) -> list[int]:
        try:
            names = [_VERSION.fullmatch(path.name) for path in self._folder.iterdir()]
        except FileNotFoundError:
            return []
        return [int(match.group(1)) for match in names if match]

    def _path(self, version: int) -> Path:
        return self._folder / f"state-{version:010d}.json"
