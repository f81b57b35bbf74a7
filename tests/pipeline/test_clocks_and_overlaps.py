"""Runs with wrong clocks, missing tables, changed settings and overlaps report every operation."""

import random
from collections import Counter
from functools import partial

import orjson
import pytest

from detection.errors import StateError
from detection.pipeline.invocation import Invocation, Outcome
from detection.pipeline.job import run
from detection.rule.filters import RuleSettings
from detection.rule.ticks import DAY, HOUR, MINUTE, format_time, parse_time
from detection.state import ReadOnlyStore
from detection.state.codec import decode, encode
from tests.support import OPERATIONS, SIGN_INS
from tests.support.simulation import Event, Simulation, Stream, assert_consistent

BEGIN = parse_time("2026-03-14T00:00:00Z")


def hourly(hours: int, *, group: str = "rg", delay: int = 0) -> Stream:
    """Return a sign-in and an operation a minute later for each hour from BEGIN on."""
    times = [BEGIN + hour * HOUR + 30 * MINUTE for hour in range(hours)]
    return Stream(
        [Event(at, at + delay, "aaaa", "Azure Key Vault", f"s{at}") for at in times],
        [Event(at + MINUTE, at + MINUTE + delay, "aaaa", group, f"o{at}") for at in times],
    )


def count_new_operations(simulation: Simulation) -> int:
    """Return the number of operations delivered as new; no delivered row may contradict another."""
    assert_consistent(simulation.delivered)
    return sum(int(str(row["NewOperations"])) for row in simulation.findings())


def as_list(value: object) -> list[str]:
    """Return a column's value as a list of texts."""
    assert isinstance(value, list)
    return value


def run_hours(simulation: Simulation, *hours: int) -> list[Outcome]:
    """Run at these full hours after BEGIN, with a correct clock."""
    return [simulation.run(BEGIN + hour * HOUR) for hour in hours]


# Clocks


@pytest.mark.parametrize("ahead", [6 * MINUTE, 45 * MINUTE, 4 * HOUR, DAY, 300 * DAY])
def test_a_run_ahead_of_the_workspaces_clock_examines_nothing(ahead: int) -> None:
    """A clock that is ahead fails its own run, and later runs still report every hour."""
    simulation = Simulation(hourly(30))
    run_hours(simulation, *range(5))
    simulation.true_time = BEGIN + 5 * HOUR
    outcome = simulation.run(simulation.true_time + ahead)
    assert "set this machine's clock right" in "".join(outcome.failures)
    assert outcome.records[-1]["Status"] == "Failure"
    simulation.true_time = None
    for outcome in run_hours(simulation, *range(6, 31)):
        assert outcome.failures == []
    assert count_new_operations(simulation) == 30


@pytest.mark.parametrize("ahead", [MINUTE, 5 * MINUTE])
def test_a_clock_slightly_ahead_loses_no_late_row(ahead: int) -> None:
    """Arrivals are compared with the workspace's clock, so no late row is lost."""
    simulation = Simulation(hourly(20))
    late = [
        event._replace(arrival=event.arrival + 2 * HOUR + number * MINUTE % HOUR)
        for number, event in enumerate(simulation.stream.operations)
    ]
    simulation.stream = Stream(simulation.stream.sign_ins, late)
    for hour in range(26):
        simulation.true_time = BEGIN + hour * HOUR
        simulation.run(simulation.true_time + ahead)
    assert count_new_operations(simulation) == 20


@pytest.mark.parametrize("behind", [6 * MINUTE, HOUR, DAY])
def test_a_run_behind_the_watermark_is_an_error(behind: int) -> None:
    """A clock far behind the watermark is an error, and later runs report every hour."""
    simulation = Simulation(hourly(30))
    run_hours(simulation, *range(6))
    simulation.true_time = BEGIN + 6 * HOUR
    outcome = simulation.run(BEGIN + 5 * HOUR - behind)
    assert "--set-watermark" in "".join(outcome.failures)
    assert outcome.records[-1]["Status"] == "Failure"
    simulation.true_time = None
    run_hours(simulation, *range(7, 31))
    assert count_new_operations(simulation) == 30


