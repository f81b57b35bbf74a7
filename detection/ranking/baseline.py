"""What each identity did in the two weeks before: on how many days, of which class and where.

It is read once a day and remembered with the state, and only if novelty is asked for.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from detection.ranking.classify import classify
from detection.ranking.score import Novelty
from detection.rule.kql_text import ascii_lower
from detection.rule.ticks import DAY

BASELINE_LENGTH: Final = 14 * DAY
BASELINE_BIN: Final = DAY  # changes within one bin count once
REFRESH_AFTER: Final = DAY

# A change, or several of one day: time in ticks, identity, operation name, resource group.
PastChange = tuple[int, str, str, str]
Days = dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True)
class Baseline:
    """Days by folded identity: of each class, and in each folded resource group.

    It was read at `read_at` and covers `length` (ticks), as far back as there were changes.
    """

    read_at: int
    length: int
    class_days: Days = field(default_factory=dict)
    group_days: Days = field(default_factory=dict)

    @classmethod
    def of(cls, deeds: Iterable[PastChange], end: int, read_at: int) -> "Baseline":
        """Count the days of changes made up to `end`; the first day, maybe half, is not length."""
        classes: set[tuple[str, str, int]] = set()
        groups: set[tuple[str, str, int]] = set()
        days = set()
        for time, identity, operation, resource_group in deeds:
            who, day = ascii_lower(identity), time // BASELINE_BIN
            classes.add((who, classify(operation).name, day))
            groups.add((who, ascii_lower(resource_group), day))
            days.add(day)
        length = max(end - (min(days) + 1) * BASELINE_BIN, 0) if days else 0
        return cls(read_at, length, _counted(classes), _counted(groups))

    def is_fresh(self, now: int) -> bool:
        """Whether it was read less than a day before `now`."""
        return 0 <= now - self.read_at < REFRESH_AFTER

    def about(self, identity: str, resource_group: str) -> Novelty:
        """Return what is known of an identity in a resource group, both folded."""
        return Novelty(
            self.length,
            self.class_days.get(identity, {}),
            self.group_days.get(identity, {}).get(resource_group, 0),
        )


def _counted(seen: set[tuple[str, str, int]]) -> Days:
    counted: Days = {}
    for who, what, _ in sorted(seen):
        mine = counted.setdefault(who, {})
        mine[what] = mine.get(what, 0) + 1
    return counted
