"""How hard the tests look: a little at the desk, far more in CI."""

import os
from typing import TypeVar

T = TypeVar("T")

IN_CI = bool(os.environ.get("CI"))


def effort(*, desk: T, ci: T) -> T:
    """Return how much a test takes on: some of each kind at the desk, and everything in CI."""
    return ci if IN_CI else desk
