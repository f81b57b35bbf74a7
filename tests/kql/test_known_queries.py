"""The quick answers that tests use are those of the emulated workspace."""

import random
from typing import Any

from detection.rule.filters import RuleSettings
from detection.rule.log_rows import OPERATION_TABLE, SIGN_IN_TABLE
from detection.rule.ticks import DAY, HOUR, parse_time
from detection.sources.workspace.context import actions_query, baseline_query
from detection.sources.workspace.queries import WindowQueries
from detection.sources.workspace.query_checks import ALL_BUCKETS, all_queries
from detection.sources.workspace.window_counts import arrivals_query
from detection.window import Mode, Seen, Window
from emulator.kusto.workspace import Workspace
from emulator.services.log_analytics import respond_with_rows
from tests.support import ALLOWLIST, EXCLUSIONS, OPERATIONS, SIGN_INS
from tests.support.effort import effort
from tests.support.random_streams import BEGIN, random_stream, tables_of
from tests.support.services import known_queries
from tests.support.services.log_analytics import kind_of

NOW = BEGIN + 6 * HOUR
STREAMS = effort(desk=2, ci=4)
TIMES = {"since": NOW - HOUR, "now": NOW, "examined": NOW - HOUR, "too_late": NOW - 5 * HOUR}
LIVELY = ("read of operations", "recording", "near misses", "actions", "baseline")  # have rows


def tables(seed: int) -> dict[str, Any]:
    """Return random logs with odd rows among them, and both watchlists."""
    rng = random.Random(seed)  # noqa: S311 - repeatable, not secret
    streams = [tables_of(random_stream(rng, hours=8)) for _ in range(20)]
    found: dict[str, Any] = {
        name: [row for stream in streams for row in stream[name]] for name in (SIGN_INS, OPERATIONS)
    }
    for number, row in enumerate(found[OPERATIONS]):
        row.pop("SeenFrom", None)
        row |= {
            "ActivityStatusValue": ("Success", "Success", "Succeeded", "Start")[number % 4],
            "OperationNameValue": (
                *("A/WRITE", "a/listKeys/action", "Microsoft.Storage/storageAccounts/delete"),
                *("MICROSOFT.KEYVAULT/VAULTS/DELETE", "a/read/write"),
            )[number % 5],
            "CallerIpAddress": ("198.51.100.1", None)[number % 2],
        }
    found[ALLOWLIST] = [
        {"_DTItemId": "1", "LastUpdatedTimeUTC": "2026-03-01T00:00:00Z", "IPOrRange": "10.0.0.1"},
        {"_DTItemId": "1", "LastUpdatedTimeUTC": "2026-03-02T00:00:00Z", "IPOrRange": "::1/64"},
        {"_DTItemId": "2", "LastUpdatedTimeUTC": "2026-03-01T00:00:00Z", "IPOrRange": "10.0.0.2"},
    ]
    found[EXCLUSIONS] = [{"ServicePrincipalId": "aaaa", "Owner": "soc", "Reason": "known"}]
    return found


def texts() -> dict[str, str]:
    """Return the product's queries about the last hours, by a name for each."""
    rule = RuleSettings()
    window = Window(NOW - 2 * HOUR, NOW, Mode.SCHEDULED)
    queries = WindowQueries(window, NOW, rule)
    named = {each.name: str(each.text) for each in all_queries(queries, ALLOWLIST, EXCLUSIONS)}
    statuses = rule.success_statuses
    return named | {
        "read of sign-ins": str(queries.rows(SIGN_IN_TABLE, range(512), NOW - 2 * HOUR, NOW)),
        "read of operations": str(queries.rows(OPERATION_TABLE, ALL_BUCKETS, NOW - HOUR, NOW)),
        "recording": str(queries.recording(OPERATION_TABLE, NOW - 2 * HOUR, NOW)),
        "arrivals": str(arrivals_query(OPERATION_TABLE, TIMES)),
        "near misses": str(queries.near_misses(ALL_BUCKETS, (), Seen(NOW - HOUR, NOW - HOUR))),
        "actions": str(actions_query(window, statuses, ("aaaa", "cccc"))),
        "baseline": str(baseline_query(NOW - DAY, NOW, statuses)),
    }


def comparable(document: dict[str, Any]) -> list[list[tuple[str, str]]]:
    """Return the rows by column, sorted; a null is an empty text."""
    (table,) = document["tables"]
    names = [column["name"] for column in table["columns"]]
    rows = [
        sorted(
            (name, "" if value is None else str(value))
            for name, value in zip(names, row, strict=True)
        )
        for row in table["rows"]
    ]
    return sorted(rows)


def test_quick_answers_equal_those_of_the_queries() -> None:
    """Each query gives the same rows, quickly or in DuckDB, in random logs with late rows."""
    kinds, with_rows = set[str](), set[str]()
    for seed in range(STREAMS):
        rows = tables(seed)
        workspace = Workspace(rows)
        there = {name: list(filter(has_arrived, each)) for name, each in rows.items()}
        for name, text in texts().items():
            kind = kind_of(text)
            quick = known_queries.answer(kind, text, there, NOW)
            if quick is None:
                continue
            found = comparable(quick)
            assert found == comparable(respond_with_rows(workspace.ask(text, NOW))), name
            kinds.add(kind)
            with_rows |= {name} if found else set()
    assert kinds == {"clock", *known_queries.ANSWERS}
    assert with_rows >= set(LIVELY)


def has_arrived(row: dict[str, Any]) -> bool:
    """Return True if a row is there at NOW."""
    return parse_time(row.get("IngestionTime") or "1970-01-01") <= NOW
