"""The baseline of each identity: the days of its operations in the two weeks before.

The score compares findings with it (familiarity.py). The baseline is read once a day, unless the
setting NOVELTY is off, and kept with the state.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from detection.ranking.familiarity import BASELINE_DAYS, Familiarity
from detection.ranking.networks import public_network
from detection.rule.kql_text import ascii_lower
from detection.rule.log_rows import TableShape
from detection.rule.ticks import DAY

# A window may hold operations of the day before, which are compared with the days before that. The
# first day that is read counts for nothing, because the log may begin in the middle of it.
DAYS_READ: Final = BASELINE_DAYS + 2


def first_time_read(day: int) -> int:
    """Return the time (ticks) after which changes matter to a baseline that ends with a day."""
    return (day - DAYS_READ) * DAY - 1


class PastChange(NamedTuple):
    """One change or several of one day by an identity; the time is in ticks.

    Either the address or operation and resource group may be "", and then count for nothing.
    """

    time: int
    identity: str
    operation: str
    resource_group: str
    address: str


# A recorded folder holds past changes in a table of their own, with columns of AzureActivity.
PAST_CHANGES_TABLE: Final = TableShape(
    name="PastChanges",
    columns=(
        "TimeGenerated",
        "Caller",
        "OperationNameValue",
        "ResourceGroup",
        "CallerIpAddress",
    ),
    required=2,
    shared=5,
    remedy="record the workspace again, for findings to be compared with the days before",
)

# The days on which something happened, by identity and by operation, resource group or network: bit
# n stands for the n-th day that was read.
DaySets = dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True)
class Baseline:
    """The days with each operation, resource group and network, by identity.

    All names are in lower case. Days are numbered from 1970-01-01. DAYS_READ days before `end_day`
    were read; `log_days` are those on which the log has any change.
    """

    end_day: int
    log_days: int = 0
    operations: DaySets = field(default_factory=dict)
    groups: DaySets = field(default_factory=dict)
    networks: DaySets = field(default_factory=dict)

    @property
    def length(self) -> int:
        """The number of whole days that the log has before `end_day`."""
        begin, end = self._days_before(self.end_day)
        return end - begin

    @classmethod
    def of(cls, changes: Iterable[PastChange], end_day: int) -> "Baseline":
        """Note the days of the changes before `end_day`."""
        log_days, first = 0, end_day - DAYS_READ
        operations: DaySets = {}
        groups: DaySets = {}
        networks: DaySets = {}
        for time, identity, operation, resource_group, address in changes:
            if not first <= time // DAY < end_day:
                continue
            day, who = 1 << time // DAY - first, ascii_lower(identity)
            log_days |= day
            if operation:
                _note(operations, who, ascii_lower(operation), day)
                _note(groups, who, ascii_lower(resource_group), day)
            if network := public_network(address):
                _note(networks, who, network, day)
        return cls(end_day, log_days, operations, groups, networks)

    def familiarity(
        self, identity: str, operation: str, resource_group: str, day: int
    ) -> Familiarity:
        """Return how often an identity did an operation in the two weeks before a day.

        The names are in lower case. `day` is numbered as `end_day` is.
        """
        begin, end = self._days_before(day)
        return Familiarity(
            end - begin,
            self._count(self.operations, identity, operation, begin, end),
            self._count(self.groups, identity, resource_group, begin, end),
        )

    def has_new_network(self, identity: str, address: str, day: int) -> bool:
        """Return True if an address is of a network that is new for an identity with a past.

        The past holds at least one public network in the two weeks before the day.
        """
        begin, end = self._days_before(day)
        known = self.networks.get(identity, {})
        network = public_network(address)
        return bool(
            network
            and Familiarity(end - begin).is_known
            and not self._count(self.networks, identity, network, begin, end)
            and any(self._count(self.networks, identity, each, begin, end) for each in known)
        )

    def _days_before(self, day: int) -> tuple[int, int]:
        """Return the whole days [begin, end) of the two weeks before a day that the log has.

        The first day with a change counts for nothing, because the log may begin in the middle of
        it. It is looked for among the days before this day alone, so that the answer is the same
        whenever the log was read.
        """
        first_read = self.end_day - DAYS_READ
        end = max(min(day, self.end_day), first_read)
        begin = min(max(day - BASELINE_DAYS - 1, first_read), end)
        days = self._between(self.log_days, begin, end)
        if not days:
            return end, end
        return begin + (days & -days).bit_length(), end

    def _count(self, sets: DaySets, identity: str, subject: str, begin: int, end: int) -> int:
        days = sets.get(identity, {}).get(subject, 0)
        return self._between(days, begin, end).bit_count()

    def _between(self, days: int, begin: int, end: int) -> int:
        """Return the days of a set in [begin, end), the first of them as bit 0."""
        return days >> begin - (self.end_day - DAYS_READ) & (1 << end - begin) - 1


def _note(sets: DaySets, identity: str, subject: str, day: int) -> None:
    days = sets.setdefault(identity, {})
    days[subject] = days.get(subject, 0) | day
