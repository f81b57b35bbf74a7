"""The details of identities: the query in DuckDB, a recorded folder and a naive reading agree."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.ranking.identity_details import IdentityDetails, TokenUse, details_by_identity
from detection.rule.ticks import parse_time
from detection.sources.identity_columns import rows_of_answer
from detection.sources.recorded.folder import RecordedSource
from detection.sources.workspace.context import details_query
from detection.window import Mode, Window
from tests.support import OPERATIONS, SIGN_INS, kusto, write_table
from tests.support.details import (
    Row,
    naive_failures,
    naive_grants,
    naive_roles,
    naive_token_uses,
    operations,
    sign_ins,
)
from tests.support.strategies import END, START

WINDOW = Window(START, END, Mode.SCHEDULED)
ASKED = ("id-1", "id-2")
SUCCESS = ("success",)


@pytest.fixture(scope="module")
def database() -> Any:
    """Return a database with both log tables and their optional columns, empty."""
    return kusto.database(kusto.DETAILED)


def in_duckdb(
    database: Any, signed_in: Sequence[Row], operated: Sequence[Row]
) -> dict[str, IdentityDetails]:
    """Return the details by the query, run unchanged."""
    kusto.fill_detailed(database, SIGN_INS, signed_in)
    kusto.fill_detailed(database, OPERATIONS, operated)
    found = kusto.ask(database, details_query(WINDOW, END, ASKED))
    answer = [[cell or "" for cell in row.values()] for row in found]
    return details_by_identity(rows_of_answer(answer), SUCCESS)


def in_folder(signed_in: Sequence[Row], operated: Sequence[Row]) -> dict[str, IdentityDetails]:
    """Return the details of a recorded folder with these rows."""
    with TemporaryDirectory() as folder:
        # An identity has findings only if it signed in to a target service, at whatever time.
        extra = [
            {
                "TimeGenerated": "2026-01-01T00:00:00Z",
                "ServicePrincipalId": identity,
                "ResultType": "0",
                "ResourceDisplayName": "Azure Key Vault",
            }
            for identity in ASKED
        ]
        write_table(Path(folder), SIGN_INS, [*signed_in, *extra])
        write_table(Path(folder), OPERATIONS, operated)
        rows = RecordedSource(Path(folder)).identity_details(ASKED, WINDOW, END)
    return details_by_identity(rows, SUCCESS)


def of_identity(rows: Sequence[Row], identity: str) -> list[Row]:
    """Return the operations of an identity in the window."""
    return [
        row
        for row in rows
        if row["Caller"].lower() == identity and START < parse_time(row["TimeGenerated"]) <= END
    ]


@settings(max_examples=settings().max_examples // 10)
@given(st.lists(sign_ins(), max_size=4), st.lists(operations(), max_size=12))
def test_both_engines_and_a_naive_reading_agree(
    database: Any, signed_in: list[Row], operated: list[Row]
) -> None:
    """For any rows, in text or as objects, all three find the same details."""
    found = in_folder(signed_in, operated)
    assert in_duckdb(database, signed_in, operated) == found
    for identity in ASKED:
        mine = of_identity(operated, identity)
        details = found.get(identity, IdentityDetails())
        assert set(details.token_uses) == {
            TokenUse(token, parse_time(time), address)
            for token, time, address in naive_token_uses(mine)
        }
        assert details.failed_operations == naive_failures(mine)
        assert {(a.lower(), b.lower()) for a, b in details.roles()} == naive_roles(mine)
        grants = [(each.correlation_id, each.resource_id.lower()) for each in details.grants]
        assert set(grants) == naive_grants(mine)
        assert len(set(grants)) == len(grants)
    assert found.keys() <= set(ASKED)


def test_rows_that_had_not_arrived_do_not_count(database: Any) -> None:
    """A row with a later ingestion time is left out by both engines."""
    late = {
        "TimeGenerated": "2026-03-02T11:00:00Z",
        "Caller": "id-1",
        "OperationNameValue": "a/write",
        "ActivityStatusValue": "Failure",
        "IngestionTime": "2026-03-02T12:00:00.0000001Z",
    }
    assert in_duckdb(database, [], [late]) == in_folder([], [late]) == {}
    on_time = late | {"IngestionTime": "2026-03-02T12:00:00Z"}
    assert in_duckdb(database, [], [on_time]) == in_folder([], [on_time])
    assert in_folder([], [on_time])["id-1"].failed_operations == 1
