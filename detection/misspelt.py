"""Finds variables that look like a misspelt setting: such a setting would silently do nothing."""

from collections.abc import Collection, Iterator
from difflib import SequenceMatcher
from typing import Final

from detection.printable import one_line
from detection.settings import SETTINGS

# With the schedule, which only the Functions host reads.
NAMES: Final = (*SETTINGS, "DETECTION_SCHEDULE")
# Letters of both names that the other one lacks: a wrong letter, or two that changed places, makes
# two. STORAGE_ACCOUNT_URL, which other programs have, has four that STATE_ACCOUNT_URL lacks.
MOST_DIFFERENT: Final = 2
LEAST_SIMILARITY: Final = 0.85  # of 1, for equal names: two letters are much of a short name


def misspelt_settings(given: Collection[str]) -> list[str]:
    """Return a sentence for each variable that is close to the name of a setting.

    A setting that is set has no misspelling: somebody has given it its right name.
    """
    return [
        f"{one_line(name)} is not a setting: did you mean {setting}?"
        for name in sorted(given)
        for setting in _close_settings(name)
        if setting not in given
    ]


def _close_settings(name: str) -> Iterator[str]:
    """Yield the setting whose name is closest to a name that is none, if it is close."""
    if name in NAMES:
        return
    matcher = SequenceMatcher(b=name.upper(), autojunk=False)

    def similarity(setting: str) -> float:
        matcher.set_seq1(setting)
        return matcher.ratio()

    closest = max(NAMES, key=similarity)
    different = round((1 - similarity(closest)) * (len(name) + len(closest)))
    if different <= MOST_DIFFERENT and similarity(closest) >= LEAST_SIMILARITY:
        yield closest
