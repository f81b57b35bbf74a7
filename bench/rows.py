"""Rows like those of real logs, as JSON text.

The text is formatted directly, because encoding a million dictionaries would be the slowest part of
a benchmark. Every value is ASCII without quotes or backslashes. Addresses are those reserved for
documentation and private networks.
"""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta

from bench.cases import NOW
from bench.population import Identity, guids

WINDOW = timedelta(hours=2)
TICKS_A_SECOND = 10_000_000
WINDOW_TICKS = int(WINDOW.total_seconds()) * TICKS_A_SECOND

SIGN_IN_COLUMNS = (
    "TimeGenerated",
    "ServicePrincipalId",
    "ServicePrincipalName",
    "ResultType",
    "ResourceDisplayName",
    "IPAddress",
    "Id",
    "CorrelationId",
)
OPERATION_COLUMNS = (
    "TimeGenerated",
    "Caller",
    "OperationNameValue",
    "ActivityStatusValue",
    "ResourceGroup",
    "ResourceId",
    "_ResourceId",
    "SubscriptionId",
    "CallerIpAddress",
    "EventDataId",
    "CorrelationId",
)
ALLOWLIST = (
    "163.116.0.0/16",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "192.0.2.17",
    "198.51.100.0-198.51.100.31",
    "2001:db8:1::/48",
)

# About a hundred of each; OTHER_... do not match the rule, so 12 % of each table's rows do not.
SERVICES = ("Azure Key Vault",) * 50 + ("Azure Storage",) * 36 + ("Azure Blob Storage",) * 8
OTHER_SERVICES = ("Windows Azure Service Management API",) * 4 + ("Microsoft Graph",) * 2
RESULTS = ("0",) * 94
OTHER_RESULTS = ("7000232",) * 4 + ("50034",) * 2
STATUSES = ("Success",) * 94
OTHER_STATUSES = ("Start",) * 3 + ("Accept",) * 2 + ("Failure",)
CHANGES = (
    "MICROSOFT.WEB/SITES/WRITE",
    "MICROSOFT.WEB/SITES/DELETE",
    "MICROSOFT.WEB/SITES/CONFIG/WRITE",
    "MICROSOFT.SQL/SERVERS/WRITE",
    "MICROSOFT.CACHE/REDIS/WRITE",
    "MICROSOFT.KEYVAULT/VAULTS/WRITE",
    "MICROSOFT.KEYVAULT/VAULTS/DELETE",
    "MICROSOFT.COMPUTE/DISKS/WRITE",
    "MICROSOFT.COMPUTE/DISKS/DELETE",
    "MICROSOFT.STORAGE/STORAGEACCOUNTS/DELETE",
    "MICROSOFT.RESOURCES/DEPLOYMENTS/WRITE",
    "MICROSOFT.RESOURCES/TAGS/WRITE",
)
CHANGES_MOSTLY = CHANGES * 8
OTHER_OPERATIONS = (
    "MICROSOFT.STORAGE/STORAGEACCOUNTS/LISTKEYS/ACTION",
    "MICROSOFT.WEB/SITES/CONFIG/LIST/ACTION",
    "MICROSOFT.WEB/SITES/RESTART/ACTION",
    "MICROSOFT.KEYVAULT/VAULTS/READ",
    "MICROSOFT.SQL/SERVERS/READ",
    "MICROSOFT.RESOURCES/DEPLOYMENTS/READ",
)
RESOURCE_PATH = {name: "/".join(name.lower().split("/")[:2]) for name in CHANGES + OTHER_OPERATIONS}
RESOURCES_A_GROUP = 20
REPEATED_EVERY = 97  # some Success rows repeat, identically


def sign_ins(drawn: list[Identity], source: random.Random, *, mixed: bool) -> Iterator[str]:
    """Yield a sign-in of each identity drawn."""
    size = len(drawn)
    services = source.choices(SERVICES + OTHER_SERVICES * mixed, k=size)
    results = source.choices(RESULTS + OTHER_RESULTS * mixed, k=size)
    pool = [_address(source) for _ in range(1_000)]
    addresses = source.choices([""] * (9 * len(pool)) + pool, k=size)
    rows = zip(
        _times(source, size), drawn, results, services, addresses,
        guids(source, size), guids(source, size), strict=True,
    )  # fmt: skip
    for time, who, result, service, address, event, correlation in rows:
        yield (
            f'["{time}","{who.id}","{who.name}","{result}","{service}","{address}"'
            f',"{event}","{correlation}"]'
        )


def operations(drawn: list[Identity], source: random.Random, *, mixed: bool) -> Iterator[str]:
    """Yield an operation of each identity drawn."""
    size = len(drawn)
    names = source.choices(CHANGES_MOSTLY + OTHER_OPERATIONS * mixed, k=size)
    statuses = source.choices(STATUSES + OTHER_STATUSES * mixed, k=size)
    pool = [_address(source) for _ in range(200)]
    addresses = source.choices([""] * (2 * len(pool)) + pool, k=size)
    rows = zip(
        _times(source, size), drawn, names, statuses, addresses,
        guids(source, size), guids(source, size), strict=True,
    )  # fmt: skip
    row = ""
    for number, (time, who, name, status, address, event, correlation) in enumerate(rows, start=1):
        if number % REPEATED_EVERY:
            group = who.groups[int(source.random() * len(who.groups))]
            spelling = group.spellings[int(source.random() * len(group.spellings))]
            resource = int(source.random() * RESOURCES_A_GROUP)
            row = (
                f'["{time}","{who.id}","{name}","{status}","{spelling}",""'
                f',"{group.prefix}{RESOURCE_PATH[name]}/r{resource}"'
                f',"{group.subscription}","{address}","{event}","{correlation}"]'
            )
        yield row


def _times(source: random.Random, number: int) -> Iterator[str]:
    """Yield times in the window (start, end] in no order, with seven fraction digits."""
    start = datetime.fromisoformat(NOW) - WINDOW
    seconds = [
        (start + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S.")
        for second in range(WINDOW_TICKS // TICKS_A_SECOND + 1)
    ]
    for _ in range(number):
        second, fraction = divmod(int(source.random() * WINDOW_TICKS) + 1, TICKS_A_SECOND)
        yield f"{seconds[second]}{fraction:07d}Z"


def _address(source: random.Random) -> str:
    """Return an address; about one in four is in the allowlist."""
    last = source.randrange(256)
    kind = source.randrange(8)
    if kind == 0:
        return f"10.{source.randrange(256)}.{source.randrange(256)}.{last}"
    if kind == 1:
        return f"2001:db8:{source.randrange(4)}::{last:x}"
    return f"{source.choice(('192.0.2', '198.51.100', '203.0.113'))}.{last}"
