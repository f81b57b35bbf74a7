"""The tables of an emulated workspace: their columns, and the rows as DuckDB keeps them.

A time is a number of ticks (100 ns since 1970), which DuckDB's own times cannot hold. A dynamic
value is JSON text. A string is never null, as in Log Analytics, where a null string is "".
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from detection.rule.exclusions import EXCLUSIONS_TABLE
from detection.rule.log_rows import ALLOWLIST_TABLE, OPERATION_TABLE, SIGN_IN_TABLE
from detection.rule.ticks import parse_time
from detection.schema import FINDINGS_TABLE, Finding, RunRecord, columns
from detection.settings import SETTINGS
from detection.sources.identity_columns import OPERATION_COLUMNS, SIGN_IN_COLUMNS

RUNS_TABLE: Final = SETTINGS["RUNS_STREAM"].default.removeprefix("Custom-")
# DuckDB's type of each type of Log Analytics.
STORED: Final = {
    "boolean": "BOOLEAN",
    "datetime": "BIGINT",
    "dynamic": "VARCHAR",
    "int": "INTEGER",
    "long": "BIGINT",
    "real": "DOUBLE",
    "string": "VARCHAR",
}
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")

Columns = dict[str, str]  # types of Log Analytics by the column's name
Row = Mapping[str, Any]


# The columns that the product reads: a workspace has them even if no row has a value. Their types
# are those of learn.microsoft.com/azure/azure-monitor/reference/tables/: _d stands for dynamic.
LOGS: Final[dict[str, Columns]] = {
    shape.name: {"TimeGenerated": "datetime"}
    | {
        name: "dynamic" if name.endswith("_d") else "string"
        for name in (*shape.columns[1:], *details.columns[1:])
    }
    for shape, details in ((SIGN_IN_TABLE, SIGN_IN_COLUMNS), (OPERATION_TABLE, OPERATION_COLUMNS))
}
CUSTOM: Final[dict[str, Columns]] = {
    FINDINGS_TABLE: dict(columns(Finding)),
    RUNS_TABLE: dict(columns(RunRecord)),
}
_WATCHLIST: Final[Columns] = {
    "_DTItemId": "string",
    "LastUpdatedTimeUTC": "datetime",
    "SearchKey": "string",
}
WATCHLISTS: Final[dict[str, Columns]] = {
    shape.name: _WATCHLIST | dict.fromkeys(shape.columns, "string")
    for shape in (ALLOWLIST_TABLE, EXCLUSIONS_TABLE)
}


def columns_of(table: str, rows: Sequence[Row]) -> Columns:
    """Return the columns of a table with these rows: those that it is known to have, and others.

    A watchlist has the columns of its items.
    """
    known = LOGS.get(table) or CUSTOM.get(table) or _watchlist(table, rows)
    values: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            if name != "IngestionTime" and name not in known and value is not None:
                values.setdefault(name, []).append(value)
    return known | {name: _type_of(found) for name, found in values.items()}


def _watchlist(table: str, rows: Sequence[Row]) -> Columns:
    if table not in WATCHLISTS:
        return {}
    return _WATCHLIST if rows else WATCHLISTS[table]


def _type_of(values: Iterable[Any]) -> str:
    """Return the type of Log Analytics that holds these values of JSON."""
    kinds = {type(value) for value in values}
    if kinds <= {bool}:
        return "boolean"
    if kinds <= {int}:
        return "long"
    if kinds <= {int, float}:
        return "real"
    if kinds & {list, dict}:
        return "dynamic"
    texts = [str(value) for value in values if value != ""]
    return "datetime" if texts and all(map(_TIME.fullmatch, texts)) else "string"


def stored(kind: str, value: Any) -> Any:
    """Return a value of JSON as DuckDB keeps it; raises ValueError for an unreadable time."""
    match kind:
        case "datetime":
            return parse_time(value) if value else None
        case "string" | "dynamic" if value is None:
            return ""
        case "string" if not isinstance(value, str):
            return json.dumps(value, ensure_ascii=False)
        case "dynamic":
            return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return value
