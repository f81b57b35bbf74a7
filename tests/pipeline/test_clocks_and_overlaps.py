"""Runs whose clock is wrong, whose tables vanish, whose settings change, and that overlap."""

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
from tests.support.histories import Event, Simulation, Stream, assert_consistent

BEGIN = parse_time("2026-03-14T00:00:00Z")


def hourly(hours: int, *, group: str = "rg", delay: int = 0) -> Stream:
    """Return a sign-in and an operation a minute later for each hour from BEGIN on."""
    times = [BEGIN + hour * HOUR + 30 * MINUTE for hour in range(hours)]
    return Stream(
        [Event(at, at + delay, "aaaa", "Azure Key Vault", f"s{at}") for at in times],
        [Event(at + MINUTE, at + MINUTE + delay, "aaaa", group, f"o{at}") for at in times],
    )


def news(simulation: Simulation) -> int:
    """Return how many operations were delivered as new, which no row may contradict."""
    assert_consistent(simulation.delivered)
    return sum(int(str(row["NewOperations"])) for row in simulation.findings())


def as_list(value: object) -> list[str]:
    """Return a column of a row as the texts that it holds."""
    assert isinstance(value, list)
    return value


def go(simulation: Simulation, *hours: int) -> list[Outcome]:
    """Run at full hours after BEGIN, by a clock that is right."""
    return [simulation.run(BEGIN + hour * HOUR) for hour in hours]


# Clocks


@pytest.mark.parametrize("ahead", [6 * MINUTE, 45 * MINUTE, 4 * HOUR, DAY, 300 * DAY])
def test_a_run_ahead_of_the_workspaces_clock_examines_nothing(ahead: int) -> None:
    """A clock that is ahead is a failure on record, and costs no later run an hour."""
    simulation = Simulation(hourly(30))
    go(simulation, *range(5))
    simulation.real = BEGIN + 5 * HOUR
    outcome = simulation.run(simulation.real + ahead)
    assert "set this machine's clock right" in "".join(outcome.failures)
    assert outcome.records[-1]["Status"] == "Failure"
    simulation.real = None
    for outcome in go(simulation, *range(6, 31)):
        assert outcome.failures == []
    assert news(simulation) == 30


@pytest.mark.parametrize("ahead", [MINUTE, 5 * MINUTE])
def test_rows_that_come_while_a_clock_is_a_little_ahead_are_found(ahead: int) -> None:
    """What a table has shown is judged by the workspace's clock, so that late rows are not lost."""
    simulation = Simulation(hourly(20))
    late = [
        event._replace(arrival=event.arrival + 2 * HOUR + number * MINUTE % HOUR)
        for number, event in enumerate(simulation.stream.operations)
    ]
    simulation.stream = Stream(simulation.stream.sign_ins, late)
    for hour in range(26):
        simulation.real = BEGIN + hour * HOUR
        simulation.run(simulation.real + ahead)
    assert news(simulation) == 20


@pytest.mark.parametrize("behind", [6 * MINUTE, HOUR, DAY])
def test_a_run_behind_the_watermark_is_an_error_and_not_silence(behind: int) -> None:
    """A clock that falls behind what was examined is told, and what is due then comes after."""
    simulation = Simulation(hourly(30))
    go(simulation, *range(6))
    simulation.real = BEGIN + 6 * HOUR
    outcome = simulation.run(BEGIN + 5 * HOUR - behind)
    assert "--set-watermark" in "".join(outcome.failures)
    assert outcome.records[-1]["Status"] == "Failure"
    simulation.real = None
    go(simulation, *range(7, 31))
    assert news(simulation) == 30


def test_a_minute_behind_the_watermark_is_no_error() -> None:
    """Two machines' clocks are never quite the same."""
    simulation = Simulation(hourly(2))
    go(simulation, 1)
    assert simulation.run(BEGIN + HOUR - 5 * MINUTE).failures == []


def poisoned(hours: int) -> Simulation:
    """Return runs one of which, with no clock to compare its own with, was a day ahead."""
    simulation = Simulation(hourly(hours))
    go(simulation, *range(6))
    simulation.real, simulation.tells_time = BEGIN + 6 * HOUR, False
    simulation.run(BEGIN + 30 * HOUR + MINUTE)
    simulation.real = None
    return simulation


