"""The rule as nested loops over plain rows: the reference for the tests of the real rule.

It imports nothing from the package and is not optimised: every clause is one obvious expression.
Rows are dictionaries from Log Analytics column names to text or None.

Where the published rule leaves a choice, this one is made:

- Blank means empty or white space only. A null is the empty string.
- An event has no id where that is blank, or nothing but zeros and dashes.
- Identities, names, resource groups, operation names, resource ids, subscription ids and caller
  addresses compare with A-Z lowered and nothing else changed. Resource names (of sign-ins), event
  ids and correlation ids compare as they are.
- Rows have one order, independent of their input order: by time, and at one time by the text of
  every column the rule reads, in the order of SIGN_IN_COLUMNS and OPERATION_COLUMNS. "First"
  refers to this order.
"""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import cache
from typing import Any

DAY = 24 * 3600 * 10_000_000
Row = Mapping[str, str | None]
Pair = tuple[Row, Row]
Finding = dict[str, Any]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

SIGN_IN_COLUMNS = (
    "ServicePrincipalId",
    "ResultType",
    "ResourceDisplayName",
    "ServicePrincipalName",
    "IPAddress",
    "Id",
    "ResourceIdentity",
    "CorrelationId",
)
OPERATION_COLUMNS = (
    "Caller",
    "OperationNameValue",
    "ActivityStatusValue",
    "ResourceGroup",
    "SubscriptionId",
    "CallerIpAddress",
    "ResourceId",
    "_ResourceId",
    "EventDataId",
    "CorrelationId",
)


def findings(
    sign_ins: Sequence[Row],
    operations: Sequence[Row],
    allowlist: Sequence[str],
    window: tuple[int, int],
    span: int,
    statuses: Sequence[str],
) -> list[Finding]:
    """Apply the whole rule to the rows with window[0] < TimeGenerated <= window[1] (ticks)."""
    groups: dict[tuple[str, str, str], list[Pair]] = {}
    for sign_in, operation in pairs(sign_ins, operations, allowlist, window, span, statuses):
        key = (
            lowered(sign_in, "ServicePrincipalId"),
            lowered(sign_in, "ServicePrincipalName"),
            lowered(operation, "ResourceGroup"),
        )
        groups.setdefault(key, []).append((sign_in, operation))
    found = [(key, finding(members)) for key, members in groups.items()]
    found.sort(key=lambda each: (each[1]["FirstEvent"], each[0]))
    return [summary for _, summary in found]


def pairs(
    sign_ins: Sequence[Row],
    operations: Sequence[Row],
    allowlist: Sequence[str],
    window: tuple[int, int],
    span: int,
    statuses: Sequence[str],
) -> list[Pair]:
    """Clause 4: every sign-in with every operation of its identity within the span."""
    accesses = [
        row
        for row in sign_ins
        if is_access(row, window)
        and not is_allowed(text(row, "IPAddress"), allowlist)
        and not is_blank(text(row, "ServicePrincipalId"))
    ]
    changes = [row for row in operations if is_change(row, window) and is_success(row, statuses)]
    return [
        (sign_in, operation)
        for sign_in in accesses
        for operation in changes
        if lowered(sign_in, "ServicePrincipalId") == lowered(operation, "Caller")
        if time(sign_in) <= time(operation) <= time(sign_in) + span
    ]


def near_misses(
    sign_ins: Sequence[Row],
    operations: Sequence[Row],
    allowlist: Sequence[str],
    window: tuple[int, int],
    span: int,
    statuses: Sequence[str],
) -> set[tuple[str, str, str, object]]:
    """Return identity, operation, group and event of changes in the day after a sign-in.

    None of them is within the span after another one. The window is of the changes alone.
    """
    earlier = (window[0] - DAY - 1, window[1])

    def changes_after(longest: int) -> set[tuple[str, str, str, object]]:
        return {
            (
                lowered(row, "Caller"),
                lowered(row, "OperationNameValue"),
                lowered(row, "ResourceGroup"),
                operation_identity(row),
            )
            for _, row in pairs(sign_ins, operations, allowlist, earlier, longest, statuses)
            if is_change(row, window)
        }

    return changes_after(DAY) - changes_after(span)


