"""Exclusions: known findings that are counted and not reported.

An exclusion names an identity, a resource group or both, and its owner, reason and expiry time. An
incomplete or expired exclusion has no effect, and the run record lists it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import NamedTuple

from detection.rule.correlate import Group
from detection.rule.kql_text import ascii_lower
from detection.rule.log_rows import TableShape
from detection.rule.ticks import format_time, parse_time

EXCLUSIONS_TABLE = TableShape(
    name="ManagedIdentityExclusions",
    columns=("ServicePrincipalId", "ResourceGroup", "Owner", "Reason", "Expires"),
    required=0,  # an incomplete item excludes nothing and is listed
    shared=0,
    remedy="create the watchlist to exclude findings of known identities",
    timed=False,
)

ExclusionRow = tuple[str, str, str, str, str]


class Exclusion(NamedTuple):
    """An excluded identity and resource group, in ASCII lower case; blank means any.

    `expires` is in ticks. `label` describes the exclusion in run records.
    """

    identity: str
    resource_group: str
    expires: int
    label: str


@dataclass(frozen=True)
class Exclusions:
    """The active exclusions, the labels of the others, and the number of blank items."""

    active: tuple[Exclusion, ...] = ()
    expired: tuple[str, ...] = ()
    invalid: tuple[str, ...] = ()
    blank: int = 0

    @classmethod
    def of(cls, rows: Iterable[ExclusionRow], now: int) -> "Exclusions":
        """Parse the rows of the watchlist at time `now` (ticks)."""
        active: list[Exclusion] = []
        expired: list[str] = []
        invalid: list[str] = []
        blank = 0
        for row in rows:
            identity, resource_group, owner, reason, expires = map(str.strip, row)
            if not any((identity, resource_group, owner, reason, expires)):
                blank += 1
                continue
            label = f"{identity or 'any identity'} in {resource_group or 'any resource group'}"
            missing = _missing(identity or resource_group, owner, reason, expires)
            if missing:
                invalid.append(f"{label}: {missing}")
                continue
            end = parse_time(expires)
            if end <= now:
                expired.append(f"{label} ({owner}: {reason}) expired {format_time(end)[:19]}Z")
                continue
            label = f"{label} ({owner}: {reason})"
            active.append(Exclusion(ascii_lower(identity), ascii_lower(resource_group), end, label))
        return cls(tuple(active), tuple(expired), tuple(invalid), blank)

    @property
    def problem(self) -> str:
        """The reason why a watchlist with items has no exclusion; "" if it has some or no items."""
        if not self.blank or self.active or self.expired or self.invalid:
            return ""
        columns = ", ".join(EXCLUSIONS_TABLE.columns)
        return (
            f"No item of {EXCLUSIONS_TABLE.name} has a value in any of the columns {columns} "
            f"(items: {self.blank}): no finding is excluded; the columns' names are case-sensitive"
        )

    def split(self, groups: Iterable[Group]) -> tuple[list[Group], dict[str, int]]:
        """Return the groups that no exclusion covers, and the number that each one covers.

        A group that several exclusions cover counts for the first of them.
        """
        kept: list[Group] = []
        used: dict[str, int] = {}
        for group in groups:
            covering = self._first_covering(group.key.identity, group.key.resource_group)
            if covering is None:
                kept.append(group)
            else:
                used[covering.label] = used.get(covering.label, 0) + 1
        return kept, used

    def covers(self, identity: str, resource_group: str) -> bool:
        """Return True if an exclusion covers an identity in a resource group, in lower case."""
        return self._first_covering(identity, resource_group) is not None

    @cached_property
    def _first_positions(self) -> dict[tuple[str, str], int]:
        """The position of the first exclusion of each identity and resource group; "" means any."""
        positions: dict[tuple[str, str], int] = {}
        for position, one in enumerate(self.active):
            positions.setdefault((one.identity, one.resource_group), position)
        return positions

    def _first_covering(self, identity: str, resource_group: str) -> Exclusion | None:
        """Return the first exclusion that covers an identity in a resource group."""
        named = product(("", identity), ("", resource_group))
        positions = [self._first_positions[each] for each in named if each in self._first_positions]
        return self.active[min(positions)] if positions else None


def _missing(subject: str, owner: str, reason: str, expires: str) -> str:
    """Return the missing part of an entry as a phrase; "" if it is complete."""
    if not subject:
        return "names neither an identity nor a resource group"
    if not owner:
        return "names no owner"
    if not reason:
        return "gives no reason"
    try:
        parse_time(expires)
    except ValueError:
        return f"expires {expires[:60]!r}, which is not an ISO 8601 time"
    return ""
