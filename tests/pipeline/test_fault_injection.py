"""A day of runs with faults at every boundary reports each operation exactly once.

A failing test names the seed of its history, and `history(seed)` repeats it.
"""

import random
from collections import Counter

import pytest

from detection.rule.filters import RuleSettings
from detection.rule.ticks import DAY, HOUR, MINUTE, SECOND
from detection.state.codec import decode
from tests.support import OPERATIONS, SIGN_INS
from tests.support.effort import effort
from tests.support.fault_injection import (
    OUTAGES,
    PLACES,
    QUERIES,
    WAYS,
    FaultySimulation,
    any_fault,
)
from tests.support.random_streams import BEGIN, assert_each_reported_once, random_stream
from tests.support.simulation import Simulation

PARTS, HISTORIES = effort(desk=1, ci=2), 300  # the seeds are 0 to PARTS * HISTORIES - 1
HOURS = 24

OFFSETS = (MINUTE, 5 * MINUTE, 7 * MINUTE, 50 * MINUTE, 5 * HOUR, DAY)  # of a wrong clock
# A window finds the same operations of this stream with all of these settings.
TIMINGS = (
    RuleSettings(),
    RuleSettings(lookback=5 * HOUR),
    RuleSettings(max_lateness=7 * DAY),
    RuleSettings(lookback=3 * HOUR, max_lateness=2 * DAY, max_catch_up=9 * DAY),
)

KINDS = {
    *(f"{query}: {way}" for query in QUERIES for way in WAYS),
    *(f"death at {place}" for place in PLACES),
    *(f"overlapped at {place}" for place in PLACES),
    *("rows refused", "rows accepted without answer", "state unreadable", "state unwritable"),
    *("answer lost", "answer late", "answer lost and overtaken"),
    *("a write landed late", "a late write was refused"),
    *(f"outage of the {side}" for side in OUTAGES),
    *("timer missed", "replayed", "replayed earlier", "out of time", "outbox full"),
    *(f"backfilled at {place}" for place in PLACES),
    *("clock ahead", "clock ahead reported", "clock behind", "clock behind reported"),
    *("findings refused", "runs refused", "terminal beside", "settings changed"),
    *(f"{table} missing" for table in (SIGN_INS, OPERATIONS)),
}


def history(seed: int) -> FaultySimulation:
    """Return a day of runs with faults, followed by undisturbed runs until every row is visible."""
    rng = random.Random(seed)  # noqa: S311 - repeatable, not secret
    disturbed = FaultySimulation(random_stream(rng, HOURS))
    # Two runs begin at the same time, since no run reports the hours before the first one.
    disturbed.run_overlapped(BEGIN, rng.randrange(8))
    disturbed.outbox_limit = rng.choice((5, disturbed.outbox_limit))
    lasting = (*OUTAGES, SIGN_INS, OPERATIONS, "findings", "runs")
    out = {
        side: range(first, first + rng.randint(2, 8))
        for side in lasting
        if (first := rng.randrange(HOURS * 3))
    }
    for hour in range(1, HOURS + 1):
        now_out = {side for side, hours in out.items() if hour in hours}
        disturbed.outages = now_out & set(OUTAGES)
        disturbed.missing = now_out & {SIGN_INS, OPERATIONS}
        disturbed.occurred.update(f"{table} missing" for table in disturbed.missing)
        disturbed.refused = min(now_out & {"findings", "runs"}, default="")
        disturbed.short_of_time = rng.random() < 0.2
        if rng.random() < 0.1:
            disturbed.occurred["settings changed"] += 1
            disturbed.settings = rng.choice(TIMINGS)
        now = BEGIN + hour * HOUR + rng.randrange(60) * SECOND
        if rng.random() < 0.1:
            disturbed.occurred["timer missed"] += 1
            continue
        clock_ahead = rng.choice((0,) * 12 + tuple(rng.choice(OFFSETS) * sign for sign in (1, -1)))
        fault = any_fault(rng) if rng.random() < 0.6 else None
        disturbed.run_with_fault(now, fault, clock_ahead=clock_ahead)
        if rng.random() < 0.15:
            disturbed.occurred["terminal beside"] += 1
            disturbed.run_with_fault(now + rng.randrange(2, 55) * MINUTE)
        while rng.random() < 0.2:
            same = rng.random() < 0.5
            disturbed.occurred["replayed" if same else "replayed earlier"] += 1
            time = now if same else rng.randrange(BEGIN, now)
            disturbed.run_with_fault(time, any_fault(rng) if rng.random() < 0.3 else None)
    disturbed.outages, disturbed.missing, disturbed.refused = set(), set(), ""
    disturbed.short_of_time = False
    disturbed.give_up_late_write()
    seen = max(event.arrival + event.unseen_for for event in disturbed.stream.events())
    quiet = BEGIN + (HOURS + 1) * HOUR
    for now in range(quiet, max(quiet, seen) + HOUR, HOUR):
        outcome = disturbed.run_with_fault(now)
        assert outcome is not None
        assert outcome.failures == []
    return disturbed


def undisturbed(disturbed: FaultySimulation) -> Simulation:
    """Return the same day without faults and delays."""
    simulation = Simulation(disturbed.stream.on_time())
    for hour in range(HOURS + 1):
        simulation.run(BEGIN + hour * HOUR)
    return simulation


@pytest.mark.seeded
@pytest.mark.parametrize("part", range(PARTS))
def test_with_any_faults_each_operation_is_reported_once(part: int, first_seed: int) -> None:
    """A day with faults at every boundary reports what a day without faults and delays reports."""
    occurred = Counter[str]()
    for seed in range(first_seed + part * HISTORIES, first_seed + (part + 1) * HISTORIES):
        try:
            disturbed = history(seed)
            assert disturbed.reported == undisturbed(disturbed).reported
            assert_each_reported_once(disturbed.delivered, disturbed.stream)
            assert not len(decode(disturbed.body, "the simulated state").outbox)
        except Exception as error:
            raise AssertionError(f"history({seed}) went wrong") from error
        occurred += disturbed.occurred
    assert first_seed or KINDS - set(+occurred) == set()
