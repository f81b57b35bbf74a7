"""A day of runs, disturbed in every way at every boundary: nothing is lost, nothing new twice.

Each history follows from its seed, which a failure names: `history(seed)` plays it again.
"""

import random
from collections import Counter

import pytest

from detection.rule.filters import RuleSettings
from detection.rule.ticks import DAY, HOUR, MINUTE, SECOND
from detection.state.codec import decode
from tests.support import OPERATIONS, SIGN_INS
from tests.support.effort import effort
from tests.support.fault_injection import OUTAGES, PLACES, QUERIES, WAYS, Disturbed, any_fault
from tests.support.histories import Simulation
from tests.support.streams import BEGIN, assert_made_good, random_stream

PARTS, HISTORIES = effort(desk=1, ci=4), 300  # seeds are those up to PARTS * HISTORIES
HOURS = 24

OFFSETS = (MINUTE, 5 * MINUTE, 7 * MINUTE, 50 * MINUTE, 5 * HOUR, DAY)  # of a wrong clock
# What a window finds of this stream is the same with all of them.
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
    *("rows refused", "rows taken unsaid", "state unreadable", "state unwritable"),
    *("answer lost", "answer late", "answer lost and overtaken"),
    *("a write landed late", "a late write was refused"),
    *(f"outage of the {side}" for side in OUTAGES),
    *("timer missed", "replayed", "replayed earlier", "out of time", "outbox full"),
    *(f"backfilled at {place}" for place in PLACES),
    *("clock ahead", "clock ahead told", "clock behind", "clock behind told"),
    *("findings refused", "runs refused", "terminal beside", "settings changed"),
    *(f"{table} missing" for table in (SIGN_INS, OPERATIONS)),
}


def history(seed: int) -> Disturbed:
    """Return a day of disturbed runs, and then quiet ones until everything has been seen."""
    rng = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
    disturbed = Disturbed(random_stream(rng, HOURS))
    # Hours before the first run of all are nobody's, so two of the same moment begin.
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
        disturbed.down = now_out & set(OUTAGES)
        disturbed.missing = now_out & {SIGN_INS, OPERATIONS}
        disturbed.struck.update(f"{table} missing" for table in disturbed.missing)
        disturbed.refused = min(now_out & {"findings", "runs"}, default="")
        disturbed.hurried = rng.random() < 0.2
        if rng.random() < 0.1:
            disturbed.struck["settings changed"] += 1
            disturbed.settings = rng.choice(TIMINGS)
        now = BEGIN + hour * HOUR + rng.randrange(60) * SECOND
        if rng.random() < 0.1:
            disturbed.struck["timer missed"] += 1
            continue
        by_clock = rng.choice((0,) * 12 + tuple(rng.choice(OFFSETS) * sign for sign in (1, -1)))
        fault = any_fault(rng) if rng.random() < 0.6 else None
        disturbed.attempt(now, fault, by_clock=by_clock)
        if rng.random() < 0.15:
            disturbed.struck["terminal beside"] += 1
            disturbed.attempt(now + rng.randrange(2, 55) * MINUTE)
        while rng.random() < 0.2:
            same = rng.random() < 0.5
            disturbed.struck["replayed" if same else "replayed earlier"] += 1
            moment = now if same else rng.randrange(BEGIN, now)
            disturbed.attempt(moment, any_fault(rng) if rng.random() < 0.3 else None)
    disturbed.down, disturbed.missing, disturbed.refused = set(), set(), ""
    disturbed.hurried = False
    disturbed.give_up_late_write()
    seen = max(event.arrival + event.unseen_for for event in disturbed.stream.events())
    quiet = BEGIN + (HOURS + 1) * HOUR
    for now in range(quiet, max(quiet, seen) + HOUR, HOUR):
        outcome = disturbed.attempt(now)
        assert outcome is not None
        assert outcome.failures == []
    return disturbed


def undisturbed(disturbed: Disturbed) -> Simulation:
    """Return the same day without a fault or a delay."""
    simulation = Simulation(disturbed.stream.on_time())
    for hour in range(HOURS + 1):
        simulation.run(BEGIN + hour * HOUR)
    return simulation


@pytest.mark.seeded
@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_happens_each_operation_is_reported_once(part: int, first_seed: int) -> None:
    """A day of faults at every boundary ends with what the day without faults and delays does."""
    struck = Counter[str]()
    for seed in range(first_seed + part * HISTORIES, first_seed + (part + 1) * HISTORIES):
        try:
            disturbed = history(seed)
            assert disturbed.reported == undisturbed(disturbed).reported
            assert_made_good(disturbed.delivered, disturbed.stream)
            assert not len(decode(disturbed.body, "the simulated state").outbox)
        except Exception as error:
            raise AssertionError(f"history({seed}) went wrong") from error
        struck += disturbed.struck
    assert first_seed or KINDS - set(+struck) == set()
