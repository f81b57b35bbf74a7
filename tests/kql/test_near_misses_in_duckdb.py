"""near_misses.kql, run in DuckDB, counts the same changes as the Python does."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.kql.constants import BUCKETS
from detection.ranking.near_misses import LateChanges
from detection.rule.allowlist import Allowlist
from detection.rule.filters import RuleSettings
from detection.rule.log_rows import OPERATION_TABLE, SIGN_IN_TABLE, Logs
from detection.rule.ticks import DAY
from detection.sources.workspace.queries import WindowQueries
from detection.window import Mode, Seen, Window
from tests.support import kusto
from tests.support.near_misses import day_scenarios, late_in_python
from tests.support.strategies import (
    END,
    HOUR,
    START,
    Scenario,
    as_logs,
    operation,
    sign_in,
    written,
)

EXAMPLES = settings().max_examples
WINDOW = Window(START, END, Mode.SCHEDULED)
NOTHING_SEEN = Seen(START, END)


@pytest.fixture(scope="module")
def database() -> Any:
    """Return a database with both tables, empty."""
    return kusto.database()


def fill(database: Any, logs: Logs, arrival: int | None = None) -> None:
    """Replace the rows of both tables; all of them have the same time of ingestion."""
    for shape, rows in ((SIGN_IN_TABLE, logs.sign_ins), (OPERATION_TABLE, logs.operations)):
        kusto.fill(database, shape.name, [[*row, arrival] for row in rows])


def late_in_kql(
    database: Any,
    rule: RuleSettings,
    *,
    allowlist: Sequence[str] = (),
    seen: Seen = NOTHING_SEEN,
    buckets: range = range(BUCKETS),
) -> list[LateChanges]:
    """Return the counts of the query, sorted, without sign-ins from allowlisted addresses."""
    queries = WindowQueries(WINDOW, END, rule)
    covers = Allowlist.of(allowlist).covers
    excluded = ()
    if allowlist:
        day = replace(queries, window=replace(WINDOW, start=START - DAY))
        asked = kusto.ask(database, day.addresses(range(BUCKETS)))
        excluded = tuple(row["Address"] for row in asked if covers(row["Address"]))
    found = kusto.ask(database, queries.near_misses(buckets, excluded, seen))
    return sorted(LateChanges(*row.values()) for row in found)


@settings(max_examples=EXAMPLES // 10)
@given(day_scenarios())
def test_both_count_alike(database: Any, drawn: Scenario) -> None:
    """Names and numbers are equal, with any rows, span, statuses and allowlist."""
    fill(database, drawn.logs())
    rule = RuleSettings(drawn.span, drawn.statuses)
    found = late_in_kql(database, rule, allowlist=drawn.allowlist)
    assert found == sorted(late_in_python(drawn))


@settings(max_examples=EXAMPLES // 25)
@given(day_scenarios(), st.integers(1, BUCKETS - 1))
def test_partitions_add_up(database: Any, drawn: Scenario, middle: int) -> None:
    """The counts of two partitions are together those of all identities."""
    fill(database, drawn.logs())
    rule = RuleSettings(drawn.span, drawn.statuses)
    halves = [
        late_in_kql(database, rule, buckets=half)
        for half in (range(middle), range(middle, BUCKETS))
    ]
    assert sorted(halves[0] + halves[1]) == late_in_kql(database, rule)


@pytest.mark.parametrize("start", [0, 1, 30 * 60 * 10_000_000, HOUR - 1])
@pytest.mark.parametrize("delay", [-1, 0, 1, HOUR - 1, HOUR, HOUR + 1, DAY - 1, DAY, DAY + 1])
def test_both_ends_of_the_times_are_included(database: Any, delay: int, start: int) -> None:
    """Wherever a bin begins, the span and the lifetime include both of their ends."""
    changed = START + HOUR + start
    signed_in = sign_in(TimeGenerated=written(changed - delay))
    fill(database, as_logs([signed_in], [operation(TimeGenerated=written(changed))]))
    assert len(late_in_kql(database, RuleSettings())) == (HOUR < delay <= DAY)


@pytest.mark.parametrize(
    ("until", "at", "number"),
    [
        (START, END, 1),
        (START + HOUR - 1, END, 1),
        (START + HOUR, END, 0),
        (START + HOUR, START + HOUR + 6, 1),
        (START + HOUR, START + HOUR + 7, 0),
    ],
)
def test_what_an_earlier_window_has_read_is_left_out(
    database: Any, until: int, at: int, number: int
) -> None:
    """A change counts if its time is later than that window, or its arrival later than the read."""
    logs = as_logs([sign_in(TimeGenerated=written(START + HOUR - DAY))], [operation()])
    fill(database, logs, arrival=START + HOUR + 7)
    assert len(late_in_kql(database, RuleSettings(), seen=Seen(until, at))) == number


def test_rows_that_had_not_arrived_are_left_out(database: Any) -> None:
    """A run counts with the rows that had arrived at its time."""
    logs = as_logs([sign_in(TimeGenerated=written(START + HOUR - DAY))], [operation()])
    fill(database, logs, arrival=END + 1)
    assert not late_in_kql(database, RuleSettings())
