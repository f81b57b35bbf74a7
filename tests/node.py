"""What the tests use from npm, installed from a lock once and kept inside the environment."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.once import made_once

NODE = Path(sys.executable).parent / "node"
NPM = Path(sys.executable).parent / "npm"
QUIET = ("--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")

# How npm says that it could not ask; its other failures are about what it was asked.
UNREACHABLE = re.compile(
    r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ENOTCACHED"
    r"|ERR_SOCKET_TIMEOUT"
)


def node_modules(folder: Path) -> Path:
    """Install what `folder`'s package-lock.json pins and return the folder of the packages.

    The first test to ask installs, others wait. Skips the test if the registry is out of reach,
    unless this is CI; any other failure of npm is a failure of the test.
    """
    files = [folder / "package.json", folder / "package-lock.json"]
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:16]
    home = Path(sys.prefix) / f"node-{digest}"
    made_once(home, lambda: _install(home, folder, files))
    return home / "node_modules"


def _install(home: Path, folder: Path, files: list[Path]) -> None:
    """Run `npm ci`; no package gets to run a script of its own."""
    for file in files:
        shutil.copy(file, home)
    command = [str(NPM), "ci", "--ignore-scripts", "--fetch-retries=1", *QUIET]
    path = os.pathsep.join([str(NODE.parent), os.environ.get("PATH", os.defpath)])
    result = subprocess.run(
        command,
        cwd=home,
        env=os.environ | {"PATH": path},  # npm looks for node there
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode == 0:
        return
    if UNREACHABLE.search(result.stderr) and "CI" not in os.environ:
        pytest.skip(f"the npm registry cannot be reached, so {folder.name} cannot be installed")
    pytest.fail(f"npm ci failed for {folder}:\n{result.stderr}", pytrace=False)
