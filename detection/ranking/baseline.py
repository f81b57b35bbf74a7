"""The baseline of each identity: the days of its operations in the two weeks before.

The score's novelty compares findings with it. The baseline is read once a day, if the setting
NOVELTY is on, and kept with the state.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from detection.ranking.novelty import Novelty
from detection.rule.kql_text import ascii_lower
from detection.rule.ticks import DAY

BASELINE_LENGTH: Final = 14 * DAY
BASELINE_BIN: Final = DAY  # changes within one bin count once
REFRESH_AFTER: Final = DAY

# One change or several of one day: time in ticks, identity, operation name, resource group.
PastChange = tuple[int, str, str, str]
Days = dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True)
class Baseline:
    """The number of days with each operation and each resource group, by identity.

    All names are in lower case. The baseline was read at `read_at` (ticks). `length` (ticks) is the
    time since the first whole day.
    """

    read_at: int
    length: int
    operation_days: Days = field(default_factory=dict)
    group_days: Days = field(default_factory=dict)

    @classmethod
    def of(cls, changes: Iterable[PastChange], end: int, read_at: int) -> "Baseline":
        """Count the days of changes up to `end`, without the first, which may be a partial one."""
        changes = list(changes)
        if not changes:
            return cls(read_at, 0)
        first_whole_day = min(time for time, *_ in changes) // BASELINE_BIN + 1
        operations: set[tuple[str, str, int]] = set()
        groups: set[tuple[str, str, int]] = set()
        for time, identity, operation, resource_group in changes:
            folded, day = ascii_lower(identity), time // BASELINE_BIN
            if day >= first_whole_day:
                operations.add((folded, ascii_lower(operation), day))
                groups.add((folded, ascii_lower(resource_group), day))
        length = max(end - first_whole_day * BASELINE_BIN, 0)
        return cls(read_at, length, _counted(operations), _counted(groups))

    def is_fresh(self, now: int) -> bool:
        """Return True if the baseline was read less than a day before `now`."""
        return 0 <= now - self.read_at < REFRESH_AFTER

    def about(self, identity: str, resource_group: str) -> Novelty:
        """Return the past of an identity in a resource group, both in lower case."""
        return Novelty(
            self.length,
            self.operation_days.get(identity, {}),
            self.group_days.get(identity, {}).get(resource_group, 0),
        )


def _counted(seen: set[tuple[str, str, int]]) -> Days:
    counted: Days = {}
    for identity, subject, _ in sorted(seen):
        days = counted.setdefault(identity, {})
        days[subject] = days.get(subject, 0) + 1
    return counted
