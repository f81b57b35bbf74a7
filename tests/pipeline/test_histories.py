"""Random histories of runs: ledger and outbox keep their promises with any delays and kills."""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from detection.rule.correlate import detect
from detection.rule.filters import RuleSettings
from detection.rule.reported import hash_key
from detection.rule.ticks import DAY, HOUR, MINUTE, SECOND, format_time, parse_time
from tests.support.simulation import Event, Simulation, Stream, assert_consistent, describe

BEGIN = parse_time("2026-03-14T00:00:00Z")
SPANNED = 9 * HOUR

# Times lie on a coarse grid or a tick beside it, so pairs exactly an hour apart are common.
TIMES = st.builds(
    lambda step, nudge: BEGIN - 3 * HOUR + step * 15 * MINUTE + nudge,
    st.integers(0, 48),
    st.sampled_from([0, 0, 0, 1, -1]),
)
DELAYS = st.one_of(
    st.integers(0, 15 * MINUTE),
    st.integers(0, 5 * HOUR),
    st.integers(0, DAY - 1),
    st.sampled_from([0, 0, 10 * MINUTE, HOUR, DAY - 1]),
)
STEPS = st.one_of(
    st.just(HOUR),
    st.integers(HOUR - 30 * SECOND, HOUR + 30 * SECOND),
    st.sampled_from([20 * MINUTE, 119 * MINUTE, 2 * HOUR, 3 * HOUR, 5 * HOUR + MINUTE]),
)
SCHEDULES = st.lists(STEPS, min_size=2, max_size=10).map(
    lambda steps: [BEGIN + sum(steps[: count + 1]) - HOUR for count in range(len(steps))]
)


def events(where: Sequence[str]) -> st.SearchStrategy[list[Event]]:
    """Draw events of two identities; an event id may repeat, at most an hour apart.

    Up to that distance the ledger promises to recognise an operation, with any late rows.
    """
    event = st.builds(
        lambda time, delay, identity, place, number, unseen_for: Event(
            time, time + delay, identity, place, f"{time // HOUR}-{number}", unseen_for
        ),
        TIMES,
        DELAYS,
        st.sampled_from(["aaaa", "AAAA", "bbbb"]),
        st.sampled_from(where),
        st.integers(0, 3),
        st.sampled_from([0, 0, MINUTE, 10 * MINUTE - 1]),
    )
    return st.lists(event, max_size=14)


STREAMS = st.builds(
    Stream,
    events(["Azure Key Vault", "Azure Storage"]),
    events(["rg-one", "RG-ONE", "rg-two"]),
)


def until_all_arrived(stream: Stream, schedule: Sequence[int]) -> list[int]:
    """Return the schedule with further hourly runs until every row has arrived and was read."""
    arrivals = [event.arrival for event in (*stream.sign_ins, *stream.operations)]
    last = max([*arrivals, schedule[-1]]) + 2 * HOUR
    more = range(schedule[-1] + HOUR, last + HOUR, HOUR)
    return [*schedule, *more]


def matched(simulation: Simulation) -> set[tuple[object, bytes]]:
    """Return the operations that any window matched, by the rule alone."""
    found: set[tuple[object, bytes]] = set()
    for window, logs in zip(simulation.windows, simulation.logs, strict=True):
        for group in detect(logs, window.start, window.end, RuleSettings()).groups:
            found.update((group.key, hash_key(key)) for key in group.operations_at)
    return found


@given(STREAMS, SCHEDULES)
def test_every_matched_operation_is_new_exactly_once(stream: Stream, schedule: list[int]) -> None:
    """Each operation that a window matched is reported, and NewOperations adds up to all."""
    note(describe(stream))
    simulation = Simulation(stream)
    for now in until_all_arrived(stream, schedule):
        simulation.run(now)
    expected = matched(simulation)
    assert simulation.reported == expected
    news = Counter[object]()
    for row in simulation.findings():
        news[str(row["ServicePrincipalId"]).lower(), str(row["ResourceGroup"]).lower()] += int(
            str(row["NewOperations"])
        )
    expected_news = Counter((key.identity, key.resource_group) for key, _ in expected)  # type: ignore[attr-defined]
    assert news == expected_news
    assert_consistent(simulation.delivered)


def test_an_operation_repeated_within_the_span_is_recognised_a_day_later() -> None:
    """One event id at two times an hour apart is one operation, even if its sign-in is late."""
    later = BEGIN + HOUR
    stream = Stream(
        [
            Event(BEGIN, BEGIN, "aaaa", "Azure Key Vault", "1"),
            Event(later, later + DAY - 1, "aaaa", "Azure Key Vault", "2"),
        ],
        [
            Event(BEGIN, BEGIN, "aaaa", "rg-one", "3"),
            Event(later, later, "aaaa", "rg-one", "3"),
        ],
    )
    simulation = Simulation(stream)
    runs = [simulation.run(BEGIN + hour * HOUR) for hour in range(28)]
    assert [row["NewOperations"] for row in simulation.findings()] == [1]
    matched_late = [record for run in runs[20:] for record in run.records if record["Findings"]]
    assert matched_late
    assert all(record["FindingsUnchanged"] == 1 for record in matched_late)


