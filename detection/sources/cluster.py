"""Correlation in the workspace's own cluster, with queries/correlate.kql, and how it is read.

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
from detection.rule.ledger import HASH_BYTES
from detection.rule.rows import SIGN_IN_TABLE, SignIn
from detection.rule.select import Chosen
from detection.rule.terms import fold
from detection.rule.ticks import parse
from detection.rule.traces import Traces
from detection.sources.asking import Asking
from detection.sources.faults import CutShort
from detection.sources.loganalytics import LogAnalytics
from detection.sources.reading import complete
from detection.sources.survey import Survey
from detection.sources.tracing import COLUMNS as TRACED
from detection.sources.tracing import Rows, Tracing

# In one query. How long a query's text may be is not documented; 1.69 million characters were too
# many (github.com/Azure/Azure-Sentinel/issues/8376). 2,000 addresses make it 95,000 at the most.
ADDRESSES_NAMED: Final = 2_000
ADDRESSES: Final = ("Address", "Matched")
COLUMNS: Final = (
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
)
NAMES: Final = 3  # of them are the same in all rows of a group, and in no other's

TracesOf = Callable[[GroupKey], Traces]


class Addresses(NamedTuple):
    """From which addresses how many sign-ins came, and the size of the answer that says so."""

    counts: list[tuple[str, int]]
    size: int

    def sign_ins(self) -> int:
        """Return how many there are from all."""
        return sum(count for _, count in self.counts)


def correlated(
    workspace: LogAnalytics, asking: Asking, buckets: range, known: Survey
) -> tuple[list[Group], Chosen[SignIn], int]:
    """Return the groups of some buckets, how many sign-ins took part, and the answers' size.

    The groups' traces are asked for when needed.

    Raises CutShort where the groups are more than an answer holds, the query is more than the
    cluster can do, or the addresses to leave out are more than it can name.
    """

    def ask() -> Addresses:
        asked = workspace.table(asking.addresses(buckets), SIGN_IN_TABLE, *ADDRESSES)
        try:
            return Addresses([(name, int(count)) for name, count in asked.table.rows], asked.size)
        except ValueError:
            raise _unreadable(workspace) from None

    counted = known.sign_ins_in(buckets)
    asked = complete(workspace, SIGN_IN_TABLE, counted, ask, Addresses.sign_ins)
    addresses = asked.counts
    covered = {address for address, _ in addresses if known.allowlist.covers(address)}
    if len(covered) > ADDRESSES_NAMED:
        raise CutShort(
            f"sign-ins came from {len(covered)} addresses in the allowlist, and a query names "
            f"{ADDRESSES_NAMED}"
        )
    excluded = tuple(sorted(covered))
    answer = workspace.table(asking.correlate(buckets, excluded), SIGN_IN_TABLE, *COLUMNS)

    def traced(some: range) -> Rows:
        return workspace.table(asking.traces(some, excluded), SIGN_IN_TABLE, *TRACED).table.rows

    try:
        groups = groups_of(answer.table.rows, Tracing(traced, buckets, known.rows()).of)
    except (ValueError, TypeError, KeyError):
        raise _unreadable(workspace) from None
    sign_ins: Chosen[SignIn] = Chosen(
        {},
        matched=asked.sign_ins(),
        excluded=sum(count for address, count in addresses if address in covered),
        without_address=sum(count for address, count in addresses if not address),
    )
    return groups, sign_ins, asked.size + answer.size


def _unreadable(workspace: LogAnalytics) -> SourceError:
    return SourceError(f"{workspace.where(SIGN_IN_TABLE)}: what its cluster found cannot be read")


def groups_of(rows: list[Any], traces_of: TracesOf) -> list[Group]:
    """Put groups together, each of which has a row for every thousand of its operations' keys."""
    part = COLUMNS.index("Part")
    operations: dict[tuple[str, ...], dict[Key, int]] = {}
    described: dict[tuple[str, ...], dict[str, str]] = {}
    for row in sorted(rows, key=lambda row: int(row[part])):
        values = dict(zip(COLUMNS, row, strict=True))
        names = row[:NAMES]
        keys, times = orjson.loads(values["Keys"]), orjson.loads(values["Times"])
        if set(map(len, keys)) != {2 * HASH_BYTES}:
            raise ValueError("an operation's key has another length")
        pairs = zip(map(bytes.fromhex, keys), map(int, times), strict=True)
        operations.setdefault(names, {}).update(pairs)
        described[names] = values
    groups = [_group(described[names], operations[names], traces_of) for names in described]
    groups.sort(key=lambda group: (group.first_event, group.key))
    return groups


def _group(values: dict[str, str], operations: dict[Key, int], traces_of: TracesOf) -> Group:
    def shown(column: str, limit: int) -> list[str]:
        return [str(value) for value in orjson.loads(values[column])[:limit]]

    name, identity = values["ServicePrincipalName"], values["ServicePrincipalId"]
    key = GroupKey(fold(identity), fold(name), fold(values["ResourceGroup"]))
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
        first_event=parse(values["FirstEvent"]),
        last_event=parse(values["LastEvent"]),
        operations_at=operations,
        traces=lambda: traces_of(key),
    )
