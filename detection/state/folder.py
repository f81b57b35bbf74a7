"""The state in a local folder, one file per version.

A version is written to a temporary file and gets its name through a hard link, which fails if that
version exists: of two overlapping runs, one wins, and a run that is killed while it writes leaves
the last version unchanged. File locks end with their process, so a killed run leaves none behind.
Versions are compressed, which adds a checksum: damage on disk is detected.
"""

import contextlib
import os
import re
from pathlib import Path
from typing import Final

from detection.atomic_files import remove_leftovers, unfinished
from detection.atomic_files.system import sync_folder
from detection.errors import StateConflict, StateError, UsageError
from detection.state import State, Tag
from detection.state.codec import compress, decode, decompress

# Earlier releases wrote versions without compressing them.
_VERSION = re.compile(r"state-(\d{10})\.json(\.gz)?", re.ASCII)
_UNFINISHED = ".state-"


class FolderStore:
    """A StateStore whose tag is the number of the version it read."""

    remembers: Final = True

    def __init__(self, folder: Path, *, create: bool = True) -> None:
        """Use `folder`, and create it if `create`; raises UsageError if that is impossible."""
        self._folder = folder
        try:
            if create:
                folder.mkdir(parents=True, exist_ok=True)
            elif folder.exists() and not folder.is_dir():
                raise NotADirectoryError(None, "Not a directory")
        except OSError as error:
            raise UsageError(
                f"--state-dir {folder} cannot be used ({error.strerror}): give a folder that you "
                "may write to"
            ) from error

    def load(self) -> tuple[State, Tag]:
        """Return the newest version."""
        for _ in range(10):
            version, path = max(self._versions(), default=(0, self._folder))
            if version == 0:
                return State(), "0"
            read = decompress if path.suffix == ".gz" else decode
            try:
                return read(path.read_bytes(), str(path)), str(version)
            except FileNotFoundError:
                continue  # another run has just written a newer version and removed this one
            except OSError as error:
                raise StateError(
                    f"{path} cannot be read: {error.strerror}: give access, and run again"
                ) from error
        raise StateConflict(
            f"{self._folder} changes too fast: end other runs that use it, and run again"
        )

    def save(self, state: State, tag: Tag) -> Tag:
        """Write the next version and remove older ones."""
        version = int(tag) + 1
        path = self._folder / f"state-{version:010d}.json.gz"
        remove_leftovers(self._folder, _UNFINISHED)
        try:
            self._publish(compress(state), path)
            # A slow run could recreate a version that a faster run has replaced and removed. A
            # newer version exists then, or the same version in an earlier release's format.
            if any(number >= version and other != path for number, other in self._versions()):
                path.unlink(missing_ok=True)
                raise FileExistsError
        except FileExistsError:
            raise StateConflict(
                f"another run wrote {self._folder} first: this run delivered nothing more"
            ) from None
        except OSError as error:
            raise StateError(
                f"{path} cannot be written: {error.strerror}: free space or give access, and run "
                "again"
            ) from error
        for number, older in self._versions():
            if number < version:
                with contextlib.suppress(OSError):
                    older.unlink()
        return str(version)

    def _publish(self, body: bytes, path: Path) -> None:
        """Write `body` to `path` on disk, atomically, and only if `path` does not exist."""
        with unfinished(self._folder, _UNFINISHED) as (file, name):
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
            os.link(name, path)
        sync_folder(self._folder)

    def _versions(self) -> list[tuple[int, Path]]:
        """Return the number and path of each stored version."""
        try:
            found = [(_VERSION.fullmatch(path.name), path) for path in self._folder.iterdir()]
        except FileNotFoundError:
            return []
        return [(int(match[1]), path) for match, path in found if match]
