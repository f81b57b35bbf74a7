"""The name and the version of the program."""

import sys
import tomllib
from pathlib import Path, PurePath
from typing import Final

PACKAGE: Final = "managed-identity-impact"
SCRIPT: Final = PACKAGE  # the command that an installation adds
MODULE: Final = "python -m detection"
CHECKOUT: Final = Path(__file__).parents[3]


def program_name() -> str:
    """Return the words that start the program, as they were typed."""
    return SCRIPT if PurePath(sys.argv[0]).stem == SCRIPT else MODULE


def version() -> str:
    """Return the version: that of the checkout, or else that of the installed package."""
    pyproject = CHECKOUT / "pyproject.toml"
    if pyproject.is_file():
        project: dict[str, str] = tomllib.loads(pyproject.read_text("utf-8"))["project"]
        return project["version"]
    from importlib import metadata  # noqa: PLC0415 - 14 ms that other commands need not wait

    return metadata.version(PACKAGE)
