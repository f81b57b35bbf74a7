"""The risk score of a finding, from 0 to 100, with its reasons. It orders findings and drops none.

A score is the sum of its reasons' points. Every signal has a maximum, and the maxima are 100 at
most, so no sum is cut off. No signal shrinks when an operation is added to a finding, and an
operation that is routine for its identity counts less from the beginning, so a score never falls.
docs/risk.md gives the reason for each weight.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Final, NamedTuple

from detection.ranking.classify import (
    CACHE_SIZE,
    OTHER,
    ROUTINE,
    CatalogEntry,
    classify,
    classify_action,
    is_delete,
)
from detection.ranking.summary import OperationSum, Summary

# The maximum of points for each signal; the spread counts for an identity only.
MAX_POINTS: Final = {
    "gravity": 44,
    "volume": 14,
    "classes": 5,
    "actions": 10,
    "new operation": 7,
    "new resource group": 2,
    "new network": 5,
    "token": 6,
    "right": 2,
    "spread": 5,
}
# Steps of the signals that count something: the minimum count, and the points from there on.
VOLUME_COUNTS: Final = ((100, 14), (25, 11), (10, 8), (3, 4))
CLASS_COUNTS: Final = ((3, 5), (2, 2))
RESOURCE_GROUP_COUNTS: Final = ((3, 3), (2, 2))
SUBSCRIPTION_COUNTS: Final = ((2, 2),)

GRAVE_POINTS: Final = 20  # an operation with this many points or more is grave

# The severities that Microsoft Sentinel knows, by the minimum of points.
SEVERITY_BANDS: Final = ((44, "High"), (22, "Medium"), (10, "Low"), (0, "Informational"))

_points = itemgetter(0)


class Reason(NamedTuple):
    """A sentence that explains part of the score, and the points of that part."""

    points: int
    sentence: str


class Score(NamedTuple):
    """The sum of the reasons' points, and the reasons, most points first."""

    points: int
    reasons: list[Reason]

    @property
    def severity(self) -> str:
        """The severity of the score."""
        return severity_of(self.points)


def severity_of(points: int) -> str:
    """Return the severity of a number of points."""
    return next(name for least, name in SEVERITY_BANDS if points >= least)


def score(summary: Summary) -> Score:
    """Score one finding by the sum of its revisions."""
    return _score(_signals(summary))


def identity_score(summary: Summary) -> Score:
    """Score an identity by the sum of its findings: at least the score of each of them."""
    return _score([*_signals(summary), *_spread(summary)])


def _score(reasons: Iterator[Reason] | list[Reason]) -> Score:
    found = sorted(reasons, key=_points, reverse=True)
    return Score(sum(map(_points, found)), found)


def _signals(summary: Summary) -> Iterator[Reason]:
    """Yield the reasons of everything but the spread over resource groups."""
    operations = [each for _, each in sorted(summary.operations.items())]
    yield from _gravest(operations, summary)
    grave = [each for each in operations if _is_grave(each)]
    number = sum(each.number for each in grave)
    if points := _at_least(VOLUME_COUNTS, number):
        yield Reason(points, f"It has {number} grave operations")
    classes = sorted({classify(each.operation).name for each in grave})
    if points := _at_least(CLASS_COUNTS, len(classes)):
        names = ", ".join(classes)
        yield Reason(points, f"Its grave operations are of {len(classes)} classes: {names}")
    yield from _new(operations)
    if summary.new_group:
        yield Reason(
            MAX_POINTS["new resource group"],
            f"The identity had not changed the resource group in {summary.new_group} days",
        )
    if summary.new_network:
        yield Reason(
            MAX_POINTS["new network"],
            f"The address {summary.new_network} is of a network that is new for the identity",
        )
    if summary.two_networks:
        yield Reason(
            MAX_POINTS["token"],
            f"One token of the identity was used from two networks: {summary.two_networks}",
        )
    if summary.wide_right:
        yield Reason(MAX_POINTS["right"], f"It acted with a wide right: {summary.wide_right}")
    yield from _actions(tuple(sorted(summary.actions)), "The identity also")
    # Another cut of the windows might not show these, so they add no points.
    later = sorted(summary.later_actions.keys() - summary.actions.keys())
    for reason in _actions(tuple(later), "In the same hours the identity"):
        yield reason._replace(points=0)


