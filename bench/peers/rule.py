"""Definitions that the peers share: the window, and the words and addresses of the rule.

The product's own functions check distinct values, which takes hardly any time. All work that grows
with the rows is each peer's own.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from bench.cases import NOW
from detection.rule.allowlist import Allowlist
from detection.rule.filters import (
    is_change,
    is_target_service,
)
from detection.rule.kql_text import ascii_lower
from detection.rule.log_rows import ALLOWLIST_TABLE, OPERATION_TABLE, SIGN_IN_TABLE
from detection.rule.ticks import HOUR, parse_time

COMPARED = (
    "ServicePrincipalName", "ServicePrincipalId", "ResourceGroup", "DataPlaneAccesses",
    "DistinctSignIns", "DistinctOperations", "Resources", "Operations", "AffectedResources",
    "SubscriptionIds", "CallerIpAddresses", "FirstEvent", "LastEvent",
)  # fmt: skip
"""The columns of a finding that a peer prints."""

SPAN = HOUR
END = parse_time(NOW)
START = END - 2 * HOUR


def sign_ins_of(folder: Path) -> Path:
    """Return the path of the sign-ins."""
    return folder / f"{SIGN_IN_TABLE.name}.json"


def operations_of(folder: Path) -> Path:
    """Return the path of the operations."""
    return folder / f"{OPERATION_TABLE.name}.json"


def columns_of(path: Path) -> list[str]:
    """Return the column names of a response, which stand before its rows."""
    with path.open("rb") as file:
        head = file.read(10_000).decode()
    described, _, _ = head.partition('"rows":')
    document = json.loads(described.rstrip().rstrip(",") + "}]}")
    return [column["name"] for column in document["tables"][0]["columns"]]


def covered_by_allowlist(folder: Path) -> Callable[[str], bool]:
    """Return a function that says whether the allowlist covers an address."""
    document = json.loads((folder / f"{ALLOWLIST_TABLE.name}.json").read_bytes())
    return Allowlist.of([entry for (entry,) in document["tables"][0]["rows"]]).covers


def services(names: Iterable[str]) -> list[str]:
    """Return the names that match clause 2."""
    return list(filter(is_target_service, names))


def changes(names: Iterable[str]) -> list[str]:
    """Return the operation names that match clause 3."""
    return list(filter(is_change, names))


def successes(statuses: Iterable[str]) -> list[str]:
    """Return the statuses that match clause 3."""
    return [status for status in statuses if ascii_lower(status) == "success"]
