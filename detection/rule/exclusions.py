"""Findings that somebody answers for: left out of what is reported, and counted.

An exclusion names an identity, a resource group or both, and says who owns it, why it is there
and until when. One that lacks any of that, or whose time has come, excludes nothing and is named.
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
    required=0,  # an item that lacks some excludes nothing and is named
    shared=0,
    remedy="create the watchlist if findings of known identities are to be left out",
    timed=False,
)

ExclusionRow = tuple[str, str, str, str, str]


class Exclusion(NamedTuple):
    """What is left out (folded; blank means any) until `expires` (ticks), and what it is called."""

    identity: str
    resource_group: str
    expires: int
    called: str


@dataclass(frozen=True)
class Exclusions:
    """The exclusions in force, the names of those that are not, and how many items say nothing."""

    active: tuple[Exclusion, ...] = ()
    expired: tuple[str, ...] = ()
    invalid: tuple[str, ...] = ()
    blank: int = 0

    @classmethod
    def of(cls, rows: Iterable[ExclusionRow], now: int) -> "Exclusions":
        """Read the rows of the watchlist at `now` (ticks)."""
        active: list[Exclusion] = []
        expired: list[str] = []
        invalid: list[str] = []
        blank = 0
        for row in rows:
            identity, resource_group, owner, reason, expires = map(str.strip, row)
            if not any((identity, resource_group, owner, reason, expires)):
                blank += 1
                continue
            called = f"{identity or 'any identity'} in {resource_group or 'any resource group'}"
            missing = _missing(identity or resource_group, owner, reason, expires)
            if missing:
                invalid.append(f"{called}: {missing}")
                continue
            end = parse_time(expires)
            if end <= now:
                expired.append(f"{called} ({owner}: {reason}) expired {format_time(end)[:19]}Z")
                continue
            called = f"{called} ({owner}: {reason})"
            active.append(
                Exclusion(ascii_lower(identity), ascii_lower(resource_group), end, called)
            )
        return cls(tuple(active), tuple(expired), tuple(invalid), blank)

    @property
    def problem(self) -> str:
        """A sentence on why the watchlist is of no use though it has items; "" if it is of use."""
        if not self.blank or self.active or self.expired or self.invalid:
            return ""
        columns = ", ".join(EXCLUSIONS_TABLE.columns)
        return (
            f"{self.blank} items of {EXCLUSIONS_TABLE.name} have none of the columns {columns}: no "
            "finding is left out; the columns' names are case-sensitive"
        )

    def split(self, groups: Iterable[Group]) -> tuple[list[Group], dict[str, int]]:
        """Return the groups that are not left out, and how many each exclusion left out.

        A group that several exclusions cover is counted once, for the first of them.
        """
        kept: list[Group] = []
        used: dict[str, int] = {}
        for group in groups:
            covering = self._covering(group)
            if covering is None:
                kept.append(group)
            else:
                used[covering.called] = used.get(covering.called, 0) + 1
        return kept, used

    @cached_property
    def _places(self) -> dict[tuple[str, str], int]:
        """Where the first exclusion of each identity and resource group is; blank means any."""
        places: dict[tuple[str, str], int] = {}
        for place, one in enumerate(self.active):
            places.setdefault((one.identity, one.resource_group), place)
        return places

    def _covering(self, group: Group) -> Exclusion | None:
        """Return the first exclusion that leaves a group out."""
        named = product(("", group.key.identity), ("", group.key.resource_group))
        places = [self._places[each] for each in named if each in self._places]
        return self.active[min(places)] if places else None


def _missing(subject: str, owner: str, reason: str, expires: str) -> str:
    """Return what an entry lacks, as a phrase; "" if nothing."""
    if not subject:
        return "names neither an identity nor a resource group"
    if not owner:
        return "names no owner"
    if not reason:
        return "gives no reason"
    try:
        parse_time(expires)
    except ValueError:
        return f"{expires[:60]!r} is not when it expires"
    return ""
