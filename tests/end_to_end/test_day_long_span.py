"""A span as long as a token lives (CORRELATION_SPAN=P1D, LOOKBACK=P1DT1H), on every path.

Windows, late rows, the ledger over overlapping windows, catch-up, backfill and both engines.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from detection.kql.constants import BUCKETS
from detection.pipeline.invocation import Invocation
from detection.pipeline.job import run
from detection.rule.allowlist import Allowlist
from detection.rule.correlate import detect
from detection.rule.filters import RuleSettings
from detection.rule.ticks import DAY, HOUR, MINUTE, SECOND, format_time, parse_time
from detection.settings import rule_settings
from detection.sources.log_analytics.client import Limits
from detection.sources.workspace.queries import WindowQueries
from detection.sources.workspace.source import WorkspaceSource
from detection.state import ReadOnlyStore
from detection.window import Mode, Window, backfill_windows, due_windows
from tests.end_to_end.test_engines import Engine, in_cluster, in_duckdb, in_python, play
from tests.rule.test_correlate import as_finding
from tests.support import (
    ALLOWLIST,
    NOW,
    OPERATIONS,
    SIGN_INS,
    Collected,
    json_lines,
    kusto,
    naive_rule,
    run_cli,
    write_logs,
)
from tests.support.near_misses import day_scenarios
from tests.support.services.log_analytics import WORKSPACE, LogAnalyticsService, client_for
from tests.support.simulation import Event, Simulation, Stream, describe
from tests.support.strategies import END, Scenario

SETTINGS = {"CORRELATION_SPAN": "P1D", "LOOKBACK": "P1DT1H"}
RULE = rule_settings(SETTINGS)
TEN = parse_time(NOW)
FIRST_START = TEN - 25 * HOUR
RUNS = range(TEN, TEN + 30 * HOUR, HOUR)

TIMES = st.builds(
    lambda step, nudge: FIRST_START + step * 3 * HOUR + nudge,
    st.integers(1, 17),
    st.sampled_from((0, 0, 1, -1)),
)
DELAYS = st.sampled_from((0, 0, 0, 5 * MINUTE, 3 * HOUR, 20 * HOUR, DAY - 1))


def events(where: Sequence[str]) -> st.SearchStrategy[list[Event]]:
    """Draw events of two identities, many of them a day apart or a tick beside that."""
    event = st.builds(
        lambda time, delay, identity, place: Event(time, time + delay, identity, place, ""),
        TIMES,
        DELAYS,
        st.sampled_from(("aaaa", "AAAA", "bbbb")),
        st.sampled_from(where),
    )
    return st.lists(event, max_size=8).map(
        lambda drawn: [each._replace(event_id=f"{n}") for n, each in enumerate(drawn)]
    )


STREAMS = st.builds(Stream, events(["Azure Key Vault"]), events(["rg-one", "rg-two"]))


def expected_operations(stream: Stream) -> set[str]:
    """Return the ids of the operations within a day of a sign-in, found by nested loops."""
    return {
        operation.event_id
        for operation in stream.operations
        for sign_in in stream.sign_ins
        if operation.identity.lower() == sign_in.identity.lower()
        and FIRST_START < sign_in.time <= operation.time <= sign_in.time + DAY
        and operation.time <= RUNS[-1]
    }


def reported(simulation: Simulation) -> list[str]:
    """Return the ids of the reported operations, and one more for each repeat."""
    news = sum(int(str(row["NewOperations"])) for row in simulation.findings())
    names: Any = [name for row in simulation.findings() for name in row["AffectedResources"]]  # type: ignore[attr-defined]
    known = sorted({str(name).removeprefix("/of/") for name in names})
    return known + ["repeated"] * (news - len(known))


def test_windows_hold_a_whole_day_of_sign_ins() -> None:
    """Every operation of a window's new part has a day before it, even if the timer is late."""
    late = 40 * SECOND
    for now in (TEN + HOUR, TEN + HOUR + late, TEN + 5 * HOUR, TEN + 6 * HOUR + late):
        previous = TEN
        for window in due_windows(TEN, now, RULE).windows:
            assert window.start <= previous - DAY
            assert window.end - window.start >= RULE.lookback
            previous = window.end
        assert previous == now
    first, *_, last = backfill_windows(TEN, TEN + 5 * HOUR + late, RULE)
    assert first.start == TEN - DAY
    assert last.start <= TEN + 4 * HOUR - DAY


