"""Clauses 4 and 5 of the rule: pair by identity within the span, and summarise.

Pairs are counted, never formed. Per identity both sides are sorted by time; the sign-ins that an
operation pairs with are then a range of positions, so the pair count of a group is a sum of
lengths, and everything else about it follows from the ranges reached.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import filterfalse, islice
from operator import itemgetter
from typing import NamedTuple, TypeVar

from detection.rule.accesses import Accesses, count_below, merge_ranges
from detection.rule.allowlist import Allowlist
from detection.rule.memo import Memo
from detection.rule.rows import (
    CALLER_ADDRESS,
    IDENTITY,
    NAME,
    OPERATION,
    RESOURCE_GROUP,
    SUBSCRIPTION_ID,
    TIME,
    Logs,
    Operation,
    SignIn,
)
from detection.rule.select import (
    Chosen,
    RuleSettings,
    choose_operations,
    choose_sign_ins,
    operation_keys,
    resource_id,
)
from detection.rule.terms import fold, is_blank
from detection.rule.traces import Traces, traces

RESOURCES_SHOWN = 5
OPERATIONS_SHOWN = 10
AFFECTED_SHOWN = 10
SUBSCRIPTIONS_SHOWN = 5
ADDRESSES_SHOWN = 10
FIRST_LOOK = 100  # values among which the first few different ones are usually found

T = TypeVar("T")


class GroupKey(NamedTuple):
    """What a finding is about, folded as D3 compares it."""

    identity: str
    name: str
    resource_group: str


@dataclass(frozen=True, slots=True)
class Group:
    """One group of clause 5 in one window; times in ticks, texts as first spelt.

    `operations_at` maps each distinct operation's key to its latest time, earliest first.
    `traces` gives what score and evidence are made from; only what is reported is asked for it.
    """

    key: GroupKey
    service_principal_name: str
    service_principal_id: str
    resource_group: str
    pairs: int
    distinct_sign_ins: int
    resources: list[str]
    operations: list[str]
    affected_resources: list[str]
    subscription_ids: list[str]
    caller_addresses: list[str]
    first_event: int
    last_event: int
    operations_at: dict[str, int]
    traces: Callable[[], Traces] = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Detection:
    """What one window's logs come to: the groups, earliest first, and what was counted."""

    groups: list[Group]
    sign_ins: Chosen[SignIn]
    operations: Chosen[Operation]
    allowlist: Allowlist


def detect(logs: Logs, start: int, end: int, settings: RuleSettings) -> Detection:
    """Apply the whole rule to the rows with start < TimeGenerated <= end (ticks)."""
    allowlist = Allowlist.of(logs.allowlist)
    sign_ins = choose_sign_ins(logs.sign_ins, start, end, allowlist)
    operations = choose_operations(logs.operations, start, end, settings)
    folded = Memo[str, str](fold)
    groups = [
        group
        for identity, signed_in in sign_ins.by_identity.items()
        if (operated := operations.by_identity.get(identity))
        for group in _groups(identity, signed_in, operated, settings.span, folded)
    ]
    groups.sort(key=lambda group: (group.first_event, group.key))
    return Detection(groups, sign_ins, operations, allowlist)


def _groups(
    identity: str,
    sign_ins: list[SignIn],
    operations: list[Operation],
    span: int,
    folded: Memo[str, str],
) -> Iterator[Group]:
    """Yield an identity's groups: its names times the resource groups that each reached.

    Rows sort by time, and at one time by what they hold, so their order in a file is nothing.
    """
    operations.sort()
    times = [row[TIME] for row in operations]
    resource_groups = [folded[row[RESOURCE_GROUP]] for row in operations]
    by_name = _split(sign_ins, [folded[row[NAME]] for row in sign_ins])
    for name, mine in by_name.items():
        signed_in = Accesses(sorted(mine))
        near: Sequence[int] = range(len(operations))
        at = times
        if len(by_name) > 1:  # many names must not each look at all of the identity's operations
            near = signed_in.followers(times, span)
            at = [times[place] for place in near]
        lows = count_below(signed_in.times, [time - span for time in at])
        highs = count_below(signed_in.times, [time + 1 for time in at])
        pairs = [pair for pair in zip(near, lows, highs, strict=True) if pair[1] < pair[2]]
        labels = [resource_groups[place] for place, _, _ in pairs]
        for resource_group, reached in _split(pairs, labels).items():
            key = GroupKey(identity, name, resource_group)
            yield _summarise(key, signed_in, operations, reached)


def _summarise(
    key: GroupKey,
    signed_in: Accesses,
    operations: list[Operation],
    reached: list[tuple[int, int, int]],
) -> Group:
    """Clause 5 for one group: each operation reached, and the range of sign-ins it pairs with."""
    places, lows, highs = zip(*reached, strict=True)
    rows = [operations[place] for place in places]
    ranges = merge_ranges(lows, highs)
    first = signed_in.rows[ranges[0][0]]
    keys = operation_keys(rows)

    def shown(place: int, limit: int) -> list[str]:
        return first_spellings(map(itemgetter(place), rows), limit)

    return Group(
        key=key,
        service_principal_name=first[NAME],
        service_principal_id=first[IDENTITY],
        resource_group=rows[0][RESOURCE_GROUP],
        pairs=sum(highs) - sum(lows),
        distinct_sign_ins=signed_in.distinct(ranges),
        resources=signed_in.resources(ranges, RESOURCES_SHOWN),
        operations=shown(OPERATION, OPERATIONS_SHOWN),
        affected_resources=first_spellings(map(resource_id, rows), AFFECTED_SHOWN),
        subscription_ids=shown(SUBSCRIPTION_ID, SUBSCRIPTIONS_SHOWN),
        caller_addresses=first_spellings(
            filterfalse(is_blank, map(itemgetter(CALLER_ADDRESS), rows)), ADDRESSES_SHOWN
        ),
        first_event=first[TIME],
        last_event=rows[-1][TIME],
        operations_at=dict(zip(keys, map(itemgetter(TIME), rows), strict=True)),
        traces=lambda: traces(
            rows,
            keys,
            [signed_in.rows[high - 1] for high in highs],
            signed_in.resources(ranges, len(signed_in.rows)),
        ),
    )


def first_spellings(values: Iterable[str], limit: int) -> list[str]:
    """Return the first `limit` values that differ without ASCII case, each as first spelt (D3)."""
    found: dict[str, str] = {}
    remaining = iter(values)
    for some in (islice(remaining, FIRST_LOOK), remaining):
        for value in dict.fromkeys(some):
            found.setdefault(fold(value), value)
            if len(found) == limit:
                return list(found.values())
    return list(found.values())


def _split(items: list[T], labels: list[str]) -> dict[str, list[T]]:
    """Split items by their labels, in order."""
    if len(set(labels)) == 1:
        return {labels[0]: items}
    found: defaultdict[str, list[T]] = defaultdict(list)
    for label, item in zip(labels, items, strict=True):
        found[label].append(item)
    return found
