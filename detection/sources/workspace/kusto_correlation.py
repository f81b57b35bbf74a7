"""Correlation in the workspace's own cluster, with kql/correlate.kql, and how it is read.

The allowlist is looked up here, address by address, so that its every form means the same in both
engines: the cluster tells which addresses there are, and leaves out those that it is told to.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import orjson

from detection.errors import SourceError
from detection.rule.correlate import (
    ADDRESSES_SHOWN,
    AFFECTED_SHOWN,
    OPERATIONS_SHOWN,
    RESOURCES_SHOWN,
    SUBSCRIPTIONS_SHOWN,
    Group,
    GroupKey,
    Key,
)
from detection.rule.filters import Matched
from detection.rule.kql_text import ascii_lower
from detection.rule.ledger import HASH_BYTES
from detection.rule.log_rows import OPERATION_TABLE, SIGN_IN_TABLE, SignIn
from detection.rule.pairs import GroupPairs
from detection.rule.ticks import parse_time
from detection.sources.log_analytics.api_errors import PartialResult
from detection.sources.log_analytics.client import Answer, LogAnalytics, summary_shape
from detection.sources.workspace.kusto_pairs import PAIR_COLUMNS, ClusterPairs, PairRows
from detection.sources.workspace.queries import WindowQueries
from detection.sources.workspace.read_rows import read_all_counted
from detection.sources.workspace.window_counts import WindowCounts

# In one query. How long a query's text may be is not documented; 1.69 million characters were too
# many (github.com/Azure/Azure-Sentinel/issues/8376). 2,000 addresses make it 95,000 at the most.
MAX_EXCLUDED_ADDRESSES: Final = 2_000
ADDRESS_COLUMNS: Final = ("Address", "Matched")
GROUP_COLUMNS: Final = (
    "ServicePrincipalName",
    "ServicePrincipalId",
    "ResourceGroup",
    "DataPlaneAccesses",
    "MgmtPlaneOps",
    "DistinctSignIns",
    "Resources",
    "Operations",
    "AffectedResources",
    "SubscriptionIds",
    "CallerIpAddresses",
    "FirstEvent",
    "LastEvent",
    "Part",
    "Keys",
    "Times",
    "SignInsSeen",
    "OperationsSeen",
)
GROUP_KEY_COLUMNS: Final = 3  # of them are the same in all rows of a group, and in no other's
ROW_COUNTS_PART: Final = -1  # the part of the rows that say how many rows of a table the query saw

PairsOf = Callable[[GroupKey], GroupPairs]


class AddressCounts(NamedTuple):
    """From which addresses how many sign-ins came, and the size of the answer that says so."""

    counts: list[tuple[str, int]]
    size: int

    def sign_ins(self) -> int:
        """Return how many there are from all."""
        return sum(count for _, count in self.counts)


class GroupRows(NamedTuple):
    """The groups' rows, how many rows of each table they were made of, and the answer's size."""

    rows: list[Any]
    seen: dict[str, int]
    size: int


def correlate_in_cluster(
    workspace: LogAnalytics, queries: WindowQueries, partition: range, known: WindowCounts
) -> tuple[list[Group], Matched[SignIn], int]:
    """Return the groups of a partition, how many sign-ins took part, and the answers' size.

    The groups' traces are asked for when needed. Where none of the operations counted can pair,
    there is no group, and the cluster is not asked for any.

    Raises CutShort where the groups are more than an answer holds, the query is more than the
    cluster can do, or the addresses to leave out are more than it can name; SourceError where it
    saw fewer rows than were counted.
    """
    # One bucket, which may be one identity, is not cut in halves.
    put = workspace.ask_once_more_if_partial if len(partition) == 1 else workspace.ask

    def ask() -> AddressCounts:
        asked = put(queries.addresses(partition), summary_shape(SIGN_IN_TABLE, *ADDRESS_COLUMNS))
        try:
            return AddressCounts(
                [(name, int(count)) for name, count in asked.table.rows], asked.size
            )
        except ValueError:
            raise _unreadable(workspace) from None

    counted = {SIGN_IN_TABLE: known.sign_ins_in(partition)}
    asked = read_all_counted(workspace, counted, ask, lambda found, _: found.sign_ins())
    addresses = asked.counts
    covered = {address for address, _ in addresses if known.allowlist.covers(address)}
    sign_ins: Matched[SignIn] = Matched(
        {},
        matched=asked.sign_ins(),
        excluded=sum(count for address, count in addresses if address in covered),
        without_address=sum(count for address, count in addresses if not address),
    )
    if not any(known.operations_in(partition)):
        return [], sign_ins, asked.size
    if len(covered) > MAX_EXCLUDED_ADDRESSES:
        raise PartialResult(
            f"sign-ins came from {len(covered)} addresses in the allowlist, and a query names "
            f"{MAX_EXCLUDED_ADDRESSES}"
        )
    excluded = tuple(sorted(covered))

    def find() -> GroupRows:
        answer = put(
            queries.correlate(partition, excluded), summary_shape(SIGN_IN_TABLE, *GROUP_COLUMNS)
        )
        try:
            return split_counts(answer)
        except ValueError:
            raise _unreadable(workspace) from None

    def traced(some: range) -> PairRows:
        return workspace.table(
            queries.pairs(some, excluded), SIGN_IN_TABLE, *PAIR_COLUMNS
        ).table.rows

    counted[OPERATION_TABLE] = known.all_operations_in(partition)
    found = read_all_counted(workspace, counted, find, lambda found, shape: found.seen[shape.name])
    try:
        groups = groups_of(found.rows, ClusterPairs(traced, partition, known.rows()).of)
    except (ValueError, TypeError, KeyError):
        raise _unreadable(workspace) from None
    return groups, sign_ins, asked.size + found.size


def split_counts(answer: Answer) -> GroupRows:
    """Tell the groups' rows from those that say how many rows the query saw."""
    part, of_sign_ins, of_operations = map(
        GROUP_COLUMNS.index, ("Part", "SignInsSeen", "OperationsSeen")
    )
    rows = answer.table.rows
    told = [row for row in rows if int(row[part]) == ROW_COUNTS_PART]
    seen = {
        SIGN_IN_TABLE.name: sum(int(row[of_sign_ins] or 0) for row in told),
        OPERATION_TABLE.name: sum(int(row[of_operations] or 0) for row in told),
    }
    return GroupRows([row for row in rows if int(row[part]) != ROW_COUNTS_PART], seen, answer.size)


