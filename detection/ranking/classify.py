"""What an operation's name says about it: its class, points of risk and ATT&CK technique.

Of all lines of the table that fit a name, the most specific counts: the one with the most
characters that are not `*`. Of two equally specific ones the graver counts.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from detection.ranking.operation_catalog import ACTIONS, CLASSES
from detection.rule.kql_text import ascii_lower, has

ROUTINE, OTHER = "routine", "other"
CACHE_SIZE = 10_000  # operation names remembered; a tenant uses some hundred
_LINE = re.compile(r"    (\d+) (T\d{4}(?:\.\d{3})?) +(\S+) +(\S.*)")
_HEAD = re.compile(r"(\S.*): (\S.*)")


class OperationClass(NamedTuple):
    """A line of the table: what operations of a name are."""

    name: str
    points: int
    technique: str
    pattern: str
    words: str

    @property
    def literal(self) -> int:
        """How specific the pattern is."""
        return len(self.pattern) - self.pattern.count("*")

    def fits(self, folded: str) -> bool:
        """Whether the pattern fits a folded operation name."""
        parts = map(re.escape, self.pattern.split("*"))
        return re.fullmatch(".*".join(parts), folded, re.DOTALL) is not None


def read_table(text: str) -> Iterator[OperationClass]:
    """Yield the lines of a table as it is written; raises ValueError for one that is not so."""
    name = ""
    for line in filter(None, text.splitlines()):
        if head := _HEAD.fullmatch(line):
            name = head[1]
            continue
        match = _LINE.fullmatch(line)
        if match is None or not name:
            raise ValueError(f"{line!r} is no line of the table")
        points, technique, pattern, words = match.groups()
        yield OperationClass(name, int(points), technique, pattern, words)


def _most_specific(kinds: tuple[OperationClass, ...], operation: str) -> OperationClass | None:
    folded = ascii_lower(operation)
    fitting = (kind for kind in kinds if kind.fits(folded))
    return max(fitting, key=lambda kind: (kind.literal, kind.points), default=None)


OPERATION_CLASSES = tuple(read_table(CLASSES))
ACTION_CLASSES = tuple(read_table(ACTIONS))


@lru_cache(CACHE_SIZE)
def classify(operation: str) -> OperationClass:
    """Return what an operation of the rule is; one in no other line is of the class `other`."""
    return _most_specific(OPERATION_CLASSES, operation) or OPERATION_CLASSES[-1]


@lru_cache(CACHE_SIZE)
def classify_action(operation: str) -> OperationClass | None:
    """Return what an operation outside the rule says of an identity, if it says anything."""
    return _most_specific(ACTION_CLASSES, operation)


@lru_cache(CACHE_SIZE)
def is_delete(operation: str) -> bool:
    """Whether an operation deletes, as the rule's clause 3 tells it."""
    return has(operation, "DELETE")