def is_access(row: Row, window: tuple[int, int]) -> bool:
    """Clause 2, without the allowlist."""
    return (
        window[0] < time(row) <= window[1]
        and text(row, "ResultType") == "0"
        and any(
            has(text(row, "ResourceDisplayName"), term) for term in ("Key Vault", "Storage", "Blob")
        )
    )


def is_change(row: Row, window: tuple[int, int]) -> bool:
    """Clause 3, without the status."""
    name = text(row, "OperationNameValue")
    return (
        window[0] < time(row) <= window[1]
        and (has(name, "WRITE") or has(name, "DELETE"))
        and not (has(name, "READ") or has(name, "LIST") or has(name, "GET"))
    )


def is_success(row: Row, statuses: Sequence[str]) -> bool:
    """Clause 3: the status is one of the accepted ones, ASCII case ignored."""
    return any(lowered(row, "ActivityStatusValue") == lower(status) for status in statuses)


def finding(members: Sequence[Pair]) -> Finding:
    """Clause 5 for the pairs of one group."""
    accesses = sorted({id(row): row for row, _ in members}.values(), key=sign_in_order)
    changes = sorted({id(row): row for _, row in members}.values(), key=operation_order)
    latest: dict[tuple[object, ...], int] = {}
    for row in changes:
        latest[operation_identity(row)] = time(row)
    addresses = [text(row, "CallerIpAddress") for row in changes]
    return {
        "ServicePrincipalName": text(accesses[0], "ServicePrincipalName"),
        "ServicePrincipalId": text(accesses[0], "ServicePrincipalId"),
        "ResourceGroup": text(changes[0], "ResourceGroup"),
        "DataPlaneAccesses": len(members),
        "MgmtPlaneOps": len(members),
        "Resources": list(dict.fromkeys(text(row, "ResourceDisplayName") for row in accesses))[:5],
        "Operations": spellings(text(row, "OperationNameValue") for row in changes)[:10],
        "AffectedResources": spellings(affected(row) for row in changes)[:10],
        "SubscriptionIds": spellings(text(row, "SubscriptionId") for row in changes)[:5],
        "FirstEvent": min(time(row) for row in accesses),
        "LastEvent": max(time(row) for row in changes),
        "DistinctSignIns": len({sign_in_identity(row) for row in accesses}),
        "DistinctOperations": len(latest),
        "CallerIpAddresses": spellings(each for each in addresses if not is_blank(each))[:10],
        "OperationsAt": latest,
    }


def sign_in_identity(row: Row) -> tuple[object, ...]:
    """Return the key that equal sign-in events share."""
    if has_id(text(row, "Id")):
        return ("Id", text(row, "Id"))
    return (
        time(row),
        lowered(row, "ServicePrincipalId"),
        text(row, "ResourceDisplayName"),
        lowered(row, "ResourceIdentity"),
        text(row, "CorrelationId"),
    )


def operation_identity(row: Row) -> tuple[object, ...]:
    """Return the key that equal operation events share."""
    if has_id(text(row, "EventDataId")):
        return ("EventDataId", text(row, "EventDataId"))
    return (
        time(row),
        lowered(row, "Caller"),
        lowered(row, "OperationNameValue"),
        lower(affected(row)),
        lowered(row, "SubscriptionId"),
        text(row, "CorrelationId"),
    )


def affected(row: Row) -> str:
    """Return `ResourceId`, else `_ResourceId` (D4)."""
    given = text(row, "ResourceId")
    return text(row, "_ResourceId") if is_blank(given) else given


def spellings(values: Iterable[str]) -> list[str]:
    """Return the values that differ without ASCII case, each in its first spelling."""
    kept: list[str] = []
    for value in values:
        if all(lower(value) != lower(other) for other in kept):
            kept.append(value)
    return kept


def sign_in_order(row: Row) -> tuple[object, ...]:
    """Return the sort key of a sign-in."""
    return (time(row), *(text(row, column) for column in SIGN_IN_COLUMNS))


