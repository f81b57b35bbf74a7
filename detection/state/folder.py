"""State in a local folder, one file a version.

A version is written beside the others and put in place by a hard link, which fails if that version
exists: of two overlapping runs one wins, and a run killed while writing leaves the last version
as it was. No lock outlives its process, so none can be left behind. A version is compressed, which
adds a checksum: a file that the disk has changed is noticed.
"""

import contextlib
import os
import re
from pathlib import Path
from typing import Final

from detection.atomic_files import remove_leftovers, sync_folder, unfinished
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
            version, path = max(self._versions(), default=(0, self._folder))
            if version == 0:
                return State(), "0"
            read = decompress if path.suffix == ".gz" else decode
            try:
                return read(path.read_bytes(), str(path)), str(version)
            except FileNotFoundError:
                continue  # a newer version took its place while we looked
            except OSError as error:
                raise StateError(f"{path} cannot be read: {error.strerror}") from error
        raise StateConflict(f"{self._folder} changes too fast: is another run working on it?")

    def save(self, state: State, tag: Tag) -> Tag:
        """Write the next version and remove older ones."""
        version = int(tag) + 1
        path = self._folder / f"state-{version:010d}.json.gz"
        remove_leftovers(self._folder, _UNFINISHED)
        try:
            self._link(compress(state), path)
            # A version that was removed could be linked again by a run that had read the one
            # before it: a newer one is there then, or the same of an earlier release.
            if any(number >= version and other != path for number, other in self._versions()):
                path.unlink(missing_ok=True)
                raise FileExistsError
        except FileExistsError:
            raise StateConflict(
                f"another run wrote {self._folder} first; this one delivered nothing more"
            ) from None
        except OSError as error:
            raise StateError(f"{path} cannot be written: {error.strerror}") from error
        for number, older in self._versions():
            if number < version:
                with contextlib.suppress(OSError):
                    older.unlink()
        return str(version)

    def _link(self, body: bytes, path: Path) -> None:
        """Put `body` at `path`, whole, on disk, and only if nothing is there."""
        with unfinished(self._folder, _UNFINISHED) as (file, name):
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
            os.link(name, path)
        sync_folder(self._folder)

    def _versions(self) -> list[tuple[int, Path]]:
        """Return the versions that are there, by number."""
        try:
            found = [(_VERSION.fullmatch(path.name), path) for path in self._folder.iterdir()]
        except FileNotFoundError:
            return []
        return [(int(match[1]), path) for match, path in found if match]
