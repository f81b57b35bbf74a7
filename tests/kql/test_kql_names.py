"""No column hides a name that a query defines with `let`.

Where a row is in scope, a column's name takes precedence over a `let`: the condition then compares
the column with itself in every row, and neither the service nor its language service warns.
"""

import json
import re
from collections.abc import Iterator

import pytest

from detection.schema import FINDINGS_TABLE, Finding, RunRecord, columns
from tests.infra.workbook import QUERIES as WORKBOOK_QUERIES
from tests.infra.workbook import filled
from tests.kql.test_queries import SCHEMA, SHARED, filled_queries
from tests.support import ROOT
from tests.support.language_service import KQL
from tests.support.runbook import FUNCTIONS, deployed, written

RUNS_TABLE = "ManagedIdentityImpactRuns_CL"
COLUMNS: dict[str, set[str]] = {
    **{name: set(each) for name, each in json.loads((KQL / "columns.json").read_text()).items()},
    FINDINGS_TABLE: {name for name, _ in columns(Finding)},
    RUNS_TABLE: {name for name, _ in columns(RunRecord)},
}
COLUMNS["ManagedIdentityImpact"] = COLUMNS[FINDINGS_TABLE]  # the function has the table's columns
HIDDEN = 'let Identity = "a"; AZKVAuditLogs | where tostring(Identity) has Identity'


def queries() -> Iterator[tuple[str, str]]:
    """Yield the place and the text of every query of the product, filled with sample values."""
    for number, text in enumerate(filled_queries()):
        yield f"query {number}", text
    for function in FUNCTIONS:
        yield function, deployed(function)
        yield f"{function} in the report", written(function)
    for path in sorted((ROOT / "infra" / "queries").glob("*.kql")):
        yield path.name, path.read_text("utf-8")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for text in re.findall(r"```kusto\n(.*?)```", path.read_text("utf-8"), re.DOTALL):
            yield path.name, text
    for name in WORKBOOK_QUERIES:
        yield name, filled(name)


def hidden(query: str) -> set[str]:
    """Return the `let` names that a column of the query hides, or may hide.

    Any column of a table that the query names counts, and any column that the query itself
    defines under the name of a value. A `let` that is a table is not compared with columns.
    """
    query = re.sub(r"//.*", "", query)
    given = dict(re.findall(r"\blet (\w+) =([^;]*)", query))
    values = {name for name, meaning in given.items() if "|" not in meaning}
    made = set(re.findall(r"\b(\w+) =[^=~]", re.sub(r"\blet \w+ =", "", query)))
    tables = set(re.findall(r"\b\w+\b", query)) & COLUMNS.keys()
    return {name for table in tables for name in COLUMNS[table] & given.keys()} | (values & made)


@pytest.mark.parametrize(("place", "query"), list(queries()))
def test_no_column_hides_a_name(place: str, query: str) -> None:
    """No `let` of a query has the name of a column that is in scope."""
    assert hidden(query) == set(), place


def test_a_hidden_name_is_found() -> None:
    """A `let` that has the name of a column, published or computed, is found."""
    assert hidden(HIDDEN) == {"Identity"}
    assert hidden('let Found = "a"; AzureActivity | extend Found = 1') == {"Found"}
    assert hidden('let Found = "a"; AzureActivity | where Caller == Found') == set()


def test_columns_are_those_that_queries_are_bound_to() -> None:
    """Every table that queries are bound to has only columns of the published schema."""
    services = json.loads((KQL / "services.json").read_text("utf-8"))
    for table, bound in {**SCHEMA, **services}.items():
        known = COLUMNS[table]
        assert {column["name"] for column in bound} <= known | {"_ResourceId", "IngestionTime"}


@pytest.mark.parametrize("table", SCHEMA)
def test_columns_are_the_published_ones(table: str) -> None:
    """The list of published names covers exactly the columns of the rule's tables."""
    if not SHARED.is_dir():
        pytest.skip("the published schemas are not at hand")
    published = json.loads((SHARED / f"{table}.json").read_text("utf-8"))["columns"]
    assert {column["name"] for column in published} == COLUMNS[table]
