"""The package of the app, and the interpreters that tests run it on."""

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from scripts.lock import supported_pythons
from scripts.package import PACKAGES, app_files, contents, write_folder
from scripts.wheels import UnusableWheels
from tests.support import ROOT
from tests.support.effort import IN_CI

RUNNING = f"{sys.version_info[0]}.{sys.version_info[1]}"
DEPLOYED = supported_pythons(ROOT)[-1]

# The wheels of a package load here.
needs_package = pytest.mark.skipif(
    RUNNING not in supported_pythons(ROOT)
    or (platform.system(), platform.machine()) != ("Linux", "x86_64"),
    reason="packages are built for a tested Python on Linux x86-64",
)


def packaged(python: str, *, root: Path = ROOT, remote_build: bool = False) -> dict[str, bytes]:
    """Return the contents of a package for a Python such as "3.13".

    Skips the test if the package index cannot be reached, except in CI.
    """
    try:
        return contents(app_files(root), python, remote_build=remote_build)
    except UnusableWheels as error:
        if error.unreachable and not IN_CI:
            pytest.skip("the package index cannot be reached, so the wheels are not downloaded")
        raise


def interpreter(version: str) -> Path:
    """Return an installed Python of a version, with pip; skips the test without it, except in CI.

    It is searched for on PATH and among the versions of pyenv.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    names = [f"python{version}", *map(str, sorted(pyenv.glob(f"{version}.*/bin/python")))]
    probe = "import pip, sys; print(*sys.version_info[:2], sep='.')"
    for name in names:
        try:
            said = subprocess.run([name, "-c", probe], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            continue
        if said.stdout.strip() == version:
            return Path(name)
    if IN_CI:
        pytest.fail(f"Python {version} with pip is not installed")
    pytest.skip(f"Python {version} with pip is not installed")


def empty_environment(python: Path, folder: Path, *paths: Path) -> Path:
    """Make an environment without any package, and return its Python.

    Modules are also searched for in `paths`, after those of the environment.
    """
    subprocess.run([python, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    assert list(packages.iterdir()) == []
    (packages / "paths.pth").write_text("".join(f"{path}\n" for path in paths), "utf-8")
    return folder / "bin" / "python"


def unpacked(app: Mapping[str, bytes], folder: Path) -> Path:
    """Unpack a package in a folder, and return the folder of its dependencies."""
    write_folder(app, folder)
    return folder / PACKAGES