def _unreadable(workspace: LogAnalytics) -> SourceError:
    return SourceError(f"{workspace.where(SIGN_IN_TABLE)}: what its cluster found cannot be read")


def groups_of(rows: list[Any], pairs_of: PairsOf) -> list[Group]:
    """Put groups together, each of which has a row for every thousand of its operations' keys."""
    part = GROUP_COLUMNS.index("Part")
    operations: dict[tuple[str, ...], dict[Key, int]] = {}
    described: dict[tuple[str, ...], dict[str, str]] = {}
    for row in sorted(rows, key=lambda row: int(row[part])):
        values = dict(zip(GROUP_COLUMNS, row, strict=True))
        names = row[:GROUP_KEY_COLUMNS]
        keys, times = orjson.loads(values["Keys"]), orjson.loads(values["Times"])
        if set(map(len, keys)) != {2 * HASH_BYTES}:
            raise ValueError("an operation's key has another length")
        pairs = zip(map(bytes.fromhex, keys), map(int, times), strict=True)
        operations.setdefault(names, {}).update(pairs)
        described[names] = values
    groups = [_group(described[names], operations[names], pairs_of) for names in described]
    groups.sort(key=lambda group: (group.first_event, group.key))
    return groups


def _group(values: dict[str, str], operations: dict[Key, int], pairs_of: PairsOf) -> Group:
    def shown(column: str, limit: int) -> list[str]:
        return [str(value) for value in orjson.loads(values[column])[:limit]]

    name, identity = values["ServicePrincipalName"], values["ServicePrincipalId"]
    key = GroupKey(ascii_lower(identity), ascii_lower(name), ascii_lower(values["ResourceGroup"]))
    return Group(
        key=key,
        service_principal_name=name,
        service_principal_id=identity,
        resource_group=values["ResourceGroup"],
        pairs=int(values["DataPlaneAccesses"]),
        distinct_sign_ins=int(values["DistinctSignIns"]),
        resources=shown("Resources", RESOURCES_SHOWN),
        operations=shown("Operations", OPERATIONS_SHOWN),
        affected_resources=shown("AffectedResources", AFFECTED_SHOWN),
        subscription_ids=shown("SubscriptionIds", SUBSCRIPTIONS_SHOWN),
        caller_addresses=shown("CallerIpAddresses", ADDRESSES_SHOWN),
        first_event=parse_time(values["FirstEvent"]),
        last_event=parse_time(values["LastEvent"]),
        operations_at=operations,
        read_pairs=lambda: pairs_of(key),
    )
