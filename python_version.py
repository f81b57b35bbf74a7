"""Refuses to run a package on another Python than the one it was built for.

Compiled packages load only on their own version of Python; on another one the app would end in an
error about some module. This module therefore comes first and imports the standard library only.
"""

import sys
from pathlib import Path

# Written by `make package`; a checkout has no such file and runs on every Python that is tested.
BUILT_FOR = Path(__file__).with_name("python-version.txt")


def require_built_version() -> None:
    """Raise RuntimeError with the remedy if this package was built for another Python."""
    if not BUILT_FOR.exists():
        return
    built_for = BUILT_FOR.read_text("utf-8").strip()
    running = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if running != built_for:
        raise RuntimeError(
            f"This package was built for Python {built_for}, and the app runs on Python {running}: "
            f"deploy the app with pythonVersion={built_for}, or build the package with "
            f'make package ARGS="--python {running}".'
        )