def test_a_watermark_of_the_future_is_loud_until_it_is_set_back() -> None:
    """Each run fails and says so; after --set-watermark the hours between are examined."""
    simulation = poisoned(30)
    for outcome in go(simulation, 7, 8):
        assert "2026-03-15T06:01:00Z was examined" in "".join(outcome.failures)
        assert outcome.records[-1]["Status"] == "Failure"
    asked = Invocation("workspace", BEGIN + 9 * HOUR, watermark=BEGIN + 5 * HOUR)
    run(simulation, simulation, simulation, asked)
    for outcome in go(simulation, *range(10, 31)):
        assert outcome.failures == []
    examined = [
        orjson.loads(row) for row in simulation.delivered if b'"Status":"Failure"' not in row
    ]
    ends = {row["WindowEnd"] for row in examined if "FindingId" not in row}
    assert {format_time(BEGIN + hour * HOUR) for hour in range(31)} <= ends
    assert news(simulation) == 30


@pytest.mark.parametrize("hours", [31, 32])
def test_a_watermark_is_never_set_forward(hours: int) -> None:
    """Hours would be passed over; the state stays as it was."""
    simulation = poisoned(8)
    before = simulation.body
    asked = Invocation("workspace", BEGIN + 9 * HOUR, watermark=BEGIN + hours * HOUR)
    with pytest.raises(StateError, match="is not before the watermark"):
        run(simulation, simulation, simulation, asked)
    assert simulation.body == before


def test_without_a_watermark_there_is_none_to_set_back() -> None:
    """A state that no run has written has examined nothing."""
    simulation = Simulation(hourly(1))
    with pytest.raises(StateError, match="nothing was examined yet"):
        run(simulation, simulation, simulation, Invocation("w", BEGIN, watermark=BEGIN - HOUR))


@pytest.mark.parametrize("ahead", [3 * DAY, 300 * DAY])
def test_a_state_of_the_release_before_that_a_wrong_clock_wrote_can_be_set_back(ahead: int) -> None:
    """However far ahead it was written, no hour after the moment that is given stays dark."""
    simulation = Simulation(hourly(60))
    go(simulation, *range(6))
    simulation.real, simulation.tells_time = BEGIN + 6 * HOUR, False
    simulation.settings = RuleSettings(max_catch_up=400 * DAY)
    simulation.hurried = True
    simulation.run(BEGIN + 6 * HOUR)
    state = decode(simulation.body, "state")
    state.watermark, state.arrivals_until = BEGIN + ahead, BEGIN + ahead - 10 * MINUTE
    state.ledger.groups.clear()
    document = orjson.loads(encode(state)) | {"version": 3}
    del document["known_from"], document["reopened_from"], document["outbox"]["begin"]
    simulation.body, simulation.real, simulation.settings = (
        orjson.dumps(document),
        None,
        RuleSettings(),
    )
    simulation.hurried = False
    assert "--set-watermark" in "".join(go(simulation, 8)[0].failures)
    asked = Invocation("workspace", BEGIN + 9 * HOUR, watermark=BEGIN + 5 * HOUR)
    assert run(simulation, simulation, simulation, asked).failures == []
    for outcome in go(simulation, *range(10, 62)):
        assert outcome.failures == []
    assert_consistent(simulation.delivered)
    found = {name for row in simulation.findings() for name in as_list(row["AffectedResources"])}
    assert found == {f"/of/{event.event_id}" for event in simulation.stream.operations}


def test_a_first_run_ahead_of_the_clock_loses_no_hour() -> None:
    """What a new app owes is counted by the workspace's clock while its own is wrong."""
    simulation = Simulation(hourly(12))
    for hour in range(1, 6):
        simulation.real = BEGIN + hour * HOUR
        assert simulation.run(simulation.real + 6 * MINUTE).failures
    simulation.real = None
    go(simulation, *range(6, 14))
    assert news(simulation) == 12


def test_a_clock_that_is_behind_is_warned_of() -> None:
    """A clock that is hours late is on record, and a time that was asked for is no such clock."""
    for by_clock in (True, False):
        simulation = Simulation(hourly(4), real=BEGIN + 4 * HOUR)
        asked = Invocation("workspace", BEGIN + 2 * HOUR, by_clock=by_clock)
        (record,) = run(simulation, simulation, simulation, asked).records
        assert ("set this machine's clock right" in record["Reason"]) == by_clock
        assert record["Status"] == ("Warning" if by_clock else "Success")


