"""Clauses 4 and 5 of the rule: pair by identity within the span, and summarise.

Pairs are counted, never formed. The sign-ins and operations of an identity are sorted by time, so
an operation pairs with a range of sign-ins. The pair count of a group is the sum of the ranges'
lengths, and all other columns follow from the ranges too.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, filterfalse, islice
from operator import itemgetter
from types import MappingProxyType
from typing import Final, NamedTuple

from detection.rule.allowlist import Allowlist
from detection.rule.filters import (
    Matched,
    RuleSettings,
    match_operations,
    match_sign_ins,
)
from detection.rule.kql_text import ascii_lower, is_blank
from detection.rule.log_rows import (
    CALLER_ADDRESS,
    IDENTITY,
    OPERATION_NAME,
    RESOURCE_GROUP,
    SERVICE_PRINCIPAL_NAME,
    SUBSCRIPTION_ID,
    TIME,
    Logs,
    Operation,
    SignIn,
    operation_keys,
    resource_ids,
)
from detection.rule.memo import Memo
from detection.rule.pairs import OperationPairs, group_pairs
from detection.rule.sign_in_index import (
    IdentityRows,
    SignInIndex,
    SignInsByName,
    identities_with_too_many_names,
    merge_ranges,
    split_by_name,
)

# The caps of clause 5's sets. The queries in detection/kql get them from here.
RESOURCES_SHOWN: Final = 5
OPERATIONS_SHOWN: Final = 10
AFFECTED_SHOWN: Final = 10
SUBSCRIPTIONS_SHOWN: Final = 5
ADDRESSES_SHOWN: Final = 10
FIRST_VALUES: Final = 32  # these first values of a group often hold all that a cap allows

TIME_OF = itemgetter(TIME)
OPERATION_OF = itemgetter(OPERATION_NAME)
SUBSCRIPTION_OF = itemgetter(SUBSCRIPTION_ID)
CALLER_ADDRESS_OF = itemgetter(CALLER_ADDRESS)

PairedOperation = tuple[
    Operation, int, int
]  # it pairs with the sign-ins at positions low <= p < high
Key = str | bytes  # identifies an operation; bytes if the workspace's cluster has hashed it


class GroupKey(NamedTuple):
    """The columns that identify a group, in lower case as D3 compares them."""

    identity: str
    name: str
    resource_group: str


ReportedKeys = Mapping[GroupKey, Collection[Key]]
NOTHING_REPORTED: Final[ReportedKeys] = MappingProxyType({})


@dataclass(slots=True)
class Group:
    """One group of clause 5 in one window; times in ticks, texts as first spelt.

    `operations_at` maps each distinct operation's key to its latest time, earliest first.
    `read_pairs` returns the pairs for score and evidence, by operation name, given the operations
    of each group that are reported already. Call it for reported groups only: in cluster mode it
    runs a query, and raises SourceError if that fails.
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
    operations_at: Mapping[Key, int]
    read_pairs: Callable[[ReportedKeys], list[OperationPairs]] = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Detection:
    """The result of the rule on one window's logs: the groups, earliest first, and the counts.

    `unsplit_identities` holds the identities with too many names: their groups are not split by
    name.
    """

    groups: list[Group]
    sign_ins: Matched[SignIn]
    operations: Matched[Operation]
    allowlist: Allowlist
    unsplit_identities: tuple[str, ...] = ()


def detect(logs: Logs, start: int, end: int, settings: RuleSettings) -> Detection:
    """Apply the whole rule to the rows with start < TimeGenerated <= end (ticks)."""
    allowlist = Allowlist.of(logs.allowlist)
    sign_ins = match_sign_ins(logs.sign_ins, start, end, allowlist)
    operations = match_operations(logs.operations, start, end, settings)
    folded = Memo[str, str](ascii_lower)
    identities: dict[str, IdentityRows] = {}
    for identity, signed_in in sign_ins.by_identity.items():
        if operated := operations.by_identity.get(identity):
            _sort(signed_in)
            _sort(operated)
            identities[identity] = IdentityRows(split_by_name(signed_in, folded), operated)
    unsplit_identities = identities_with_too_many_names(identities.items(), folded)
    for identity in unsplit_identities:
        everything = {"": sign_ins.by_identity[identity]}
        identities[identity] = identities[identity]._replace(sign_ins=everything)
    groups = [
        group
        for identity, (named, operated) in identities.items()
        for group in _groups(identity, named, operated, settings.span, folded)
    ]
    groups.sort(key=lambda group: (group.first_event, group.key))
    return Detection(groups, sign_ins, operations, allowlist, tuple(sorted(unsplit_identities)))


