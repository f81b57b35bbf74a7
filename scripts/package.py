"""Builds the app that is deployed: its files and its dependencies; equal inputs give equal bytes.

The app's files are those that .funcignore does not ignore, and of these only the app's kinds of
files: keys or copies of settings below a folder of the app are left out. The dependencies are the
wheels of requirements.txt for one Python on Linux x86-64, so that Azure installs nothing.

`python -m scripts.package` writes out/package.zip, and the same files to out/app/;
`--remote-build` writes out/package-remote-build.zip, whose dependencies Azure installs.
"""

import argparse
import hashlib
import io
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile, ZipInfo

from pathspec import GitIgnoreSpec

from python_version import BUILT_FOR
from scripts import wheels
from scripts.lock import read_lock, requirements_text, supported_pythons

ROOT = Path(__file__).parent.parent

# The top level of the app. Anything else would be deployed by mistake.
APP = {"detection", "function_app.py", "host.json", "python_version.py", "requirements.txt"}

# The app's kinds of files: code, queries, data, and the report's template and styles; and one file
# that is known by its name.
SUFFIXES = {".py", ".kql", ".csv", ".html", ".css"}
NAMES = {"py.typed"}

# The worker puts this folder on sys.path, and reads no requirements.txt.
PACKAGES = ".python_packages/lib/site-packages"

# Below the checkout: the zip, the folder with the same files, and the zip without dependencies.
ZIP = "out/package.zip"
FOLDER = "out/app"
REMOTE_BUILD_ZIP = "out/package-remote-build.zip"

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


def contents(files: Files, python: str, *, remote_build: bool = False) -> dict[str, bytes]:
    """Return the app for a Python such as "3.13": names and contents, in the order of the names.

    requirements.txt accepts the wheels for this Python alone, so that a build on another one fails.
    With `remote_build` the dependencies themselves are left out. Raises UnusableWheels.
    """
    app = {name: path.read_bytes() for name, path in files.deployed.items()}
    pins = [pin for pin in read_lock(files.deployed["requirements.txt"]) if pin.applies(python)]
    checked = wheels.check(pins, wheels.download(pins, python))
    app["requirements.txt"] = requirements_text(checked.values()).encode()
    app[BUILT_FOR.name] = f"{python}\n".encode()
    for wheel in () if remote_build else checked:
        for name, content in wheels.files(wheel):
            if app.setdefault(f"{PACKAGES}/{name}", content) != content:
                raise wheels.UnusableWheels(f"two wheels hold a different {name!a}.")
    return dict(sorted(app.items()))


def build_zip(app: Mapping[str, bytes]) -> bytes:
    """Return the zip. It does not depend on times, permissions or this machine.

    The files are stored uncompressed, because compressed bytes differ between versions of zlib.
    """
    content = io.BytesIO()
    with ZipFile(content, "w") as archive:
        for name, data in app.items():
            entry = ZipInfo(name, MOMENT)
            entry.create_system = 3  # Unix, on every system
            entry.external_attr = 0o100644 << 16  # a regular file that everyone may read
            archive.writestr(entry, data)
    return content.getvalue()


def write_folder(app: Mapping[str, bytes], folder: Path) -> None:
    """Replace a folder by the files of the app."""
    if folder.exists():
        shutil.rmtree(folder)
    for name, data in app.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def main() -> None:
    """Write the package and print its summary; list the files left out on stderr."""
    pythons = supported_pythons(ROOT)
    parser = argparse.ArgumentParser(prog="make package", description="Builds the app to deploy.")
    parser.add_argument(
        "--python",
        # infra/main.bicepparam reads the variable too, so that app and package agree.
        default=os.environ.get("PYTHON_VERSION") or pythons[-1],
        help="the Python of the function app (default: PYTHON_VERSION, or else %(default)s)",
    )
    parser.add_argument(
        "--remote-build", action="store_true", help="leave the dependencies to a build in Azure"
    )
    options = parser.parse_args()
    if options.python not in pythons:
        parser.error(f"Python {options.python} is none of {', '.join(pythons)}")
    try:
        files = app_files(ROOT)
        app = contents(files, options.python, remote_build=options.remote_build)
    except (NotTheApp, wheels.UnusableWheels) as error:
        sys.exit(f"No package was built: {error}")
    for name in files.left_out:
        print(f"Left out, because it is not a file of the app: {name!a}", file=sys.stderr)
    target = REMOTE_BUILD_ZIP if options.remote_build else ZIP
    content = build_zip(app)
    (ROOT / target).parent.mkdir(exist_ok=True)
    (ROOT / target).write_bytes(content)
    if not options.remote_build:
        write_folder(app, ROOT / FOLDER)
    digest = hashlib.sha256(content).hexdigest()
    print(
        f"Built {target} for Python {options.python}: "
        f"{len(app)} files, {len(content):,} bytes, SHA-256 {digest}"
    )


if __name__ == "__main__":
    main()