def operation_order(row: Row) -> tuple[object, ...]:
    """Return the sort key of an operation."""
    return (time(row), *(text(row, column) for column in OPERATION_COLUMNS))


def text(row: Row, column: str) -> str:
    """Return a column's text; null and a missing column are the empty string."""
    return row.get(column) or ""


def time(row: Row) -> int:
    """Return a row's time in ticks."""
    return ticks(text(row, "TimeGenerated"))


@cache
def ticks(written: str) -> int:
    """Read `YYYY-MM-DDThh:mm:ss[.fffffff][Z|+hh:mm|-hh:mm]` as 100 ns since 1970."""
    day, clock = written[:10], written[11:].removesuffix("Z")
    ahead = 0
    if clock[-6:-5] in ("+", "-"):
        ahead = int(clock[-6] + "1") * (int(clock[-5:-3]) * 60 + int(clock[-2:]))
        clock = clock[:-6]
    whole, _, fraction = clock.partition(".")
    hours, minutes, seconds = (int(part) for part in whole.split(":"))
    days = date.fromisoformat(day).toordinal() - date(1970, 1, 1).toordinal()
    since = ((days * 24 + hours) * 60 + minutes - ahead) * 60 + seconds
    return since * 10_000_000 + int((fraction + "0000000")[:7])


@cache
def lower(given: str) -> str:
    """Lower A to Z."""
    return "".join(chr(ord(each) + 32) if "A" <= each <= "Z" else each for each in given)


def lowered(row: Row, column: str) -> str:
    """Return a column's text with A to Z lowered."""
    return lower(text(row, column))


def is_blank(given: str) -> bool:
    """Say whether every character is white space, or there is none."""
    return all(each.isspace() for each in given)


def has_id(given: str) -> bool:
    """Say whether an id identifies an event."""
    return any(each not in "0-" for each in given.strip())


@cache
def has(given: str, term: str) -> bool:
    """KQL's `has`: the pieces of `term` are neighbouring pieces of `given`."""
    outer, inner = pieces(lower(given)), pieces(lower(term))
    return any(outer[at : at + len(inner)] == inner for at in range(len(outer) - len(inner) + 1))


def pieces(given: str) -> list[str]:
    """Split text into its terms (runs of letters and numbers) and single other characters."""
    cut: list[str] = []
    inside = False
    for each in given:
        if each.isalnum() and inside:
            cut[-1] += each
        else:
            cut.append(each)
        inside = each.isalnum()
    return cut


def is_allowed(address: str, allowlist: Sequence[str]) -> bool:
    """Clause 1: say whether any entry covers the address."""
    found = read_address(address.strip())
    return found is not None and any(holds(entry.strip(), found) for entry in allowlist)


def is_readable(entry: str) -> bool:
    """Say whether an entry is an address, a CIDR block or a range that runs upwards."""
    ends = [read_address(end.strip()) for end in entry.split("-")]
    if len(ends) == 2 and ends[0] is not None and ends[1] is not None:
        return ends[0].version == ends[1].version and int(ends[0]) <= int(ends[1])
    return read_network(entry.strip()) is not None


def holds(entry: str, address: Address) -> bool:
    """Say whether one trimmed entry covers the address."""
    if is_readable(entry) and "-" in entry:
        low, high = (read_address(end.strip()) for end in entry.split("-"))
        return (
            low is not None
            and high is not None
            and low.version == address.version
            and int(low) <= int(address) <= int(high)
        )
    network = read_network(entry)
    return network is not None and address in network


def read_address(written: str) -> Address | None:
    """Read one address without a zone."""
    try:
        return None if "%" in written else ipaddress.ip_address(written)
    except ValueError:
        return None


def read_network(written: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """Read an address or CIDR block, host bits allowed; the prefix is a plain decimal number."""
    _, slash, prefix = written.partition("/")
    if "%" in written or (slash and prefix not in map(str, range(129))):
        return None
    try:
        return ipaddress.ip_network(written, strict=False)
    except ValueError:
        return None