# Tables that go and come back


@pytest.mark.parametrize("table", [SIGN_INS, OPERATIONS])
@pytest.mark.parametrize("gone", [1, 3, 30, 72])
def test_a_table_that_comes_back_has_lost_nothing(table: str, gone: int) -> None:
    """What a table took in while it was missing is examined when it is there again."""
    simulation = Simulation(hourly(90))
    for hour in range(95):
        simulation.missing = {table} if 5 <= hour < 5 + gone else set()
        (outcome,) = go(simulation, hour)
        assert outcome.failures == []
    assert news(simulation) == 90


@pytest.mark.parametrize("table", [SIGN_INS, OPERATIONS])
def test_a_table_that_is_missing_at_first_is_examined_from_the_first_run_on(table: str) -> None:
    """An app that is deployed before its logs arrive owes them from its first window on."""
    simulation = Simulation(hourly(12), missing={table})
    go(simulation, *range(1, 9))
    simulation.missing = set()
    go(simulation, *range(9, 15))
    assert news(simulation) == 12


def test_a_table_that_vanishes_between_two_windows_of_one_run_loses_nothing() -> None:
    """Hours that a run catches up without a table are examined when the table is back."""

    class Vanishing(Simulation):
        def reach(self, place: str) -> None:
            super().reach(place)
            if place == "read" and len(self.windows) == 4:
                self.missing = {OPERATIONS}

    simulation = Vanishing(hourly(12))
    go(simulation, 1, 2)
    go(simulation, 8)
    simulation.missing = set()
    go(simulation, *range(9, 15))
    assert news(simulation) == 12


@pytest.mark.parametrize("table", [SIGN_INS, OPERATIONS])
@pytest.mark.parametrize("windows", [1, 2, 4])
def test_a_table_that_is_back_later_in_a_run_has_lost_nothing(table: str, windows: int) -> None:
    """Hours that a run catches up without a table are examined though its last windows have it."""

    class Returning(Simulation):
        def reach(self, place: str) -> None:
            super().reach(place)
            if place == "read":
                self.missing = {table} if 2 < len(self.windows) + 1 <= 2 + windows else set()

    simulation = Returning(hourly(14))
    go(simulation, 1, 2)
    go(simulation, 9)
    go(simulation, *range(10, 17))
    assert news(simulation) == 14


def test_what_a_table_took_in_too_long_ago_is_counted() -> None:
    """Rows that a table took in while it was missing, longer than is caught up, are given up."""
    simulation = Simulation(hourly(300))
    records = []
    for hour in range(305):
        simulation.missing = {OPERATIONS} if 5 <= hour < 270 else set()
        (outcome,) = go(simulation, hour)
        records += outcome.records
    assert sum(record["TooLateRows"] for record in records) > 0
    assert news(simulation) + sum(record["TooLateRows"] for record in records) >= 300


# Settings that change

