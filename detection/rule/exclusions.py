"""Exclusions: known findings that are counted and not reported.

An exclusion names an identity, a resource group or both, and its owner, reason and expiry time. It
may also name classes of operations: then it covers only a group that has no other operations. An
invalid or expired exclusion has no effect, and the run record lists it.
"""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain, product
from typing import NamedTuple

from detection.rule.correlate import Group
from detection.rule.kql_text import ascii_lower
from detection.rule.log_rows import TableShape
from detection.rule.ticks import format_time, parse_time

EXCLUSIONS_TABLE = TableShape(
    name="ManagedIdentityExclusions",
    columns=(
        "ServicePrincipalId",
        "ResourceGroup",
        "OperationClasses",
        "Owner",
        "Reason",
        "Expires",
    ),
    required=0,  # an incomplete item excludes nothing and is listed
    shared=0,
    remedy="create the watchlist to exclude findings of known identities",
    timed=False,
)

ExclusionRow = tuple[str, str, str, str, str, str]


class Exclusion(NamedTuple):
    """An excluded identity and resource group, in ASCII lower case; blank means any.

    `classes` are the only classes of operations that a covered group has; any if there are none.
    `expires` is in ticks. `label` describes the exclusion in run records.
    """

    identity: str
    resource_group: str
    classes: frozenset[str]
    expires: int
    label: str


IsOfClasses = Callable[[Collection[str]], bool]
HasOnly = Callable[[Group, Collection[str]], bool]


@dataclass(frozen=True)
class Exclusions:
    """The active exclusions, the labels of the others, and the number of blank items."""

    active: tuple[Exclusion, ...] = ()
    expired: tuple[str, ...] = ()
    invalid: tuple[str, ...] = ()
    blank: int = 0

    @classmethod
    def of(
        cls, rows: Iterable[ExclusionRow], now: int, known_classes: Collection[str]
    ) -> "Exclusions":
        """Parse the rows of the watchlist at time `now` (ticks).

        `known_classes` are the classes of operations that an exclusion may name.
        """
        active: list[Exclusion] = []
        expired: list[str] = []
        invalid: list[str] = []
        blank = 0
        for row in rows:
            identity, resource_group, listed, owner, reason, expires = map(str.strip, row)
            if not any((identity, resource_group, listed, owner, reason, expires)):
                blank += 1
                continue
            classes = named_classes(listed)
            label = f"{identity or 'any identity'} in {resource_group or 'any resource group'}"
            problem = _missing(identity or resource_group, owner, reason, expires) or (
                _class_problem(listed, classes, known_classes)
            )
            if problem:
                invalid.append(f"{label}: {problem}")
                continue
            if classes:
                label += f" for {', '.join(classes)}"
            end = parse_time(expires)
            if end <= now:
                expired.append(f"{label} ({owner}: {reason}) expired {format_time(end)[:19]}Z")
                continue
            label = f"{label} ({owner}: {reason})"
            active.append(
                Exclusion(
                    ascii_lower(identity),
                    ascii_lower(resource_group),
                    frozenset(classes),
                    end,
                    label,
                )
            )
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

    def split(
        self, groups: Iterable[Group], has_only: HasOnly
    ) -> tuple[list[Group], dict[str, int]]:
        """Return the groups that no exclusion covers, and the number that each one covers.

        A group that several exclusions cover counts for the first of them. `has_only` returns True
        if all operations of a group are of the classes given.
        """
        kept: list[Group] = []
        used: dict[str, int] = {}
        for group in groups:
            covering = self._first_covering(
                group.key.identity, group.key.resource_group, partial(has_only, group)
            )
            if covering is None:
                kept.append(group)
            else:
                used[covering.label] = used.get(covering.label, 0) + 1
        return kept, used

    def covers(self, identity: str, resource_group: str, has_only: IsOfClasses) -> bool:
        """Return True if an exclusion covers operations of an identity in a resource group.

        Both are in lower case. `has_only` returns True if the operations are of the classes given.
        """
        return self._first_covering(identity, resource_group, has_only) is not None

    @cached_property
    def _positions(self) -> dict[tuple[str, str], list[int]]:
        """The positions of the exclusions of each identity and resource group; "" means any.

        Those after one without classes are left out, because it covers all that they would cover.
        """
        positions: dict[tuple[str, str], list[int]] = {}
        for position, one in enumerate(self.active):
            same = positions.setdefault((one.identity, one.resource_group), [])
            if not same or self.active[same[-1]].classes:
                same.append(position)
        return positions

    def _first_covering(
        self, identity: str, resource_group: str, has_only: IsOfClasses
    ) -> Exclusion | None:
        """Return the first exclusion that covers operations of an identity in a resource group."""
        named = product(("", identity), ("", resource_group))
        positions = sorted(chain.from_iterable(self._positions.get(each, ()) for each in named))
        for one in map(self.active.__getitem__, positions):
            if not one.classes or has_only(one.classes):
                return one
        return None


def named_classes(text: str) -> list[str]:
    """Return the names in a list that `;` or `,` divides, in ASCII lower case, each once."""
    names = (" ".join(ascii_lower(name).split()) for name in re.split("[;,]", text))
    return list(dict.fromkeys(filter(None, names)))


def _class_problem(text: str, classes: Iterable[str], known: Collection[str]) -> str:
    """Return the problem of a list of classes as a phrase; "" if there is none."""
    if text and not classes:
        return f"names no operation class in {text[:60]!r}"
    for name in classes:
        if name not in known:
            return f"names the unknown operation class {name[:60]!r} (docs/risk.md lists them)"
    return ""


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
