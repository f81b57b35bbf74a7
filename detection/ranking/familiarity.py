"""How familiar an operation is for its identity, and what that leaves of its points.

An operation that an identity does on most days is its work: it keeps a part of its points, so that
it stands below the same operation by an identity that never did it.
"""

from typing import Final, NamedTuple

BASELINE_DAYS: Final = 14
HISTORY_NEEDED: Final = 7  # days; a shorter history proves nothing new and nothing routine
ROUTINE_DAYS: Final = 10  # of the last 14; an operation done on this many is routine
# A routine operation keeps a third of its points in a resource group that the identity changes as
# often, and a half in any other.
KEPT_HERE: Final = 3
KEPT_ELSEWHERE: Final = 2


class Familiarity(NamedTuple):
    """The numbers of days of an identity's past: all, with an operation, with a resource group.

    All are of the two weeks before the operation. `group_days` counts the days on which the
    identity changed anything in the resource group.
    """

    length: int
    days: int = 0
    group_days: int = 0

    @property
    def is_known(self) -> bool:
        """True if the past is long enough to compare with."""
        return self.length >= HISTORY_NEEDED

    @property
    def is_new(self) -> bool:
        """True if the identity is known not to have done the operation."""
        return self.is_known and not self.days

    @property
    def is_routine(self) -> bool:
        """True if the identity does the operation on most days."""
        return self.is_known and self.days >= ROUTINE_DAYS

    @property
    def is_routine_here(self) -> bool:
        """True if the operation is routine, and so are changes in its resource group."""
        return self.is_routine and self.group_days >= ROUTINE_DAYS

    @property
    def divisor(self) -> int:
        """The number by which points are divided."""
        if not self.is_routine:
            return 1
        return KEPT_HERE if self.is_routine_here else KEPT_ELSEWHERE

    def kept(self, points: int) -> int:
        """Return the points that an operation keeps, rounded up."""
        return -(-points // self.divisor)


UNKNOWN: Final = Familiarity(0)


def least_familiar(one: Familiarity, other: Familiarity) -> Familiarity:
    """Return the one that gives an operation more points; of equal ones the less familiar."""
    return max(one, other, key=_strangeness)


def _strangeness(familiarity: Familiarity) -> tuple[int, bool, int, int, int]:
    length, days, group_days = familiarity
    return -familiarity.divisor, familiarity.is_new, -days, -group_days, length