def _groups(
    identity: str,
    sign_ins: SignInsByName,
    operations: list[Operation],
    span: int,
    folded: Memo[str, str],
) -> Iterator[Group]:
    """Yield the groups of an identity: one for each name and each resource group it changed."""
    for name, mine in sign_ins.items():
        signed_in = SignInIndex(mine)
        near = operations
        if len(sign_ins) > 1:  # many names must not each look at all of the identity's operations
            times = [row[TIME] for row in operations]
            near = [operations[place] for place in signed_in.followers(times, span)]
        if near:
            for resource_group, paired in _paired_operations(signed_in, near, span, folded).items():
                yield _summarise(GroupKey(identity, name, resource_group), signed_in, paired)


def _paired_operations(
    signed_in: SignInIndex, operations: list[Operation], span: int, folded: Memo[str, str]
) -> dict[str, list[PairedOperation]]:
    """Clause 4: return the operations that pair, by resource group, with their sign-ins' range."""
    ahead = [*signed_in.times, operations[-1][TIME] + 1]  # a sentinel that stops both loops
    found: defaultdict[str, list[PairedOperation]] = defaultdict(list)
    low = high = 0
    for row in operations:
        time = row[TIME]
        while ahead[high] <= time:
            high += 1
        earliest = time - span
        while ahead[low] < earliest:
            low += 1
        if low < high:
            found[folded[row[RESOURCE_GROUP]]].append((row, low, high))
    return found


def _summarise(key: GroupKey, signed_in: SignInIndex, paired: list[PairedOperation]) -> Group:
    """Clause 5: summarise one group, given its operations and their ranges of sign-ins."""
    rows, lows, highs = zip(*paired, strict=True)
    ranges = merge_ranges(lows, highs)
    first = signed_in.rows[lows[0]]
    keys = operation_keys(rows)
    latest_sign_ins = [signed_in.rows[high - 1] for high in highs]

    def read_pairs(reported: ReportedKeys) -> list[OperationPairs]:
        return group_pairs(rows, keys, latest_sign_ins, reported.get(key, ()))

    return Group(
        key=key,
        service_principal_name=first[SERVICE_PRINCIPAL_NAME],
        service_principal_id=first[IDENTITY],
        resource_group=rows[0][RESOURCE_GROUP],
        pairs=sum(highs) - sum(lows),
        distinct_sign_ins=signed_in.distinct(ranges),
        resources=signed_in.resources(ranges, RESOURCES_SHOWN),
        operations=first_spellings(map(OPERATION_OF, rows), OPERATIONS_SHOWN),
        affected_resources=first_spellings(resource_ids(rows), AFFECTED_SHOWN),
        subscription_ids=first_spellings(map(SUBSCRIPTION_OF, rows), SUBSCRIPTIONS_SHOWN),
        caller_addresses=first_spellings(
            filterfalse(is_blank, dict.fromkeys(map(CALLER_ADDRESS_OF, rows))), ADDRESSES_SHOWN
        ),
        first_event=first[TIME],
        last_event=rows[-1][TIME],
        operations_at=dict(zip(keys, map(TIME_OF, rows), strict=True)),
        read_pairs=read_pairs,
    )


def first_spellings(values: Iterable[str], limit: int) -> list[str]:
    """Return the first `limit` values that differ without ASCII case, each as first spelt (D3)."""
    remaining = iter(values)
    different = dict.fromkeys(islice(remaining, FIRST_VALUES))
    if len(different) < limit:
        different.update(dict.fromkeys(remaining))
    shown = list(different)[:limit]
    # Texts that differ in Unicode lower case differ in ASCII lower case too. Nearly all do.
    if len(shown) < 2 or len(set(map(str.lower, shown))) == len(shown):
        return shown
    found: dict[str, str] = {}
    for value in chain(different, remaining):
        found.setdefault(ascii_lower(value), value)
        if len(found) == limit:
            break
    return list(found.values())


def _sort(rows: list[SignIn] | list[Operation]) -> None:
    """Sort rows by time, then by all their values, so that the order of the input is irrelevant."""
    rows.sort(key=TIME_OF)
    if len(set(map(TIME_OF, rows))) < len(rows):
        rows.sort()
