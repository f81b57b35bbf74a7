"""A reason of a risk score: every point has a sentence."""

from typing import NamedTuple


class Reason(NamedTuple):
    """A sentence that explains part of the score, and the points of that part."""

    points: int
    sentence: str
