"""The emulated workspace answers KQL as Log Analytics does."""

from typing import Any

import pytest

from detection.rule.ticks import HOUR, MINUTE, parse_time
from emulator.kusto.query_tables import missing_tables
from emulator.kusto.workspace import QueryRefused, Workspace
from emulator.services.log_analytics import ROW_LIMIT, respond_with_rows
from tests.support import ALLOWLIST, OPERATIONS, SIGN_INS

NOW = parse_time("2026-03-14T10:00:00Z")
OPERATION = {
    "TimeGenerated": "2026-03-14T09:30:00.1234567Z",
    "Caller": "id-1",
    "OperationNameValue": "A/WRITE",
    "Claims_d": {"appid": "a-1", "groups": [1, 2]},
    "Level": 4,
    "Ratio": 0.5,
    "Billed": True,
    "EventSubmissionTimestamp": "2026-03-14T09:31:00Z",
}
LATE = OPERATION | {"Caller": "id-2", "IngestionTime": "2026-03-14T11:00:00Z"}


def workspace(**tables: list[dict[str, Any]]) -> Workspace:
    """Return a workspace with two operations, of which one arrives at 11:00."""
    return Workspace({OPERATIONS: [OPERATION, LATE]} | tables)


def rows(text: str, now: int = NOW) -> list[list[Any]]:
    """Return the rows of a query."""
    return workspace().ask(text, now).rows


def test_columns_have_the_types_of_log_analytics() -> None:
    """Numbers, truth values, times and dynamic values keep their types; dynamic ones are JSON."""
    answer = workspace().ask(
        f"{OPERATIONS} | project TimeGenerated, Caller, Claims_d, Level, Ratio, Billed, "
        "EventSubmissionTimestamp, Age = EventSubmissionTimestamp - TimeGenerated",
        NOW,
    )
    assert dict(answer.columns) == {
        "TimeGenerated": "datetime",
        "Caller": "string",
        "Claims_d": "dynamic",
        "Level": "long",
        "Ratio": "real",
        "Billed": "bool",
        "EventSubmissionTimestamp": "datetime",
        "Age": "timespan",
    }
    assert answer.rows == [
        [
            "2026-03-14T09:30:00.1234560Z",  # a query of a person compares by the microsecond
            "id-1",
            '{"appid": "a-1", "groups": [1, 2]}',
            4,
            0.5,
            True,
            "2026-03-14T09:31:00.0000000Z",
            "00:00:59.8765440",
        ]
    ]


def test_dynamic_values_have_members() -> None:
    """A member of a dynamic value can be read, also of a text that is parsed."""
    text = f"{OPERATIONS} | project tostring(Claims_d.appid), array_length(Claims_d.groups)"
    assert rows(text) == [["a-1", 2]]


@pytest.mark.parametrize(("now", "callers"), [(NOW, ["id-1"]), (NOW + HOUR, ["id-1", "id-2"])])
def test_rows_are_there_once_they_arrive(now: int, callers: list[str]) -> None:
    """A row is hidden until its ingestion time, which `ingestion_time()` returns."""
    found = rows(f"{OPERATIONS} | project Caller, At = ingestion_time() | order by Caller asc", now)
    assert [caller for caller, _ in found] == callers
    assert found[-1][1] == (None if now == NOW else "2026-03-14T11:00:00.0000000Z")


def test_the_present_is_the_emulators() -> None:
    """`now()` and `ago()` go by the emulated clock."""
    assert rows("print now(), ago(1h)") == [
        ["2026-03-14T10:00:00.0000000Z", "2026-03-14T09:00:00.0000000Z"]
    ]
    assert rows(f"{OPERATIONS} | where TimeGenerated > ago(31m) | count") == [[1]]
    assert rows(f"{OPERATIONS} | where TimeGenerated > ago(29m) | count") == [[0]]


def test_a_missing_column_has_its_default() -> None:
    """`column_ifexists` gives the column, or the default where the table lacks it."""
    text = f'{OPERATIONS} | project column_ifexists("Caller", ""), column_ifexists("Nowhere", "-")'
    assert rows(text) == [["id-1", "-"]]


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("Heartbeat | take 1", "Heartbeat"),
        ("let X = Heartbeat | take 1; X", "Heartbeat"),
        (f"{OPERATIONS} | join kind=inner (Heartbeat | take 1) on TimeGenerated", "Heartbeat"),
        (f"union {OPERATIONS}, Heartbeat", "Heartbeat"),
        (SIGN_INS, SIGN_INS),
        ('_GetWatchlist("NetworkAllowlist")', "_GetWatchlist"),
    ],
)
def test_a_missing_table_is_refused_by_name(text: str, missing: str) -> None:
    """A query that reads a table which the workspace lacks is refused with the table's name."""
    with pytest.raises(QueryRefused) as refusal:
        workspace().ask(text, NOW)
    assert refusal.value.missing == missing


def test_a_fuzzy_union_leaves_a_missing_table_out() -> None:
    """A fuzzy union gives the rows of the other tables, and names the one that is missing."""
    for operand in (SIGN_INS, f"({SIGN_INS} | project Caller = ServicePrincipalId)", "Heartbeat"):
        answer = workspace().ask(
            f"union isfuzzy=true {OPERATIONS}, {operand} | project Caller", NOW
        )
        assert answer.rows == [["id-1"]]
        assert len(answer.left_out) == 1
        assert "error" in respond_with_rows(answer)


def test_names_of_other_things_are_no_tables() -> None:
    """Columns, functions, texts and comments are not taken for tables."""
    text = f"""// Heartbeat | take 1
let F = (a: string) {{ strcat(a, "(Nothing | x)") }};
let Known = {OPERATIONS} | project
    Caller,
    Level;
union (Known | where isnotempty(Caller)), ({OPERATIONS} | summarize by
    Caller)
| where Caller in ((Known | project Caller)) and F(Caller) != "Heartbeat"
| extend T = '; Heartbeat'"""
    assert missing_tables(text, {OPERATIONS}) == []


def test_an_unknown_watchlist_is_empty() -> None:
    """In a workspace with a watchlist, an unknown alias gives no rows."""
    items = [{"_DTItemId": "1", "IPOrRange": "10.0.0.1"}]
    for alias, count in ((ALLOWLIST, 1), ("Another", 0)):
        emulated = workspace(NetworkAllowlist=items)
        assert emulated.ask(f'_GetWatchlist("{alias}") | count', NOW).rows == [[count]]


def test_a_wrong_query_is_refused() -> None:
    """A query that is no KQL is refused, and so is one with an unknown column."""
    for text in (f"{OPERATIONS} | wherex", f"{OPERATIONS} | where Nowhere == 1", ""):
        with pytest.raises(QueryRefused):
            workspace().ask(text, NOW)


def test_rows_can_be_added_while_it_is_queried() -> None:
    """Rows that are added are found at once, with their time of arrival."""
    emulated = workspace()
    emulated.add(OPERATIONS, [OPERATION | {"Caller": "id-3"}], NOW - MINUTE)
    text = f"{OPERATIONS} | where Caller == 'id-3' | project At = ingestion_time()"
    assert emulated.ask(text, NOW).rows == [["2026-03-14T09:59:00.0000000Z"]]


def test_an_answer_of_too_many_rows_is_cut() -> None:
    """An answer ends at the service's limit of rows, and says so beside the rows."""
    document = respond_with_rows(workspace().ask(f"range N from 0 to {ROW_LIMIT} step 1", NOW))
    assert len(document["tables"][0]["rows"]) == ROW_LIMIT
    assert "E_QUERY_RESULT_SET_TOO_LARGE" in str(document["error"])
