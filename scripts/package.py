"""Builds the zip to deploy; equal files give equal bytes.

The zip holds the files that .funcignore does not ignore, and of those only the app's kinds of
files: keys or copies of settings below a folder of the app are left out. `python -m scripts.package
ARCHIVE` writes the zip and lists the files left out.
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

# The top level of the app. Anything else would be deployed by mistake.
APP = {"detection", "function_app.py", "host.json", "requirements.txt"}

# The app's kinds of files: code, queries, data, and the report's template and styles; and one file
# that is known by its name.
SUFFIXES = {".py", ".kql", ".csv", ".html", ".css"}
NAMES = {"py.typed"}

# The time of change that the zip gives every file. Not 1980, the first year that a zip can hold:
# west of Greenwich it would become 1979.
MOMENT = (2000, 1, 1, 0, 0, 0)


class NotTheApp(Exception):
    """The files that .funcignore leaves are not the app; the message names the wrong ones."""


class Files(NamedTuple):
    """The files to deploy, by their names in the zip, and the names of the files left out."""

    deployed: dict[str, Path]
    left_out: list[str]


def app_files(root: Path) -> Files:
    """Return the files of the app, in order.

    Raises NotTheApp if .funcignore leaves more or fewer files than the app has, or a symbolic link.
    """
    ignored = GitIgnoreSpec.from_lines((root / ".funcignore").read_text("utf-8").splitlines())
    files = dict(sorted(_not_ignored(root, "", ignored)))
    top = {name.partition("/")[0] for name in files}
    if top - APP:
        raise NotTheApp(
            f"not part of the app: {', '.join(sorted(top - APP))}. "
            "Remove these, or add them to .funcignore."
        )
    if APP - top:
        raise NotTheApp(
            f"missing from the app: {', '.join(sorted(APP - top))}. "
            "Restore these, or remove them from .funcignore."
        )
    links = [name for name, path in files.items() if path.is_symlink()]
    if links:
        raise NotTheApp(
            f"symbolic links, which may point outside the app: {', '.join(links)}. "
            "Replace each by the file itself, or add it to .funcignore."
        )
    left_out = [name for name in files if not _is_app_file(name)]
    return Files({name: path for name, path in files.items() if _is_app_file(name)}, left_out)


def _is_app_file(name: str) -> bool:
    """Return True if a file is one of the app's kinds of files and not hidden."""
    *folders, last = parts = name.split("/")
    if not folders:
        return name in APP
    hidden = any(part.startswith(".") for part in parts)
    return not hidden and (last in NAMES or Path(last).suffix in SUFFIXES)


def _not_ignored(folder: Path, prefix: str, ignored: GitIgnoreSpec) -> Iterator[tuple[str, Path]]:
    """Yield names and paths of files; as in git, an ignored folder is ignored with all its content.

    A symbolic link is yielded itself and not followed.
    """
    for path in folder.iterdir():
        name = prefix + path.name
        if path.is_dir() and not path.is_symlink():
            if not ignored.match_file(f"{name}/"):
                yield from _not_ignored(path, f"{name}/", ignored)
        elif not ignored.match_file(name):
            yield name, path


def package(root: Path) -> bytes:
    """Return the zip of an app; raises NotTheApp."""
    return build_zip(app_files(root))


def build_zip(files: Files) -> bytes:
    """Return the zip. It does not depend on times, permissions or this machine.

    The files are stored uncompressed, because compressed bytes differ between versions of zlib.
    """
    content = io.BytesIO()
    with ZipFile(content, "w") as archive:
        for name, path in files.deployed.items():
            entry = ZipInfo(name, MOMENT)
            entry.create_system = 3  # Unix, on every system
            entry.external_attr = 0o100644 << 16  # a regular file that everyone may read
            archive.writestr(entry, path.read_bytes())
    return content.getvalue()


def main(target: str) -> None:
    """Write the zip to a file and print its summary; list the files left out on stderr."""
    try:
        files = app_files(ROOT)
    except NotTheApp as error:
        sys.exit(f"No package was built: {error}")
    content = build_zip(files)
    for name in files.left_out:
        print(f"Left out, because it is not a file of the app: {name!a}", file=sys.stderr)
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    Path(target).write_bytes(content)
    count = len(files.deployed)
    digest = hashlib.sha256(content).hexdigest()
    print(f"Built {target}: {count} files, {len(content):,} bytes, SHA-256 {digest}")


if __name__ == "__main__":
    main(sys.argv[1])
