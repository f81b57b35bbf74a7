"""Builds the zip that is deployed, from the same files the same bytes.

It holds what .funcignore leaves in, and of that only files of the kinds that the app consists of:
whatever else lies below a folder of the app, a key or a copy of some settings, stays here.
`python -m scripts.package ARCHIVE` writes it and says what it holds, and what it does not.
"""

import hashlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile, ZipInfo

from pathspec import GitIgnoreSpec

ROOT = Path(__file__).parent.parent

# What the top level of the app consists of. Anything else would be deployed by mistake.
APP = {"detection", "function_app.py", "host.json", "requirements.txt"}

# What the files below its folders end in: code, queries, data, what pages are made from; and the
# one file that is known by its name.
SUFFIXES = {".py", ".kql", ".csv", ".html", ".css"}
NAMES = {"py.typed"}

# When every file was last changed, as the zip says; not 1980, the first year that a zip can name,
# which turns into 1979 west of Greenwich.
MOMENT = (2000, 1, 1, 0, 0, 0)


class NotTheApp(Exception):
    """What .funcignore leaves in is not the app; the message says what is too much or missing."""


class Files(NamedTuple):
    """The files that are deployed, by their names in the zip, and the names of what stays here."""

    deployed: dict[str, Path]
    left_out: list[str]


def files_of(root: Path) -> Files:
    """Return the files of the app, in order.

    Raises NotTheApp if .funcignore leaves in more or less than the app, or a symbolic link.
    """
    ignored = GitIgnoreSpec.from_lines((root / ".funcignore").read_text("utf-8").splitlines())
    files = dict(sorted(_left_in(root, "", ignored)))
    top = {name.partition("/")[0] for name in files}
    if top - APP:
        raise NotTheApp(
            f"not part of the app: {', '.join(sorted(top - APP))}. "
            "Remove it, or name it in .funcignore."
        )
    if APP - top:
        raise NotTheApp(f"missing from the app: {', '.join(sorted(APP - top))}.")
    links = [name for name, path in files.items() if path.is_symlink()]
    if links:
        raise NotTheApp(
            f"symbolic links, which may lead anywhere: {', '.join(links)}. "
            "Put the file itself there, or name the link in .funcignore."
        )
    left_out = [name for name in files if not _belongs(name)]
    return Files({name: path for name, path in files.items() if _belongs(name)}, left_out)


def _belongs(name: str) -> bool:
    """Whether a file is of a kind that the app consists of; a hidden one never is."""
    *folders, last = parts = name.split("/")
    if not folders:
        return name in APP
    hidden = any(part.startswith(".") for part in parts)
    return not hidden and (last in NAMES or Path(last).suffix in SUFFIXES)


def _left_in(folder: Path, prefix: str, ignored: GitIgnoreSpec) -> Iterator[tuple[str, Path]]:
    """Yield names and paths of files; as in git, nothing below an ignored folder comes back.

    A symbolic link is yielded itself, wherever it leads.
    """
    for path in folder.iterdir():
        name = prefix + path.name
        if path.is_dir() and not path.is_symlink():
            if not ignored.match_file(f"{name}/"):
                yield from _left_in(path, f"{name}/", ignored)
        elif not ignored.match_file(name):
            yield name, path


def package(root: Path) -> bytes:
    """Return the zip of an app; raises NotTheApp."""
    return zipped(files_of(root))


def zipped(files: Files) -> bytes:
    """Return the zip. Nothing in it depends on times, permissions or this machine.

    The files are stored, not deflated: what deflating gives differs between zlib's versions.
    """
    content = io.BytesIO()
    with ZipFile(content, "w") as archive:
        for name, path in files.deployed.items():
            entry = ZipInfo(name, MOMENT)
            entry.create_system = 3  # Unix, wherever this runs
            entry.external_attr = 0o100644 << 16  # a file that all may read
            archive.writestr(entry, path.read_bytes())
    return content.getvalue()


def main(target: str) -> None:
    """Write the zip to a file and say in one line what it is, and on stderr what is not in it."""
    try:
        files = files_of(ROOT)
    except NotTheApp as error:
        sys.exit(f"No package was built: {error}")
    content = zipped(files)
    for name in files.left_out:
        print(f"Left out, as no such file belongs to the app: {name!a}", file=sys.stderr)
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    Path(target).write_bytes(content)
    count = len(files.deployed)
    digest = hashlib.sha256(content).hexdigest()
    print(f"Built {target}: {count} files, {len(content):,} bytes, SHA-256 {digest}")


if __name__ == "__main__":
    main(sys.argv[1])