CHANGES = {
    "MAX_LATENESS": RuleSettings(max_lateness=7 * DAY),
    "LOOKBACK": RuleSettings(lookback=3 * DAY),
    "CORRELATION_SPAN": RuleSettings(lookback=60 * HOUR, span=50 * HOUR),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_setting_that_reaches_further_back_reports_nothing_again(name: str) -> None:
    """Windows never start where reported operations have been forgotten."""
    simulation = Simulation(hourly(100))
    go(simulation, *range(80))
    late = Event(BEGIN + 10 * HOUR, BEGIN + 80 * HOUR, "aaaa", "rg", "late")
    simulation.stream = Stream(simulation.stream.sign_ins, [*simulation.stream.operations, late])
    simulation.settings = CHANGES[name]
    go(simulation, *range(80, 105))
    assert news(simulation) == len(simulation.reported)
    assert len(simulation.reported) <= 101


def test_a_setting_may_reach_as_far_back_as_all_is_known() -> None:
    """In an app that has forgotten nothing, a larger MAX_LATENESS counts at once."""
    simulation = Simulation(hourly(3))
    go(simulation, *range(4))
    late = Event(BEGIN + 32 * MINUTE, BEGIN + 20 * HOUR, "aaaa", "rg", "late")
    simulation.settings = RuleSettings(max_lateness=2 * DAY)
    simulation.stream = Stream(simulation.stream.sign_ins, [*simulation.stream.operations, late])
    go(simulation, *range(4, 24))
    assert news(simulation) == 4


# Backfills


def test_a_backfill_of_forgotten_hours_contradicts_no_row_and_hides_none() -> None:
    """Its findings have ids of their own, and what came too late for the schedule is among them."""
    simulation = Simulation(hourly(60))
    too_late = Event(BEGIN + 11 * HOUR + 40 * MINUTE, BEGIN + 40 * HOUR, "aaaa", "rg", "hidden")
    simulation.stream = Stream(
        simulation.stream.sign_ins, [*simulation.stream.operations, too_late]
    )
    go(simulation, *range(62))
    scheduled = {row["FindingId"] for row in simulation.findings()}
    simulation.run(BEGIN + 62 * HOUR, backfill=(BEGIN + 9 * HOUR, BEGIN + 20 * HOUR))
    assert_consistent(simulation.delivered)
    found = [row for row in simulation.findings() if row["FindingId"] not in scheduled]
    assert any("/of/hidden" in str(row["AffectedResources"]) for row in found)
    assert {row["Revision"] for row in found} == {1}


def test_equal_backfills_of_forgotten_hours_have_equal_ids() -> None:
    """A backfill that finds the same names it the same, so that readers see it once."""
    ids = []
    for later in (62, 90):
        simulation = Simulation(hourly(60))
        go(simulation, *range(62))
        known = {row["FindingId"] for row in simulation.findings()}
        simulation.run(BEGIN + later * HOUR, backfill=(BEGIN + 9 * HOUR, BEGIN + 12 * HOUR))
        ids.append({row["FindingId"] for row in simulation.findings()} - known)
    assert ids[0] == ids[1] != set()


def test_a_schedule_is_not_beaten_by_a_backfill_beside_it() -> None:
    """A backfill that writes a window during each hourly read costs neither of them a window."""
    simulation = Simulation(
        Stream(
            [*hourly(40).sign_ins],
            [*hourly(40).operations, *hourly(40, group="other").operations],
        )
    )
    go(simulation, *range(30))
    for hour in range(30, 41):
        now = BEGIN + hour * HOUR
        old = partial(simulation.run, now, backfill=(BEGIN - DAY, BEGIN - 20 * HOUR))
        with simulation.disturbed(4, old):
            outcome = simulation.run(now)
        assert outcome.failures == []
        assert [record["WindowEnd"] for record in outcome.records] == [
            format_time(BEGIN + hour * HOUR)
        ]
    assert news(simulation) == 80


def test_a_backfill_of_the_same_group_does_not_starve_the_schedule() -> None:
    """What a backfill reports of other hours does not make an hourly run read its window again."""
    simulation = Simulation(hourly(60))
    go(simulation, 20, 21)
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


def test_a_backfill_that_fails_says_where_to_go_on() -> None:
    """Nobody examines the rest of a backfill but another one."""

    class Breaking(Simulation):
        def reach(self, place: str) -> None:
            super().reach(place)
            self.unreadable = len(self.windows) == 3

    simulation = Breaking(hourly(30))
    outcome = simulation.run(BEGIN + 21 * HOUR, backfill=(BEGIN, BEGIN + 10 * HOUR))
    assert "the backfill ends before 2026-03-14T04:00:00Z" in outcome.records[-1]["Reason"]
    assert "next run" not in outcome.records[-1]["Reason"]


def test_after_a_state_was_begun_anew_a_backfill_contradicts_no_row() -> None:
    """Hours before the first window of all may have been reported from a state that is gone."""
    simulation = Simulation(hourly(12))
    go(simulation, *range(1, 12))
    late = Event(BEGIN + 3 * HOUR + 40 * MINUTE, BEGIN + 12 * HOUR, "aaaa", "rg", "hidden")
    simulation.stream = Stream(simulation.stream.sign_ins, [*simulation.stream.operations, late])
    simulation.body, simulation.version = b"", simulation.version + 1
    go(simulation, 30)
    simulation.run(BEGIN + 30 * HOUR, backfill=(BEGIN + 2 * HOUR, BEGIN + 6 * HOUR))
    assert_consistent(simulation.delivered)
    assert any("/of/hidden" in as_list(row["AffectedResources"]) for row in simulation.findings())


def test_a_backfill_is_not_thrown_away_by_the_schedule() -> None:
    """An hourly run in the middle of a backfill leaves it all of its windows."""
    simulation = Simulation(hourly(30))
    go(simulation, 20)
    now = BEGIN + 21 * HOUR
    with simulation.disturbed(3, partial(simulation.run, now)):
        outcome = simulation.run(now, backfill=(BEGIN, BEGIN + 10 * HOUR))
    assert len(outcome.records) == 10
    go(simulation, *range(22, 32))
    assert news(simulation) == 22  # 10 of the backfill, and from 18:00 on those of the schedule


# Two runs of the schedule


def test_a_window_that_a_rival_examines_takes_no_late_row_with_it() -> None:
    """The first window that a run examines reaches back, whichever of those due that is."""
    at = BEGIN + 5 * HOUR
    for boundary in range(8):
        simulation = Simulation(
            Stream(
                [Event(at, at, "aaaa", "Azure Key Vault", "s")],
                [Event(at + MINUTE, BEGIN + 13 * HOUR + 30 * MINUTE, "aaaa", "rg", "late")],
            )
        )
        go(simulation, *range(4, 13))
        rival = partial(simulation.run, BEGIN + 13 * HOUR + 15 * MINUTE)
        with simulation.disturbed(boundary, rival):
            go(simulation, 14)
        go(simulation, 15, 16)
        assert news(simulation) == 1


def test_a_watermark_that_is_set_back_under_a_run_stays_set_back() -> None:
    """A run that has planned its windows passes over no hour that was reopened meanwhile."""
    for boundary in range(2, 20):
        simulation = Simulation(hourly(16))
        go(simulation, *range(1, 8))
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
        go(simulation, *range(13, 18))
        found = {
            name for row in simulation.findings() for name in as_list(row["AffectedResources"])
        }
        assert found == {f"/of/{event.event_id}" for event in simulation.stream.operations}
        ends = Counter(row["WindowEnd"] for row in map(orjson.loads, simulation.delivered))
        assert ends[format_time(BEGIN + 4 * HOUR)] > 1


# Delivery


@pytest.mark.parametrize("refused", ["findings", "runs"])
def test_a_refused_stream_does_not_send_the_other_again(refused: str) -> None:
    """Rows of the stream that is taken are sent once, however long the other is refused."""
    simulation = Simulation(hourly(48), refused=refused)
    for outcome in go(simulation, *range(50)):
        assert outcome.failures
    sent = Counter(simulation.delivered)
    assert sent
    assert max(sent.values()) == 1
    simulation.refused = ""
    go(simulation, 50)
    assert news(simulation) == 48
    assert max(Counter(simulation.delivered).values()) == 1
    assert not len(decode(simulation.body, "state").outbox)


def test_a_full_outbox_grows_no_further_however_long_it_lasts() -> None:
    """Neither findings nor records of failures and gaps are added while there is no room."""
    simulation = Simulation(hourly(40), refusing=True, outbox_limit=30)
    simulation.settings = RuleSettings(max_catch_up=5 * HOUR)
    for outcome in go(simulation, *range(120)):
        assert outcome.failures
    assert len(decode(simulation.body, "state").outbox) <= 31


def test_no_outbox_is_promised_where_nothing_remembers() -> None:
    """Without a state, rows that a sink refuses are said to be remembered by nothing."""
    simulation = Simulation(hourly(2), refusing=True)
    asked = Invocation("workspace", BEGIN + 2 * HOUR)
    (failure,) = run(simulation, simulation, ReadOnlyStore(), asked).failures
    assert "nothing remembers the 2 rows" in failure
    assert "outbox" not in failure
    (failure,) = run(simulation, simulation, simulation, asked).failures
    assert "2 rows wait in the outbox" in failure


def test_rows_of_two_runs_leave_the_outbox_once_each() -> None:
    """A run that adds rows while another delivers loses none of them, wherever it happens."""
    for boundary in range(14):
        rng = random.Random(boundary)  # noqa: S311 - to be repeated, not to be secret
        simulation = Simulation(hourly(30))
        go(simulation, *range(10))
        hour = rng.randrange(10, 14)
        with simulation.disturbed(boundary, partial(simulation.run, BEGIN + hour * HOUR)):
            simulation.run(BEGIN + 14 * HOUR)
        go(simulation, *range(15, 32))
        assert news(simulation) == 30
        assert not len(decode(simulation.body, "state").outbox)
