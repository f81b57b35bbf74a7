"""A browser without a window, from npm's lock, or one that the machine has."""

import fcntl
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from scripts.node import NODE
from tests.servers import installed

FOLDER = Path(__file__).parent / "browser"
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")


def look(page: Path, views: Sequence[dict[str, object]]) -> list[dict[str, Any]]:
    """Return what can be seen of a page in each view, as look.mjs says.

    Skips where there is no browser: the one from npm is for Linux on x86-64.
    """
    packages = installed(FOLDER)
    bundled = platform.system() == "Linux" and platform.machine() == "x86_64"
    own = None if bundled else next(filter(None, map(shutil.which, NAMES)), None)
    if not bundled and own is None:
        pytest.skip(f"no browser on this machine: install one of {', '.join(NAMES)}")
    script = shutil.copy(FOLDER / "look.mjs", packages.parent)
    unpacked = packages.parent / "browser"
    unpacked.mkdir(exist_ok=True)
    with (packages.parent / ".looking").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the browser is unpacked once
        result = subprocess.run(
            [NODE, script],
            input=json.dumps({"page": str(page), "browser": own, "views": list(views)}),
            # It unpacks itself where TMPDIR says, with the libraries that Linux may not have if
            # it takes this for the machine that it is made for.
            env=os.environ
            | {"TMPDIR": str(unpacked), "AWS_EXECUTION_ENV": "AWS_Lambda_nodejs22.x"},
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
    assert result.returncode == 0, result.stderr
    return list(json.loads(result.stdout))