@given(STREAMS)
def test_each_operation_of_the_day_is_reported_once(stream: Stream) -> None:
    """Twenty-five windows hold one pair; with any delays, each operation is reported once."""
    note(describe(stream))
    delayed, punctual = Simulation(stream, RULE), Simulation(stream.on_time(), RULE)
    for now in (*RUNS, *range(RUNS[-1] + HOUR, RUNS[-1] + 26 * HOUR, HOUR)):
        delayed.run(now)
        punctual.run(now)
    assert reported(punctual) == sorted(expected_operations(stream))
    assert delayed.reported == punctual.reported
    assert reported(delayed) == reported(punctual)


@given(STREAMS, st.integers(1, 40))
def test_missed_hours_are_caught_up(stream: Stream, missed: int) -> None:
    """After a pause of any length the operations are those of hourly runs."""
    hourly, paused = Simulation(stream.on_time(), RULE), Simulation(stream.on_time(), RULE)
    moments = [TEN + hour * HOUR for hour in range(missed + 2)]
    for now in moments:
        hourly.run(now)
    for now in (moments[0], moments[-1]):
        paused.run(now)
    assert paused.reported == hourly.reported


@given(STREAMS)
def test_a_backfill_equals_the_hourly_runs(stream: Stream) -> None:
    """A backfill of the same hours finds the same operations, and a repeated one nothing."""
    hourly, backfilled = Simulation(stream.on_time(), RULE), Simulation(stream.on_time(), RULE)
    for now in RUNS:
        hourly.run(now)
    for _ in range(2):
        backfilled.run(RUNS[-1], backfill=(TEN - HOUR, RUNS[-1]))
    assert backfilled.reported == hourly.reported
    assert reported(backfilled) == reported(hourly)


@given(STREAMS)
def test_the_settings_of_a_running_app_may_change(stream: Stream) -> None:
    """After a day with the default span, the first longer window repeats nothing and is whole."""
    simulation = Simulation(stream.on_time())
    for now in RUNS[:26]:
        simulation.run(now)
    simulation.settings = RULE
    (record,) = simulation.run(RUNS[26]).records
    assert record["WindowStart"] == format_time(RUNS[26] - 25 * HOUR)
    for now in RUNS[27:]:
        simulation.run(now)
    assert sum(int(str(row["NewOperations"])) for row in simulation.findings()) == len(
        simulation.reported
    )
    assert expected_operations(stream) >= set(reported(simulation))


def test_a_sign_in_that_arrives_late_is_paired_with_the_day_after_it() -> None:
    """The window reaches back to a sign-in of MAX_LATENESS ago and a day of operations."""
    at = TEN + HOUR
    sign_in = Event(at, at + DAY - MINUTE, "aaaa", "Azure Key Vault", "1")
    operations = [Event(at + n * 8 * HOUR, at + n * 8 * HOUR, "aaaa", "rg", f"{n}") for n in (1, 3)]
    early = Event(at - HOUR, at + DAY - HOUR, "aaaa", "rg", "none")
    simulation = Simulation(Stream([sign_in], [early, *operations]), RULE)
    for now in RUNS:
        simulation.run(now)
    assert reported(simulation) == ["1", "3"]


@given(STREAMS, st.lists(st.booleans(), min_size=2, max_size=4))
def test_runs_may_alternate_between_engines(stream: Stream, engines: list[bool]) -> None:
    """With any engine for any run, the same findings are delivered."""
    cluster = partial(in_cluster, rule=RULE)
    mixed: list[Engine] = [cluster if each else in_python for each in engines]
    alone = play(stream, RUNS, [in_python], RULE)
    assert play(stream, RUNS, mixed, RULE).findings() == alone.findings()


def test_runs_may_alternate_with_the_queries_in_duckdb() -> None:
    """Every other run in the cluster reports the same operations, each once."""
    stream = Stream(
        [Event(TEN + n * 9 * HOUR, TEN + n * 9 * HOUR, "aaaa", "Blob", f"s{n}") for n in range(3)],
        [
            Event(at, at + n % 2 * 5 * HOUR, "AAAA", f"rg-{n % 2}", f"o{n}")
            for n in range(8)
            for at in [TEN + n * 5 * HOUR]
        ],
    )
    moments = RUNS[::5]
    alone = play(stream, moments, [in_python], RULE)
    mixed = play(stream, moments, [partial(in_duckdb, rule=RULE), in_python], RULE)
    assert len(alone.findings()) > 1
    assert mixed.findings() == alone.findings()


@pytest.fixture(scope="module")
def database() -> Any:
    """Return a database with both tables, empty."""
    return kusto.database()