def test_five_minutes_behind_the_watermark_is_no_error() -> None:
    """A small difference between the clocks of two machines is accepted."""
    simulation = Simulation(hourly(2))
    run_hours(simulation, 1)
    assert simulation.run(BEGIN + HOUR - 5 * MINUTE).failures == []


def simulation_with_future_watermark(hours: int) -> Simulation:
    """Return runs of which one was a day ahead while the workspace's clock could not be read."""
    simulation = Simulation(hourly(hours))
    run_hours(simulation, *range(6))
    simulation.true_time, simulation.has_clock = BEGIN + 6 * HOUR, False
    simulation.run(BEGIN + 30 * HOUR + MINUTE)
    simulation.true_time = None
    return simulation


def test_a_future_watermark_fails_until_it_is_set_back() -> None:
    """Each run fails and says so; after --set-watermark the skipped hours are read."""
    simulation = simulation_with_future_watermark(30)
    for outcome in run_hours(simulation, 7, 8):
        assert "2026-03-15T06:01:00Z was examined" in "".join(outcome.failures)
        assert outcome.records[-1]["Status"] == "Failure"
    invocation = Invocation("workspace", BEGIN + 9 * HOUR, watermark=BEGIN + 5 * HOUR)
    run(simulation, simulation, simulation, invocation)
    for outcome in run_hours(simulation, *range(10, 31)):
        assert outcome.failures == []
    examined = [
        orjson.loads(row) for row in simulation.delivered if b'"Status":"Failure"' not in row
    ]
    ends = {row["WindowEnd"] for row in examined if "FindingId" not in row}
    assert {format_time(BEGIN + hour * HOUR) for hour in range(31)} <= ends
    assert count_new_operations(simulation) == 30


@pytest.mark.parametrize("hours", [31, 32])
def test_a_watermark_is_never_set_forward(hours: int) -> None:
    """A watermark set forward would skip hours, so it is refused and the state stays."""
    simulation = simulation_with_future_watermark(8)
    before = simulation.body
    invocation = Invocation("workspace", BEGIN + 9 * HOUR, watermark=BEGIN + hours * HOUR)
    with pytest.raises(StateError, match="is not before the watermark"):
        run(simulation, simulation, simulation, invocation)
    assert simulation.body == before


def test_without_a_watermark_none_can_be_set_back() -> None:
    """A new state has no watermark, so --set-watermark is an error."""
    simulation = Simulation(hourly(1))
    with pytest.raises(StateError, match="nothing was examined yet"):
        run(simulation, simulation, simulation, Invocation("w", BEGIN, watermark=BEGIN - HOUR))


@pytest.mark.parametrize("ahead", [3 * DAY, 300 * DAY])
def test_a_future_watermark_of_the_previous_state_version_can_be_set_back(ahead: int) -> None:
    """After --set-watermark every hour is read, however far ahead the old state was."""
    simulation = Simulation(hourly(60))
    run_hours(simulation, *range(6))
    simulation.true_time, simulation.has_clock = BEGIN + 6 * HOUR, False
    simulation.settings = RuleSettings(max_catch_up=400 * DAY)
    simulation.short_of_time = True
    simulation.run(BEGIN + 6 * HOUR)
    state = decode(simulation.body, "state")
    state.watermark, state.arrivals_until = BEGIN + ahead, BEGIN + ahead - 10 * MINUTE
    state.ledger.groups.clear()
    document = orjson.loads(encode(state)) | {"version": 3}
    del document["known_from"], document["reopened_from"], document["outbox"]["begin"]
    simulation.body, simulation.true_time, simulation.settings = (
        orjson.dumps(document),
        None,
        RuleSettings(),
    )
    simulation.short_of_time = False
    assert "--set-watermark" in "".join(run_hours(simulation, 8)[0].failures)
    invocation = Invocation("workspace", BEGIN + 9 * HOUR, watermark=BEGIN + 5 * HOUR)
    assert run(simulation, simulation, simulation, invocation).failures == []
    for outcome in run_hours(simulation, *range(10, 62)):
        assert outcome.failures == []
    assert_consistent(simulation.delivered)
    found = {name for row in simulation.findings() for name in as_list(row["AffectedResources"])}
    assert found == {f"/of/{event.event_id}" for event in simulation.stream.operations}