def _gravest(operations: Sequence[OperationSum], summary: Summary) -> Iterator[Reason]:
    """Yield the points of the gravest operation, and the part that its familiarity takes off."""
    gravest = max(operations, key=_weight)
    reason = _gravest_operation(gravest.operation, gravest.points)
    yield reason
    grant = next(iter(summary.grants), None)
    if grant and (role := grant.role or grant.role_definition_id):
        yield Reason(0, f"The gravest of its grants is {role} at {grant.scope}")
    past = gravest.familiarity
    if past.is_routine:
        where = "in this resource group too" if past.is_routine_here else "in other resource groups"
        yield Reason(
            past.kept(reason.points) - reason.points,
            f"The identity did the same on {past.days} of {past.length} days before, {where}",
        )


def _weight(each: OperationSum) -> tuple[int, int, bool, int]:
    """Return the rank of an operation; of equals, the first in the evidence is the gravest."""
    earliest = each.pairs[0].operated if each.pairs else 0
    return each.kept_points, each.points, is_delete(each.operation), -earliest


def _is_grave(each: OperationSum) -> bool:
    """Return True for a grave operation that is not routine for its identity."""
    return each.points >= GRAVE_POINTS and not each.familiarity.is_routine


def _new(operations: Sequence[OperationSum]) -> Iterator[Reason]:
    """Yield the points of operations that the identity had not done before."""
    entries: dict[str, CatalogEntry] = {}
    lengths: list[int] = []
    for each in operations:
        entry = classify(each.operation)
        if each.familiarity.is_new and entry.name not in (ROUTINE, OTHER):
            entries[entry.words] = entry
            lengths.append(each.familiarity.length)
    if entries:
        ranked = sorted(entries.values(), key=lambda entry: (-entry.points, entry.words))
        words = ", ".join(entry.words for entry in ranked)
        yield Reason(
            MAX_POINTS["new operation"], f"New for the identity in {min(lengths)} days: it {words}"
        )


@lru_cache(CACHE_SIZE)
def _gravest_operation(operation: str, points: int) -> Reason:
    """Return the reason that an operation gives if it is the gravest of a finding."""
    entry = classify(operation)
    kind = f"{entry.name}, {entry.technique}" if entry.technique else entry.name
    return Reason(points, f"The gravest operation {entry.words}: {operation} ({kind})")


def _spread(summary: Summary) -> Iterator[Reason]:
    groups, subscriptions = len(summary.resource_groups), len(summary.subscriptions)
    points = _at_least(RESOURCE_GROUP_COUNTS, groups) + _at_least(
        SUBSCRIPTION_COUNTS, subscriptions
    )
    if points:
        yield Reason(
            points,
            f"The identity changed {_count(groups, 'resource group')} in "
            f"{_count(subscriptions, 'subscription')}",
        )


@lru_cache(CACHE_SIZE)
def _actions(names: tuple[str, ...], subject: str) -> tuple[Reason, ...]:
    """Return the reason that corroborating operations give, if any of them is in the catalogue.

    It has the points of the gravest, and names them all, the gravest first.
    """
    entries = [entry for entry in map(classify_action, names) if entry is not None]
    if not entries:
        return ()
    entries.sort(key=lambda entry: entry.points, reverse=True)
    words = ", ".join(dict.fromkeys(entry.words for entry in entries))
    return (Reason(entries[0].points, f"{subject} {words}"),)


def _at_least(steps: Sequence[tuple[int, int]], count: int) -> int:
    return next((points for least, points in steps if count >= least), 0)


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