@settings(max_examples=settings().max_examples // 10)
@given(day_scenarios())
def test_both_engines_agree_with_the_naive_reading(database: Any, drawn: Scenario) -> None:
    """Python and the query find what nested loops find, in a window of twenty-five hours."""
    scenario = replace(drawn, span=DAY, start=END - 25 * HOUR)
    logs, rule = scenario.logs(), RuleSettings(DAY, scenario.statuses)
    found = detect(logs, *scenario.window, rule)
    assert list(map(as_finding, found.groups)) == naive_rule.findings(*scenario.naive_arguments)
    queries = WindowQueries(Window(*scenario.window, Mode.SCHEDULED), END, rule)
    covers = Allowlist.of(scenario.allowlist).covers
    excluded = tuple(sorted(filter(covers, {row[5].strip() for row in logs.sign_ins})))
    there = kusto.groups_in_cluster(database, logs, queries, range(BUCKETS), excluded)
    assert [(each.key, each.pairs, each.distinct_sign_ins, each.operations) for each in there] == [
        (each.key, each.pairs, each.distinct_sign_ins, each.operations) for each in found.groups
    ]


def five_hours_apart() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return a sign-in, and a deletion five hours after it."""
    identity = "e1525895-2305-453d-b6ab-6a524251f7d9"
    sign_in = {
        "TimeGenerated": format_time(TEN - 6 * HOUR),
        "ServicePrincipalId": identity,
        "ResultType": "0",
        "ResourceDisplayName": "Azure Key Vault",
        **dict.fromkeys(("ServicePrincipalName", "IPAddress", "Id"), ""),
    }
    operation = {
        "TimeGenerated": format_time(TEN - HOUR),
        "Caller": identity,
        "OperationNameValue": "MICROSOFT.KEYVAULT/VAULTS/DELETE",
        "ActivityStatusValue": "Success",
        "ResourceGroup": "rg-one",
        "EventDataId": "o1",
        **dict.fromkeys(("SubscriptionId", "CallerIpAddress", "ResourceId"), ""),
    }
    return [sign_in], [operation]


@pytest.mark.parametrize("bounds", [("--now", NOW), ("--from", "2026-03-14T08:00Z", "--to", NOW)])
def test_a_deletion_five_hours_after_the_sign_in(tmp_path: Path, bounds: tuple[str, ...]) -> None:
    """It is a near miss by default, and a finding with a span of a day."""
    folder, runs = write_logs(tmp_path / "logs", *five_hours_apart()), tmp_path / "runs"
    files: tuple[str | Path, ...] = ("--recorded", folder, "--json", "--runs", runs)
    for environment, findings, near_misses in (({}, 0, 1), (SETTINGS, 1, 0)):
        done = run_cli("run", *files, *bounds, settings=environment)
        assert done.returncode == 0
        assert len(json_lines(done.stdout)) == findings
        records = json_lines(runs.read_text("utf-8"))
        assert sum(record["NearMisses"] for record in records) == near_misses
        # By default the sign-in lies outside of the windows, which the first of them says.
        first, *others = [record["Status"] for record in records]
        assert first == ("Warning" if near_misses else "Success")
        assert set(others) <= {"Success"}
        assert ("1 near miss (" in done.stderr) == (len(records) > 1 and near_misses > 0)
        assert ("vaults/delete" in done.stderr) == (near_misses > 0)


@pytest.fixture
def service() -> Iterator[LogAnalyticsService]:
    """Serve a sign-in, and a deletion five hours after it."""
    sign_ins, operations = five_hours_apart()
    with LogAnalyticsService({SIGN_INS: sign_ins, OPERATIONS: operations, ALLOWLIST: []}) as logs:
        yield logs
    assert logs.complaints == []


@pytest.mark.parametrize("rows_in_process", [float("inf"), -1], ids=["python", "workspace"])
@pytest.mark.parametrize("rule", [RuleSettings(), RULE], ids=["an hour", "a day"])
def test_a_workspace_finds_it_with_either_engine(
    service: LogAnalyticsService, rule: RuleSettings, rows_in_process: float
) -> None:
    """Wherever rows are paired, the span decides between a finding and a near miss."""
    sink = Collected()
    with client_for(service.endpoint) as client:
        source = WorkspaceSource(
            client=client,
            workspace_id=WORKSPACE,
            limits=Limits(rows_in_process=rows_in_process),
        )
        outcome = run(source, sink, ReadOnlyStore(), Invocation(WORKSPACE, TEN, rule))
    assert not outcome.failures
    counts = len(sink.findings), sink.runs[0]["NearMisses"]
    assert counts == ((1, 0) if rule is RULE else (0, 1))
    assert bool(service.called("near_misses")) == (rule is not RULE)
    in_workspace = rows_in_process < 0
    assert bool(service.called("correlate")) == (in_workspace and rule is RULE)
