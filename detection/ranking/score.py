"""How grave a finding looks, from 0 to 100, with the reasons: it orders findings, and drops none.

Every signal has a largest number of points, and those make 100 together, so the reasons add up to
the score without a cap. No signal shrinks when an operation is added to a finding. Only what an
identity has long been doing lowers a score, and never below nothing.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple

from detection.ranking.classify import (
    CACHE_SIZE,
    OTHER,
    ROUTINE,
    OperationClass,
    classify,
    classify_action,
    is_delete,
)
from detection.rule.allowlist import Allowlist
from detection.rule.filters import TARGET_SERVICES
from detection.rule.pairs import GroupPairs, OperationPairs
from detection.rule.ticks import DAY, MINUTE, SECOND

# The most points each signal gives.
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
DELETE_COUNTS = ((3, 10), (2, 7), (1, 4))  # from so many on, so many points
CLASS_COUNTS = ((3, 14), (2, 8))
RESOURCE_GROUP_COUNTS = ((3, 3), (2, 2))
SUBSCRIPTION_COUNTS = ((2, 3),)
PROXIMITY = ((5 * MINUTE, 4), (15 * MINUTE, 2))  # up to so long after a sign-in
BOTH_SERVICES, OWN_ADDRESS = 4, 4
ACTION_COUNTS = ((2, 6), (1, 4))
FIRST_CLASS, FIRST_GROUP, LONG_SEEN = 5, 3, -10

SEVERITY_BANDS = ((74, "Critical"), (48, "High"), (22, "Medium"), (0, "Low"))

HISTORY_NEEDED = 7 * DAY
ROUTINE_DAYS = 10  # days of the last 14 from which on something is nothing new

# Addresses that are in no public network; Azure's own virtual address is one of them.
_INTERNAL = Allowlist.of(
    (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16"),
        *("169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3"),
        *("::/127", "::ffff:0:0/96", "fc00::/7", "fe80::/10", "ff00::/8"),
    )
)
_ANY = Allowlist.of(("0.0.0.0/0", "::/0"))


class Reason(NamedTuple):
    """A plain sentence, and the points it gives."""

    points: int
    sentence: str


_points = itemgetter(0)


class Novelty(NamedTuple):
    """What is known of an identity's past: on how many days each class and this resource group.

    `length` is how far back the history goes, in ticks.
    """

    length: int
    class_days: dict[str, int]
    group_days: int


class ScoreInputs(NamedTuple):
    """What the score takes into account beside a group's own pairs.

    `resource_groups` and `subscriptions` count what the identity reached in the window,
    `addresses` are the public ones of this resource group alone, `actions` the operation names
    outside the rule that say more about the identity.
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
        """The band that the score lies in."""
        return next(name for least, name in SEVERITY_BANDS if self.points >= least)


def score(pairs: GroupPairs, context: ScoreInputs) -> Score:
    """Judge one finding."""
    reasons = [*_signals(pairs, context)]
    total = sum(reason.points for reason in reasons)
    if context.novelty is not None:
        reasons += _novelty(_grave(pairs.by_operation), context.novelty, total)
        total = sum(reason.points for reason in reasons)
    return Score(total, sorted(reasons, key=_points, reverse=True))


@lru_cache(10_000)
def is_public(address: str) -> bool:
    """Whether an address can be read and lies in no internal network."""
    return _ANY.covers(address) and not _INTERNAL.covers(address)


def _signals(pairs: GroupPairs, context: ScoreInputs) -> Iterator[Reason]:
    """Yield what the window itself says."""
    by_operation = pairs.by_operation
    yield max([_gravest_operation(act.operation) for act in by_operation], key=_points)
    deletes = sum([act.number for act in by_operation if _counts_as_delete(act.operation)])
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
    haste = next((points for most, points in PROXIMITY if pairs.soonest <= most), 0)
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
    """Return what an operation's name says, if it is the gravest."""
    kind = classify(operation)
    return Reason(
        kind.points,
        f"The gravest operation {kind.words}: {operation} ({kind.name}, {kind.technique})",
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
    """Return what operations outside the rule say, if they say anything."""
    kinds = [kind for kind in map(classify_action, names) if kind is not None]
    if not kinds:
        return ()
    words = ", ".join(dict.fromkeys(kind.words for kind in kinds))
    return (Reason(_at_least(ACTION_COUNTS, len(kinds)), f"The identity also {words}"),)


def _novelty(grave: set[str], novelty: Novelty, total: int) -> Iterator[Reason]:
    """Yield what the identity's past says; what is taken off is at most the `total` so far."""
    days = novelty.length // DAY
    if novelty.length < HISTORY_NEEDED:
        yield Reason(0, f"Whether this is new cannot be said: the history has {days} of 7 days")
        return
    first = sorted(name for name in grave if not novelty.class_days.get(name))
    if first:
        yield Reason(FIRST_CLASS, f"New for the identity in {days} days: {', '.join(first)}")
    if not novelty.group_days:
        yield Reason(FIRST_GROUP, f"The resource group is new for the identity in {days} days")
    often = all(novelty.class_days.get(name, 0) >= ROUTINE_DAYS for name in grave)
    if often and novelty.group_days >= ROUTINE_DAYS:
        yield Reason(
            max(LONG_SEEN, -total),
            f"The identity did this here on {novelty.group_days} of the last {days} days",
        )


def _grave(by_operation: Sequence[OperationPairs]) -> set[str]:
    """Return the classes of the operations that are more than everyday changes."""
    kinds: set[OperationClass] = {classify(act.operation) for act in by_operation}
    return {kind.name for kind in kinds} - {ROUTINE, OTHER}


def _at_least(steps: Sequence[tuple[int, int]], count: int) -> int:
    return next((points for least, points in steps if count >= least), 0)


def _count(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _time(ticks: int) -> str:
    if ticks < MINUTE:
        return _count(ticks // SECOND, "second")
    return _count(ticks // MINUTE, "minute")