def test_a_first_run_ahead_of_the_clock_loses_no_hour() -> None:
    """A first run with a wrong clock is measured by the workspace's clock, so no hour is lost."""
    simulation = Simulation(hourly(12))
    for hour in range(1, 6):
        simulation.true_time = BEGIN + hour * HOUR
        assert simulation.run(simulation.true_time + 6 * MINUTE).failures
    simulation.true_time = None
    run_hours(simulation, *range(6, 14))
    assert count_new_operations(simulation) == 12


def test_a_clock_that_is_behind_is_a_warning() -> None:
    """A clock that is hours behind is a warning; a --now in the past is not."""
    for by_clock in (True, False):
        simulation = Simulation(hourly(4), true_time=BEGIN + 4 * HOUR)
        invocation = Invocation("workspace", BEGIN + 2 * HOUR, by_clock=by_clock)
        (record,) = run(simulation, simulation, simulation, invocation).records
        assert ("Set this machine's clock right" in record["Reason"]) == by_clock
        assert record["Status"] == ("Warning" if by_clock else "Success")


# Missing tables


@pytest.mark.parametrize("table", [SIGN_INS, OPERATIONS])
@pytest.mark.parametrize("gone", [1, 3, 30, 72])
def test_a_table_that_returns_loses_nothing(table: str, gone: int) -> None:
    """Rows that arrived while a table was missing are read when it is back."""
    simulation = Simulation(hourly(90))
    for hour in range(95):
        simulation.missing = {table} if 5 <= hour < 5 + gone else set()
        (outcome,) = run_hours(simulation, hour)
        assert outcome.failures == []
    assert count_new_operations(simulation) == 90


@pytest.mark.parametrize("table", [SIGN_INS, OPERATIONS])
def test_a_table_that_is_missing_at_first_loses_nothing(table: str) -> None:
    """An app deployed before its logs arrive reads them from its first window on."""
    simulation = Simulation(hourly(12), missing={table})
    run_hours(simulation, *range(1, 9))
    simulation.missing = set()
    run_hours(simulation, *range(9, 15))
    assert count_new_operations(simulation) == 12


def test_a_table_that_vanishes_during_a_run_loses_nothing() -> None:
    """Hours that a run caught up without a table are read when the table is back."""

    class Vanishing(Simulation):
        def reach(self, place: str) -> None:
            super().reach(place)
            if place == "read" and len(self.windows) == 4:
                self.missing = {OPERATIONS}

    simulation = Vanishing(hourly(12))
    run_hours(simulation, 1, 2)
    run_hours(simulation, 8)
    simulation.missing = set()
    run_hours(simulation, *range(9, 15))
    assert count_new_operations(simulation) == 12


@pytest.mark.parametrize("table", [SIGN_INS, OPERATIONS])
@pytest.mark.parametrize("windows", [1, 2, 4])
def test_a_table_that_returns_during_a_run_loses_nothing(table: str, windows: int) -> None:
    """Hours caught up without a table are read even if the run's last windows have the table."""

    class Returning(Simulation):
        def reach(self, place: str) -> None:
            super().reach(place)
            if place == "read":
                self.missing = {table} if 2 < len(self.windows) + 1 <= 2 + windows else set()

    simulation = Returning(hourly(14))
    run_hours(simulation, 1, 2)
    run_hours(simulation, 9)
    run_hours(simulation, *range(10, 17))
    assert count_new_operations(simulation) == 14


