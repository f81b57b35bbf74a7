"""The runbook's queries in DuckDB, as the deployed functions run and as the report writes them."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from detection.kql import runbook
from detection.kql.render import query
from detection.rule.ticks import HOUR, parse_time
from detection.schema import FINDINGS_TABLE, Finding, columns
from tests.support import OPERATIONS, ROOT, kusto

OURS = "e1525895-2305-453d-b6ab-6a524251f7d9"
OTHER = "0e29b7b8-6f3b-4a0c-9d4b-2f3c1d5e6a70"
ADDRESS = "203.0.113.77"
TEN = parse_time("2026-03-14T10:00:00Z")
FINDING = {
    "FindingId": "f-1",
    "Revision": 1,
    "TimeGenerated": TEN,
    "ServicePrincipalId": OURS,
    "FirstEvent": TEN - HOUR,
    "LastEvent": TEN,
    "CallerIpAddresses": [ADDRESS],
}
FUNCTIONS = {each.function: each.file for each in runbook.QUESTIONS}
QUERIES = ROOT / "infra" / "queries"
IMPACT = "ManagedIdentityImpact"
FINDING_KINDS = {"datetime": "BIGINT", "long": "BIGINT", "int": "BIGINT", "dynamic": "JSON"}
TABLES: dict[str, Mapping[str, str]] = {
    **kusto.TABLES,
    **kusto.SERVICES,
    OPERATIONS: kusto.TABLES[OPERATIONS] | {"Properties": "VARCHAR", "Properties_d": "JSON"},
    FINDINGS_TABLE: {name: FINDING_KINDS.get(kind, "VARCHAR") for name, kind in columns(Finding)},
}
# The function over findings is a view: duckdb-kql has no functions whose body has its own names.
NAMES = TABLES | {IMPACT: TABLES[FINDINGS_TABLE]}


def database() -> Any:
    """Return a database with the tables of every query of the runbook, and one finding."""
    connection = kusto.database(TABLES)
    function = (QUERIES / f"{IMPACT}.kql").read_text("utf-8")
    connection.execute(f'CREATE VIEW "{IMPACT}" AS {kusto.to_sql(function, TABLES)}')
    put(connection, FINDINGS_TABLE, FINDING)
    return connection


def put(connection: Any, table: str, *rows: Mapping[str, Any]) -> None:
    """Add rows to a table; lists and dicts become JSON, and columns left out are empty."""
    for row in rows:
        texts = {name: "" for name, kind in TABLES[table].items() if kind == "VARCHAR"}
        values = texts | {
            name: json.dumps(value) if isinstance(value, list | dict) else value
            for name, value in row.items()
        }
        listed = ", ".join(f'"{name}"' for name in values)
        places = ", ".join("?" * len(values))
        connection.execute(
            f"INSERT INTO {table} ({listed}) VALUES ({places})",  # noqa: S608 (names from above)
            list(values.values()),
        )


def deployed(function: str) -> str:
    """Return the body of a deployed function, which takes FindingId."""
    head = (QUERIES / "finding_values.kql").read_text("utf-8")
    return head + query(FUNCTIONS[function])


def written(function: str, identity: str = OURS, addresses: Iterable[str] = (ADDRESS,)) -> str:
    """Return a query as the report writes it."""
    return runbook.values(identity, TEN - HOUR, TEN, addresses) + query(FUNCTIONS[function])


def without(text: str, table: str) -> str:
    """Return a query without its parts for a table, as a fuzzy union skips a missing table."""
    text = re.sub(rf",\n    \(\n    {table}\n.*?\n    \)", "", text, flags=re.DOTALL)
    return re.sub(rf",\n +{table}\b", "", text)


def ask(connection: Any, text: str, finding: str = "f-1") -> list[Mapping[str, Any]]:
    """Return the rows of a query of the runbook; of a function, for the finding."""
    text = text.replace(f"{IMPACT}()", IMPACT).replace("= FindingId;", f'= "{finding}";')
    return kusto.ask(connection, text, NAMES)
