"""The amount of testing: a sample on a developer's machine, everything in CI."""

import os
from typing import TypeVar

T = TypeVar("T")

IN_CI = bool(os.environ.get("CI"))


def effort(*, desk: T, ci: T) -> T:
    """Return `ci` in CI, and `desk` elsewhere."""
    return ci if IN_CI else desk
