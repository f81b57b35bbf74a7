"""Builds the zip that is deployed: what .funcignore leaves in, from the same files the same bytes.

`python -m scripts.package ARCHIVE` writes it and says what it holds.
"""

import hashlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile, ZipInfo

from pathspec import GitIgnoreSpec

ROOT = Path(__file__).parent.parent

# What the top level of the app consists of. Anything else would be deployed by mistake.
APP = {"detection", "function_app.py", "host.json", "requirements.txt"}

# When every file was last changed, as the zip says; not 1980, the first year that a zip can name,
# which turns into 1979 west of Greenwich.
MOMENT = (2000, 1, 1, 0, 0, 0)


class NotTheApp(Exception):
    """What .funcignore leaves in is not the app; the message says what is too much or missing."""


def deployed(root: Path) -> dict[str, Path]:
    """Return the files that .funcignore leaves in, by their names in the zip, in order.

    Raises NotTheApp if they are more or less than the app.
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
    return files


def _left_in(folder: Path, prefix: str, ignored: GitIgnoreSpec) -> Iterator[tuple[str, Path]]:
    """Yield names and paths of files; as in git, nothing below an ignored folder comes back."""
    for path in folder.iterdir():
        name = prefix + path.name
        if path.is_dir():
            if not ignored.match_file(f"{name}/"):
                yield from _left_in(path, f"{name}/", ignored)
        elif not ignored.match_file(name):
            yield name, path


def package(root: Path) -> bytes:
    """Return the zip. Nothing in it depends on times, permissions or this machine.

    The files are stored, not deflated: what deflating gives differs between zlib's versions.
    """
    zipped = io.BytesIO()
    with ZipFile(zipped, "w") as archive:
        for name, path in deployed(root).items():
            entry = ZipInfo(name, MOMENT)
            entry.create_system = 3  # Unix, wherever this runs
            entry.external_attr = 0o100644 << 16  # a file that all may read
            archive.writestr(entry, path.read_bytes())
    return zipped.getvalue()


def main(target: str) -> None:
    """Write the zip to a file and say in one line what it is."""
    try:
        content = package(ROOT)
    except NotTheApp as error:
        sys.exit(f"No package was built: {error}")
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    Path(target).write_bytes(content)
    count = len(ZipFile(io.BytesIO(content)).namelist())
    digest = hashlib.sha256(content).hexdigest()
    print(f"Built {target}: {count} files, {len(content):,} bytes, SHA-256 {digest}")


if __name__ == "__main__":
    main(sys.argv[1])