@given(STREAMS, SCHEDULES)
def test_running_a_window_again_reports_nothing(stream: Stream, schedule: list[int]) -> None:
    """A repeated run and a backfill of hours that were read find nothing new."""
    simulation = Simulation(stream)
    for now in schedule:
        simulation.run(now)
        assert simulation.run(now).due == 0
        if simulation.version:
            again = simulation.run(now, backfill=(now - HOUR, now))
            assert again.findings == []
            assert [record["Findings"] for record in again.records] == [
                record["FindingsUnchanged"] for record in again.records
            ]


@given(STREAMS, SCHEDULES, st.data())
def test_repeated_runs_keep_the_latest_revisions(
    stream: Stream, schedule: list[int], data: st.DataObject
) -> None:
    """The latest revision of each finding is the same, however often runs are repeated."""
    once, often = Simulation(stream), Simulation(stream)
    for now in until_all_arrived(stream, schedule):
        once.run(now)
        for _ in range(data.draw(st.integers(1, 3))):
            often.run(now)
    assert often.latest() == once.latest()


@given(STREAMS, SCHEDULES)
def test_delays_do_not_change_what_is_reported(stream: Stream, schedule: list[int]) -> None:
    """Rows that arrive within MAX_LATENESS are reported as if they had arrived at once."""
    note(describe(stream))
    delayed, punctual = Simulation(stream), Simulation(stream.on_time())
    for now in until_all_arrived(stream, schedule):
        delayed.run(now)
        punctual.run(now)
    assert delayed.reported == punctual.reported


@given(STREAMS, SCHEDULES, st.data())
def test_a_run_that_dies_and_restarts_delivers_the_same_rows(
    stream: Stream, schedule: list[int], data: st.DataObject
) -> None:
    """A history with a kill at any boundary and an immediate restart delivers the same findings."""
    note(describe(stream))
    undisturbed, disturbed = Simulation(stream), Simulation(stream)
    for now in until_all_arrived(stream, schedule):
        undisturbed.run(now)
        for boundary in data.draw(st.lists(st.integers(0, 25), max_size=2)):
            disturbed.run_or_die(now, boundary)
        disturbed.run(now)
    assert disturbed.findings() == undisturbed.findings()
    assert disturbed.reported == undisturbed.reported
    assert_consistent(disturbed.delivered)


@given(STREAMS, SCHEDULES, st.data())
def test_the_next_hour_completes_a_run_that_died(
    stream: Stream, schedule: list[int], data: st.DataObject
) -> None:
    """After a kill at any boundary the next hourly run loses and contradicts nothing."""
    punctual, disturbed = Simulation(stream.on_time()), Simulation(stream)
    moments = until_all_arrived(stream, schedule)
    punctual.run(moments[0])
    disturbed.run(moments[0])
    for now in moments[1:]:
        punctual.run(now)
        disturbed.run_or_die(now, data.draw(st.one_of(st.none(), st.integers(0, 25))))
    disturbed.run(moments[-1] + HOUR)
    punctual.run(moments[-1] + HOUR)
    assert disturbed.reported == punctual.reported
    delivered = sum(int(str(row["NewOperations"])) for row in disturbed.findings())
    assert delivered == len(disturbed.reported)
    assert_consistent(disturbed.delivered)


@given(STREAMS, SCHEDULES, st.data())
def test_of_two_overlapping_runs_one_delivers(
    stream: Stream, schedule: list[int], data: st.DataObject
) -> None:
    """A second run in the middle of a first delivers what one run alone would deliver."""
    alone, contested = Simulation(stream), Simulation(stream)
    for now in until_all_arrived(stream, schedule):
        alone.run(now)
        contested.run_overlapped(now, data.draw(st.integers(0, 12)))
    assert contested.findings() == alone.findings()
    assert contested.reported == alone.reported
    assert_consistent(contested.delivered)


