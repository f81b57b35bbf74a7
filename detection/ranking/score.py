"""The risk score of a finding, from 0 to 100, with its reasons. It orders findings and drops none.

Every signal has a maximum of points, and the maxima add up to 100, so the reasons add up to the
score without a cap. No signal shrinks when an operation is added to a finding. Only
behaviour that the identity has shown for a long time lowers a score, by two thirds at most.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple

from detection.ranking.classify import (
    CACHE_SIZE,
    OTHER,
    ROUTINE,
    CatalogEntry,
    classify,
    classify_action,
    is_delete,
)
from detection.ranking.novelty import Novelty, novelty_reasons
from detection.ranking.reason import Reason
from detection.rule.allowlist import Allowlist
from detection.rule.filters import TARGET_SERVICES
from detection.rule.pairs import GroupPairs, OperationPairs
from detection.rule.ticks import MINUTE, SECOND

# The maximum of points for each signal.
MAX_POINTS = {
    "class": 44,
    "deletes": 10,
    "classes": 14,
    "spread": 6,
    "haste": 4,
    "both": 4,
    "address": 4,
    "actions": 6,
    "novelty": 8,
}
# Steps of the signals that count something: the minimum count, and the points from there on.
DELETE_COUNTS = ((3, 10), (2, 7), (1, 4))
CLASS_COUNTS = ((3, 14), (2, 8))
RESOURCE_GROUP_COUNTS = ((3, 3), (2, 2))
SUBSCRIPTION_COUNTS = ((2, 3),)
HASTE_DELAYS = (
    (5 * MINUTE, 4),
    (15 * MINUTE, 2),
)  # the maximum delay after a sign-in, and the points
BOTH_SERVICES = 4  # for sign-ins to two target services or more
OWN_ADDRESS = 4

SEVERITY_BANDS = ((74, "Critical"), (48, "High"), (22, "Medium"), (0, "Low"))

# Networks that are not public; Azure's own virtual address is one of them.
_INTERNAL = Allowlist.of(
    (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16"),
        *("169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3"),
        *("::/127", "::ffff:0:0/96", "fc00::/7", "fe80::/10", "ff00::/8"),
    )
)
_ANY = Allowlist.of(("0.0.0.0/0", "::/0"))


_points = itemgetter(0)


class ScoreInputs(NamedTuple):
    """The inputs of the score beside a group's own pairs.

    `resource_groups` and `subscriptions` count those that the identity changed in the window,
    `addresses` are public and called for this resource group alone, and `actions` are the names of
    the identity's corroborating operations.
    """

    resource_groups: int = 1
    subscriptions: int = 1
    addresses: Sequence[str] = ()
    actions: tuple[str, ...] = ()
    novelty: Novelty | None = None


class Score(NamedTuple):
    """The sum of the reasons' points, and the reasons, most points first."""

    points: int
    reasons: list[Reason]

    @property
    def severity(self) -> str:
        """The severity of the score."""
        return next(name for least, name in SEVERITY_BANDS if self.points >= least)


def score(pairs: GroupPairs, context: ScoreInputs) -> Score:
    """Score one finding."""
    reasons = [*_signals(pairs, context)]
    total = sum(reason.points for reason in reasons)
    if context.novelty is not None:
        reasons += novelty_reasons(pairs.by_operation, context.novelty, total)
        total = sum(reason.points for reason in reasons)
    return Score(total, sorted(reasons, key=_points, reverse=True))


@lru_cache(10_000)
def is_public(address: str) -> bool:
    """Return True if an address is readable and public."""
    return _ANY.covers(address) and not _INTERNAL.covers(address)


def _signals(pairs: GroupPairs, context: ScoreInputs) -> Iterator[Reason]:
    """Yield the reasons that the window alone gives."""
    by_operation = pairs.by_operation
    yield max([_gravest_operation(each.operation) for each in by_operation], key=_points)
    deletes = sum([each.number for each in by_operation if _counts_as_delete(each.operation)])
    if deletes:
        yield _deletes(deletes)
    grave = sorted(_grave(by_operation)) if len(by_operation) > 1 else ()
    if len(grave) > 1:
        yield Reason(
            _at_least(CLASS_COUNTS, len(grave)),
            f"Its operations are of {len(grave)} grave classes: {', '.join(grave)}",
        )
    groups, subscriptions = context.resource_groups, context.subscriptions
    if groups > 1 or subscriptions > 1:
        yield _spread(groups, subscriptions)
    haste = next((points for most, points in HASTE_DELAYS if pairs.soonest <= most), 0)
    if haste:
        yield Reason(haste, f"An operation came {_time(pairs.soonest)} after a sign-in")
    services = [service for service in TARGET_SERVICES if service in pairs.services]
    if len(services) > 1:
        yield Reason(BOTH_SERVICES, f"It had signed in to {' and to '.join(services)}")
    if context.addresses:
        yield Reason(
            OWN_ADDRESS,
            f"The public address {context.addresses[0]} called for no other resource group of "
            "the identity",
        )
    if context.actions:
        yield from _actions(context.actions)


@lru_cache(CACHE_SIZE)
def _gravest_operation(operation: str) -> Reason:
    """Return the reason that an operation gives if it is the gravest of a finding."""
    entry = classify(operation)
    kind = f"{entry.name}, {entry.technique}" if entry.technique else entry.name
    return Reason(
        entry.points,
        f"The gravest operation {entry.words}: {operation} ({kind})",
    )


@lru_cache(CACHE_SIZE)
def _counts_as_delete(operation: str) -> bool:
    return is_delete(operation) and classify(operation).name != ROUTINE


@lru_cache(CACHE_SIZE)
def _deletes(count: int) -> Reason:
    return Reason(
        _at_least(DELETE_COUNTS, count), f"{_count(count, 'operation')} deleted something"
    )


@lru_cache(CACHE_SIZE)
def _spread(groups: int, subscriptions: int) -> Reason:
    return Reason(
        _at_least(RESOURCE_GROUP_COUNTS, groups) + _at_least(SUBSCRIPTION_COUNTS, subscriptions),
        f"The identity changed {_count(groups, 'resource group')} in "
        f"{_count(subscriptions, 'subscription')}",
    )


@lru_cache(CACHE_SIZE)
def _actions(names: tuple[str, ...]) -> tuple[Reason, ...]:
    """Return the reason that corroborating operations give, if any of them is in the catalogue.

    It has the points of the gravest, and names them all, the gravest first.
    """
    entries = [entry for entry in map(classify_action, names) if entry is not None]
    if not entries:
        return ()
    entries.sort(key=lambda entry: entry.points, reverse=True)
    words = ", ".join(dict.fromkeys(entry.words for entry in entries))
    return (Reason(entries[0].points, f"The identity also {words}"),)


def _grave(by_operation: Sequence[OperationPairs]) -> set[str]:
    """Return the classes of the operations, without everyday changes."""
    entries: set[CatalogEntry] = {classify(each.operation) for each in by_operation}
    return {entry.name for entry in entries} - {ROUTINE, OTHER}


def _at_least(steps: Sequence[tuple[int, int]], count: int) -> int:
    return next((points for least, points in steps if count >= least), 0)


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _time(ticks: int) -> str:
    if ticks < MINUTE:
        return _count(ticks // SECOND, "second")
    return _count(ticks // MINUTE, "minute")
