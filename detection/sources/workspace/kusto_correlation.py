"""Correlates a partition in the workspace's own cluster, with kql/correlate.kql.

The allowlist is applied here and not in KQL, so that its entries mean the same in both engines: a
first query returns the addresses of the sign-ins, and the second excludes those that are covered.
"""

from collections.abc import Callable
from functools import partial
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
    ReportedKeys,
)
from detection.rule.filters import Matched
from detection.rule.kql_text import ascii_lower
from detection.rule.log_rows import OPERATION_TABLE, SIGN_IN_TABLE, SignIn
from detection.rule.pairs import OperationPairs
from detection.rule.reported import HASH_BYTES
from detection.rule.ticks import parse_time
from detection.sources.log_analytics.api_errors import PartialResult
from detection.sources.log_analytics.client import Answer, LogAnalytics, summary_shape
from detection.sources.workspace.kusto_pairs import PAIR_COLUMNS, ClusterPairs, PairRows
from detection.sources.workspace.queries import WindowQueries
from detection.sources.workspace.read_rows import read_all_counted
from detection.sources.workspace.window_counts import WindowCounts

# In one query. The maximum length of a query is not documented; 1.69 million characters were too
# many (github.com/Azure/Azure-Sentinel/issues/8376), and 2,000 addresses need 95,000 at most.
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
GROUP_KEY_COLUMNS: Final = 3  # the first three identify the group of a row
ROW_COUNTS_PART: Final = -1  # the Part of rows that say how many log rows the query read

PairsOf = Callable[[GroupKey, ReportedKeys], list[OperationPairs]]


class AddressCounts(NamedTuple):
    """The addresses of sign-ins with the number of each, and the answer's size in bytes."""

    counts: list[tuple[str, int]]
    size: int

    def sign_ins(self) -> int:
        """Return the number of sign-ins from all addresses."""
        return sum(count for _, count in self.counts)


class GroupRows(NamedTuple):
    """The groups' rows, the number of rows read by table name, and the answer's size in bytes."""

    rows: list[Any]
    rows_read: dict[str, int]
    size: int


class ClusterResult(NamedTuple):
    """The groups of a partition, the counts of its sign-ins, and the answers' size in bytes."""

    groups: list[Group]
    sign_ins: Matched[SignIn]
    size: int


def correlate_in_cluster(
    workspace: LogAnalytics, queries: WindowQueries, partition: range, counts: WindowCounts
) -> ClusterResult:
    """Correlate a partition of the window in the workspace's cluster.

    The groups' pairs are read when they are needed. If no operation of the partition can pair,
    there are no groups, and the correlation is not run.

    Raises PartialResult if the groups exceed one answer, the query exceeds the limits of the
    cluster, or too many addresses are to be excluded; SourceError if the cluster read fewer rows
    than were counted.
    """
    # A single bucket, which may be a single identity, cannot be split after a PartialResult.
    run_query = workspace.run_query_retrying_partial if len(partition) == 1 else workspace.run_query

    def read_addresses() -> AddressCounts:
        shape = summary_shape(SIGN_IN_TABLE, *ADDRESS_COLUMNS)
        answer = run_query(queries.addresses(partition), shape)
        try:
            return AddressCounts(
                [(name, int(count)) for name, count in answer.table.rows], answer.size
            )
        except ValueError:
            raise _unreadable(workspace) from None

    expected = {SIGN_IN_TABLE: counts.sign_ins_in(partition)}
    addresses = read_all_counted(
        workspace, expected, read_addresses, lambda counted, _: counted.sign_ins()
    )
    covered = {address for address, _ in addresses.counts if counts.allowlist.covers(address)}
    sign_ins: Matched[SignIn] = Matched(
        {},
        matched=addresses.sign_ins(),
        excluded=sum(count for address, count in addresses.counts if address in covered),
        without_address=sum(count for address, count in addresses.counts if not address),
    )
    if not any(counts.operations_in(partition)):
        return ClusterResult([], sign_ins, addresses.size)
    if len(covered) > MAX_EXCLUDED_ADDRESSES:
        raise PartialResult(
            f"sign-ins came from {len(covered)} addresses in the allowlist, and one query can "
            f"exclude {MAX_EXCLUDED_ADDRESSES}"
        )
    excluded = tuple(sorted(covered))

    def read_groups() -> GroupRows:
        answer = run_query(
            queries.correlate(partition, excluded), summary_shape(SIGN_IN_TABLE, *GROUP_COLUMNS)
        )
        try:
            return split_counts(answer)
        except ValueError:
            raise _unreadable(workspace) from None

    def read_pairs(buckets: range, reported: tuple[str, ...]) -> PairRows:
        return workspace.query_summary(
            queries.pairs(buckets, excluded, reported), SIGN_IN_TABLE, *PAIR_COLUMNS
        ).table.rows

    expected[OPERATION_TABLE] = counts.all_operations_in(partition)
    result = read_all_counted(
        workspace, expected, read_groups, lambda groups, shape: groups.rows_read[shape.name]
    )
    try:
        groups = groups_of(
            result.rows, ClusterPairs(read_pairs, partition, counts.rows()).read_group
        )
    except (ValueError, TypeError, KeyError):
        raise _unreadable(workspace) from None
    return ClusterResult(groups, sign_ins, addresses.size + result.size)


def split_counts(answer: Answer) -> GroupRows:
    """Separate the groups' rows from those that say how many log rows the query read."""
    part, sign_ins_read, operations_read = map(
        GROUP_COLUMNS.index, ("Part", "SignInsSeen", "OperationsSeen")
    )
    rows = answer.table.rows
    count_rows = [row for row in rows if int(row[part]) == ROW_COUNTS_PART]
    rows_read = {
        SIGN_IN_TABLE.name: sum(int(row[sign_ins_read] or 0) for row in count_rows),
        OPERATION_TABLE.name: sum(int(row[operations_read] or 0) for row in count_rows),
    }
    group_rows = [row for row in rows if int(row[part]) != ROW_COUNTS_PART]
    return GroupRows(group_rows, rows_read, answer.size)


def _unreadable(workspace: LogAnalytics) -> SourceError:
    return SourceError(
        f"{workspace.describe(SIGN_IN_TABLE)}: the answer of its cluster is unreadable"
    )


def groups_of(rows: list[Any], pairs_of: PairsOf) -> list[Group]:
    """Return the groups, the earliest first, given their rows in the order of GROUP_COLUMNS.

    A group has one row for each thousand keys of its operations. Raises ValueError, TypeError or
    KeyError for malformed rows.
    """
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
        read_pairs=partial(pairs_of, key),
    )
