"""A stream run partly here and partly in the workspace's cluster is one stream."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from detection.kql.constants import BUCKETS
from detection.rule.correlate import Detection, Group, detect
from detection.rule.filters import (
    Matched,
    RuleSettings,
)
from detection.rule.ledger import hash_key
from detection.rule.log_rows import Logs, Operation, SignIn
from detection.rule.ticks import HOUR, MINUTE
from detection.sources import Correlated
from detection.sources.workspace.queries import WindowQueries
from detection.window import Window
from tests.pipeline.test_histories import BEGIN, SCHEDULES, STREAMS, after
from tests.support import kusto, values_of
from tests.support.histories import Event, Simulation, Stream, describe

Engine = Callable[[Logs, Window], Logs | Correlated]


def here(logs: Logs, _: Window) -> Logs:
    """Leave the rows to the job."""
    return logs


def there(logs: Logs, window: Window) -> Correlated:
    """Give what the cluster gives, which tests/kql/test_correlate_in_duckdb.py compares."""
    found = detect(logs, window.start, window.end, RuleSettings())
    groups = [
        Group(
            **values_of(group)
            | {"operations_at": {hash_key(key): time for key, time in group.operations_at.items()}}
        )
        for group in found.groups
    ]
    return counted(logs, replace(found, groups=groups))


def in_duckdb(logs: Logs, window: Window) -> Correlated:
    """Run the queries themselves."""
    asking = WindowQueries(window, window.end, RuleSettings())
    groups = kusto.correlated(kusto.database(), logs, asking, range(BUCKETS))
    found = detect(logs, window.start, window.end, RuleSettings())
    return counted(logs, replace(found, groups=groups))


def counted(logs: Logs, found: Detection) -> Correlated:
    """Return a part whose rows stayed where they are."""
    sign_ins: Matched[SignIn] = Matched({}, matched=found.sign_ins.matched)
    operations: Matched[Operation] = Matched({}, matched=found.operations.matched)
    detection = Detection(found.groups, sign_ins, operations, found.allowlist)
    return Correlated(replace(logs, sign_ins=[], operations=[]), detection)


def play(stream: Stream, moments: Sequence[int], engines: Sequence[Engine]) -> Simulation:
    """Run at each moment, with one engine after another."""
    simulation = Simulation(stream)
    for turn, now in enumerate(moments):
        simulation.correlate = engines[turn % len(engines)]
        simulation.run(now)
    return simulation


@given(STREAMS, SCHEDULES, st.lists(st.sampled_from([here, there]), min_size=2, max_size=8))
def test_the_engines_may_take_turns(
    stream: Stream, schedule: list[int], engines: list[Engine]
) -> None:
    """Whichever engine has which run, the same findings are delivered under the same ids."""
    note(describe(stream))
    moments = after(stream, schedule)
    alone, mixed = play(stream, moments, [here]), play(stream, moments, engines)
    assert mixed.findings() == alone.findings()
    assert mixed.reported == alone.reported


@pytest.mark.parametrize("first", [0, 1])
def test_the_query_itself_may_take_turns(first: int) -> None:
    """With the query in DuckDB every other hour nothing is reported twice, or under another id."""
    stream = Stream(
        [
            Event(BEGIN + n * 40 * MINUTE, BEGIN + n * 40 * MINUTE, who, "Azure Key Vault", f"s{n}")
            for n in range(6)
            for who in ("aaaa", "BBBB")
        ],
        [
            Event(at, at + n % 3 * 50 * MINUTE, who, group, event_id)
            for n in range(9)
            for at in [BEGIN + n * 25 * MINUTE + 7]
            for who, group, event_id in (("AAAA", "rg", f"o{n}"), ("bbbb", "RG-two", ""))
        ],
    )
    moments = [BEGIN + hour * HOUR for hour in range(1, 8)]
    alone = play(stream, moments, [here])
    engines: list[Engine] = [here, in_duckdb, here]
    mixed = play(stream, moments, engines[first : first + 2])
    assert len(alone.findings()) > 4
    assert all(row["Evidence"] and row["RiskScore"] for row in alone.findings())
    assert mixed.findings() == alone.findings()
    assert mixed.reported == alone.reported