@pytest.mark.parametrize("seen_after", [1, 10 * MINUTE - 1])
@pytest.mark.parametrize("came", [-9 * MINUTE, -1, 0, 1, MINUTE, 59 * MINUTE])
def test_a_row_is_found_whenever_it_arrives_between_two_runs(came: int, seen_after: int) -> None:
    """A late row that arrives just before or after a run is found by the next one."""
    run_at = BEGIN + 8 * HOUR
    sign_in = Event(BEGIN, BEGIN, "aaaa", "Azure Key Vault", "1")
    operation = Event(BEGIN + HOUR, run_at + came, "aaaa", "rg-one", "2", seen_after)
    simulation = Simulation(Stream([sign_in], [operation]))
    for hour in range(1, 11):
        simulation.run(BEGIN + hour * HOUR)
    assert [row["NewOperations"] for row in simulation.findings()] == [1]


def test_lateness_is_bounded() -> None:
    """A row later than MAX_LATENESS is counted and not reported."""
    now = BEGIN + 2 * DAY
    sign_in = Event(BEGIN, BEGIN, "aaaa", "Azure Key Vault", "1")
    operation = Event(BEGIN + MINUTE, now - MINUTE, "aaaa", "rg-one", "2")
    simulation = Simulation(Stream([sign_in], [operation]), RuleSettings())
    records = [
        record
        for moment in range(BEGIN + HOUR, now + HOUR, HOUR)
        for record in simulation.run(moment).records
    ]
    assert simulation.findings() == []
    assert records[-1]["TooLateRows"] == 1
    assert records[-1]["Status"] == "Warning"


def test_hours_before_the_first_successful_read_are_read() -> None:
    """A new app whose first reads fail later reads every hour from its first run on."""
    sign_in = Event(BEGIN - HOUR, BEGIN - HOUR, "aaaa", "Azure Key Vault", "1")
    operation = Event(BEGIN - 30 * MINUTE, BEGIN, "aaaa", "rg-one", "2")
    simulation = Simulation(Stream([sign_in], [operation]), unreadable=True)
    for hour in range(6):
        assert simulation.run(BEGIN + hour * HOUR).findings == []
    simulation.unreadable = False
    outcome = simulation.run(BEGIN + 6 * HOUR)
    assert [row["NewOperations"] for row in simulation.findings()] == [1]
    assert outcome.records[0]["WindowStart"] == format_time(BEGIN - 2 * HOUR)
    assert len(outcome.records) == 7


def test_d6_an_operation_is_reported_once() -> None:
    """Two windows that hold the same pair report its operation in the first only."""
    sign_in = Event(BEGIN, BEGIN, "aaaa", "Azure Key Vault", "1")
    operation = Event(BEGIN + MINUTE, BEGIN + MINUTE, "aaaa", "rg-one", "2")
    simulation = Simulation(Stream([sign_in], [operation]))
    first, second = simulation.run(BEGIN + HOUR), simulation.run(BEGIN + 2 * HOUR - MINUTE)
    assert [finding["NewOperations"] for finding in first.findings] == [1]
    assert second.findings == []
    assert second.records[0]["FindingsUnchanged"] == 1


@pytest.mark.parametrize("late", ["sign-in", "operation"])
def test_d9_a_late_row_is_still_paired(late: str) -> None:
    """A row that arrives twenty hours late is found, with the sign-ins of the hour before it."""
    sign_in = Event(BEGIN, BEGIN, "aaaa", "Azure Key Vault", "1")
    operation = Event(BEGIN + HOUR, BEGIN + HOUR, "aaaa", "rg-one", "2")
    if late == "sign-in":
        sign_in = sign_in._replace(arrival=BEGIN + 20 * HOUR)
    else:
        operation = operation._replace(arrival=BEGIN + 21 * HOUR)
    simulation = Simulation(Stream([sign_in], [operation]))
    for hour in range(1, 20):
        assert simulation.run(BEGIN + hour * HOUR).findings == []
    found = [f for hour in range(20, 23) for f in simulation.run(BEGIN + hour * HOUR).findings]
    assert [finding["NewOperations"] for finding in found] == [1]


def test_hours_beyond_max_catch_up_are_a_gap() -> None:
    """After more than MAX_CATCH_UP the older hours are skipped, and a failure records the gap."""
    happened = BEGIN + 3 * DAY
    sign_in = Event(happened, happened, "aaaa", "Azure Key Vault", "1")
    operation = Event(happened + MINUTE, happened + MINUTE, "aaaa", "rg-one", "2")
    simulation = Simulation(Stream([sign_in], [operation]))
    simulation.run(BEGIN)
    outcome = simulation.run(BEGIN + 20 * DAY)
    gap, first, *_ = outcome.records
    assert (gap["Status"], gap["WindowEnd"]) == ("Failure", format_time(BEGIN + 13 * DAY))
    assert "never examined" in gap["Error"]
    assert first["WindowStart"] == format_time(BEGIN + 13 * DAY - HOUR)
    assert outcome.findings == []
    assert [record["LateRows"] for record in outcome.records] == [0] * len(outcome.records)