def test_rows_that_arrived_too_long_ago_are_counted() -> None:
    """Rows of a table that was missing for longer than the limit are counted and not reported."""
    simulation = Simulation(hourly(300))
    records = []
    for hour in range(305):
        simulation.missing = {OPERATIONS} if 5 <= hour < 270 else set()
        (outcome,) = run_hours(simulation, hour)
        records += outcome.records
    assert sum(record["TooLateRows"] for record in records) > 0
    assert (
        count_new_operations(simulation) + sum(record["TooLateRows"] for record in records) >= 300
    )


# Changed settings

CHANGES = {
    "MAX_LATENESS": RuleSettings(max_lateness=7 * DAY),
    "LOOKBACK": RuleSettings(lookback=3 * DAY),
    "CORRELATION_SPAN": RuleSettings(lookback=60 * HOUR, span=50 * HOUR),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_longer_lookback_reports_nothing_again(name: str) -> None:
    """No window starts before the oldest operation that the ledger still knows."""
    simulation = Simulation(hourly(100))
    run_hours(simulation, *range(80))
    late = Event(BEGIN + 10 * HOUR, BEGIN + 80 * HOUR, "aaaa", "rg", "late")
    simulation.stream = Stream(simulation.stream.sign_ins, [*simulation.stream.operations, late])
    simulation.settings = CHANGES[name]
    run_hours(simulation, *range(80, 105))
    assert count_new_operations(simulation) == len(simulation.reported)
    assert len(simulation.reported) <= 101


def test_a_longer_lookback_applies_as_far_as_the_ledger_knows() -> None:
    """With a ledger that has forgotten nothing, a larger MAX_LATENESS applies at once."""
    simulation = Simulation(hourly(3))
    run_hours(simulation, *range(4))
    late = Event(BEGIN + 32 * MINUTE, BEGIN + 20 * HOUR, "aaaa", "rg", "late")
    simulation.settings = RuleSettings(max_lateness=2 * DAY)
    simulation.stream = Stream(simulation.stream.sign_ins, [*simulation.stream.operations, late])
    run_hours(simulation, *range(4, 24))
    assert count_new_operations(simulation) == 4


# Backfills


def test_a_backfill_of_forgotten_hours_contradicts_no_row() -> None:
    """Its findings have their own ids, and include rows that were too late for the schedule."""
    simulation = Simulation(hourly(60))
    too_late = Event(BEGIN + 11 * HOUR + 40 * MINUTE, BEGIN + 40 * HOUR, "aaaa", "rg", "hidden")
    simulation.stream = Stream(
        simulation.stream.sign_ins, [*simulation.stream.operations, too_late]
    )
    run_hours(simulation, *range(62))
    scheduled = {row["FindingId"] for row in simulation.findings()}
    simulation.run(BEGIN + 62 * HOUR, backfill=(BEGIN + 9 * HOUR, BEGIN + 20 * HOUR))
    assert_consistent(simulation.delivered)
    found = [row for row in simulation.findings() if row["FindingId"] not in scheduled]
    assert any("/of/hidden" in str(row["AffectedResources"]) for row in found)
    assert {row["Revision"] for row in found} == {1}


def test_equal_backfills_of_forgotten_hours_have_equal_ids() -> None:
    """Two equal backfills of forgotten hours name their findings the same."""
    ids = []
    for later in (62, 90):
        simulation = Simulation(hourly(60))
        run_hours(simulation, *range(62))
        known = {row["FindingId"] for row in simulation.findings()}
        simulation.run(BEGIN + later * HOUR, backfill=(BEGIN + 9 * HOUR, BEGIN + 12 * HOUR))
        ids.append({row["FindingId"] for row in simulation.findings()} - known)
    assert ids[0] == ids[1] != set()


def test_a_backfill_during_each_run_costs_no_window() -> None:
    """A backfill that saves during each hourly read makes neither run repeat a window."""
    simulation = Simulation(
        Stream(
            [*hourly(40).sign_ins],
            [*hourly(40).operations, *hourly(40, group="other").operations],
        )
    )
    run_hours(simulation, *range(30))
    for hour in range(30, 41):
        now = BEGIN + hour * HOUR
        old = partial(simulation.run, now, backfill=(BEGIN - DAY, BEGIN - 20 * HOUR))
        with simulation.disturbed(4, old):
            outcome = simulation.run(now)
        assert outcome.failures == []
        assert [record["WindowEnd"] for record in outcome.records] == [
            format_time(BEGIN + hour * HOUR)
        ]
    assert count_new_operations(simulation) == 80


def test_a_backfill_of_the_same_group_costs_the_schedule_no_read() -> None:
    """A backfill of other hours does not make an hourly run read its window again."""
    simulation = Simulation(hourly(60))
    run_hours(simulation, 20, 21)
    for hour in range(22, 30):
        now = BEGIN + hour * HOUR
        older = BEGIN + (hour - 22) * HOUR
        old = partial(simulation.run, now, backfill=(older, older + HOUR))
        before = len(simulation.windows)
        with simulation.disturbed(4, old):
            outcome = simulation.run(now)
        assert outcome.failures == []
        assert len(simulation.windows) == before + 2
    assert_consistent(simulation.delivered)


def test_a_backfill_that_fails_says_where_to_continue() -> None:
    """The error names the hour from which another backfill must continue."""

    class Breaking(Simulation):
        def reach(self, place: str) -> None:
            super().reach(place)
            self.unreadable = len(self.windows) == 3

    simulation = Breaking(hourly(30))
    outcome = simulation.run(BEGIN + 21 * HOUR, backfill=(BEGIN, BEGIN + 10 * HOUR))
    assert "the backfill ends before 2026-03-14T04:00:00Z" in outcome.records[-1]["Reason"]
    assert "next run" not in outcome.records[-1]["Reason"]


def test_a_backfill_with_a_new_state_contradicts_no_row() -> None:
    """A lost state may have reported the hours before the first window under other ids."""
    simulation = Simulation(hourly(12))
    run_hours(simulation, *range(1, 12))
    late = Event(BEGIN + 3 * HOUR + 40 * MINUTE, BEGIN + 12 * HOUR, "aaaa", "rg", "hidden")
    simulation.stream = Stream(simulation.stream.sign_ins, [*simulation.stream.operations, late])
    simulation.body, simulation.version = b"", simulation.version + 1
    run_hours(simulation, 30)
    simulation.run(BEGIN + 30 * HOUR, backfill=(BEGIN + 2 * HOUR, BEGIN + 6 * HOUR))
    assert_consistent(simulation.delivered)
    assert any("/of/hidden" in as_list(row["AffectedResources"]) for row in simulation.findings())


def test_a_run_of_the_schedule_keeps_a_backfill_s_windows() -> None:
    """An hourly run in the middle of a backfill leaves all of its windows."""
    simulation = Simulation(hourly(30))
    run_hours(simulation, 20)
    now = BEGIN + 21 * HOUR
    with simulation.disturbed(3, partial(simulation.run, now)):
        outcome = simulation.run(now, backfill=(BEGIN, BEGIN + 10 * HOUR))
    assert len(outcome.records) == 10
    run_hours(simulation, *range(22, 32))
    assert (
        count_new_operations(simulation) == 22
    )  # the backfill's 10 windows, and the schedule's from 18:00 on


# Overlapping runs of the schedule


def test_a_window_read_by_another_run_loses_no_late_row() -> None:
    """The first window that a run reads reaches back for late rows, whichever window that is."""
    at = BEGIN + 5 * HOUR
    for boundary in range(8):
        simulation = Simulation(
            Stream(
                [Event(at, at, "aaaa", "Azure Key Vault", "s")],
                [Event(at + MINUTE, BEGIN + 13 * HOUR + 30 * MINUTE, "aaaa", "rg", "late")],
            )
        )
        run_hours(simulation, *range(4, 13))
        rival = partial(simulation.run, BEGIN + 13 * HOUR + 15 * MINUTE)
        with simulation.disturbed(boundary, rival):
            run_hours(simulation, 14)
        run_hours(simulation, 15, 16)
        assert count_new_operations(simulation) == 1


def test_a_watermark_that_is_set_back_under_a_run_stays_set_back() -> None:
    """A run that planned its windows skips no hour that was reopened in the meantime."""
    for boundary in range(2, 20):
        simulation = Simulation(hourly(16))
        run_hours(simulation, *range(1, 8))
        now = BEGIN + 12 * HOUR

        def set_back(simulation: Simulation = simulation) -> None:
            state = decode(simulation.body, "state")
            assert state.watermark is not None
            state.watermark, state.reopened_from = BEGIN + 3 * HOUR, BEGIN + 2 * HOUR
            state.arrivals_until = BEGIN + 3 * HOUR
            state.ledger.groups.clear()
            simulation.store(state)

        with simulation.disturbed(boundary, set_back):
            simulation.run(now)
        run_hours(simulation, *range(13, 18))
        found = {
            name for row in simulation.findings() for name in as_list(row["AffectedResources"])
        }
        assert found == {f"/of/{event.event_id}" for event in simulation.stream.operations}
        ends = Counter(row["WindowEnd"] for row in map(orjson.loads, simulation.delivered))
        assert ends[format_time(BEGIN + 4 * HOUR)] > 1


# Delivery


@pytest.mark.parametrize("refused", ["findings", "runs"])
def test_a_refused_stream_does_not_send_the_other_again(refused: str) -> None:
    """Rows of the accepted stream are sent once, however long the other stream is refused."""
    simulation = Simulation(hourly(48), refused=refused)
    for outcome in run_hours(simulation, *range(50)):
        assert outcome.failures
    sent = Counter(simulation.delivered)
    assert sent
    assert max(sent.values()) == 1
    simulation.refused = ""
    run_hours(simulation, 50)
    assert count_new_operations(simulation) == 48
    assert max(Counter(simulation.delivered).values()) == 1
    assert not len(decode(simulation.body, "state").outbox)


def test_a_full_outbox_does_not_grow() -> None:
    """A full outbox takes neither findings nor records of failures and gaps."""
    simulation = Simulation(hourly(40), refusing=True, outbox_limit=30)
    simulation.settings = RuleSettings(max_catch_up=5 * HOUR)
    for outcome in run_hours(simulation, *range(120)):
        assert outcome.failures
    assert len(decode(simulation.body, "state").outbox) <= 31


def test_without_a_state_no_outbox_is_promised() -> None:
    """Without a state, the error says that rows which a sink refuses are lost."""
    simulation = Simulation(hourly(2), refusing=True)
    invocation = Invocation("workspace", BEGIN + 2 * HOUR)
    (failure,) = run(simulation, simulation, ReadOnlyStore(), invocation).failures
    assert "the 2 rows are saved nowhere" in failure
    assert "outbox" not in failure
    (failure,) = run(simulation, simulation, simulation, invocation).failures
    assert "2 rows wait in the outbox" in failure


def test_rows_of_two_runs_leave_the_outbox_once_each() -> None:
    """A run that adds rows while another delivers loses none, at any boundary."""
    for boundary in range(14):
        rng = random.Random(boundary)  # noqa: S311 - repeatable, not secret
        simulation = Simulation(hourly(30))
        run_hours(simulation, *range(10))
        hour = rng.randrange(10, 14)
        with simulation.disturbed(boundary, partial(simulation.run, BEGIN + hour * HOUR)):
            simulation.run(BEGIN + 14 * HOUR)
        run_hours(simulation, *range(15, 32))
        assert count_new_operations(simulation) == 30
        assert not len(decode(simulation.body, "state").outbox)
