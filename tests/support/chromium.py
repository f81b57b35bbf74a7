"""A browser without a window, from npm's lock, or one that the machine has."""

import fcntl
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from scripts.node import NODE
from scripts.once import make_once
from tests.support.services.servers import installed

FOLDER = Path(__file__).parent / "node" / "browser"
FONTS = FOLDER / "fonts.conf"
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
BUNDLED = platform.system() == "Linux" and platform.machine() == "x86_64"


class NoLetters(Exception):
    """The browser draws no text, so that nothing else that it shows can be believed."""


def look(
    page: Path, views: Sequence[dict[str, object]], fonts: Path = FONTS
) -> list[dict[str, Any]]:
    """Return what can be seen of a page in each view, as look.mjs says.

    Raises NoLetters where text cannot be seen; `fonts` tells the browser from npm, which is for
    Linux on x86-64, where fonts are. Skips where there is no browser.
    """
    packages = installed(FOLDER)
    own = None if BUNDLED else next(filter(None, map(shutil.which, NAMES)), None)
    if not BUNDLED and own is None:
        pytest.skip(f"no browser on this machine: install one of {', '.join(NAMES)}")
    home = packages.parent
    unpacked = home / "browser"
    environment = dict(os.environ)
    if BUNDLED:
        # It unpacks itself where TMPDIR says, with the libraries that Linux may not have if it
        # takes this for the machine that it is made for.
        environment |= {"TMPDIR": str(unpacked), "AWS_EXECUTION_ENV": "AWS_Lambda_nodejs22.x"}
        # Its own list of folders with fonts is of that machine.
        environment |= {"FONTCONFIG_FILE": str(home / "fonts.conf")}
        make_once(unpacked, lambda: _unpack(home, environment))
    asked = json.dumps({"page": str(page.resolve()), "browser": own, "views": list(views)})
    with (home / ".looking").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # others may bring another list of fonts
        shutil.copy(fonts, home / "fonts.conf")
        seen: list[dict[str, Any]] = json.loads(_node(home, "look.mjs", asked, environment))
    for view in seen:
        if view["blank"]:
            raise NoLetters(
                f"{view['name']}: the browser draws no letter in {'; '.join(view['blank'])}, "
                "so the page looks empty: let it find a font."
            )
        if not view["text"].strip():
            raise NoLetters(f"{view['name']}: the page shows no text.")
    return seen


def _unpack(home: Path, environment: Mapping[str, str]) -> None:
    _node(home, "unpack.mjs", "", environment)


def _node(home: Path, script: str, given: str, environment: Mapping[str, str]) -> str:
    """Run a script beside the packages and return its output."""
    result = subprocess.run(
        [NODE, shutil.copy(FOLDER / script, home)],
        input=given,
        cwd=home,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout
