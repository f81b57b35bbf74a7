"""Runs may alternate between correlation in Python and in the cluster without a difference."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from detection.kql.constants import BUCKETS
from detection.rule.correlate import Detection, Group, ReportedKeys, detect
from detection.rule.filters import (
    Matched,
    RuleSettings,
)
from detection.rule.log_rows import Logs, Operation, SignIn
from detection.rule.pairs import OperationPairs
from detection.rule.reported import hash_key
from detection.rule.ticks import HOUR, MINUTE
from detection.sources import Correlated
from detection.sources.workspace.queries import WindowQueries
from detection.window import Window
from tests.pipeline.test_histories import BEGIN, SCHEDULES, STREAMS, until_all_arrived
from tests.support import kusto, values_of
from tests.support.simulation import Event, Simulation, Stream, describe

Engine = Callable[[Logs, Window], Logs | Correlated]
RULE = RuleSettings()


def in_python(logs: Logs, _: Window) -> Logs:
    """Leave the rows to the job."""
    return logs


def in_cluster(logs: Logs, window: Window, rule: RuleSettings = RULE) -> Correlated:
    """Return the cluster's result, which tests/kql/test_correlate_in_duckdb.py proves equal."""
    found = detect(logs, window.start, window.end, rule)
    groups = [
        Group(
            **values_of(group)
            | {
                "operations_at": {hash_key(key): time for key, time in group.operations_at.items()},
                "read_pairs": partial(pairs_by_hash, group),
            }
        )
        for group in found.groups
    ]
    return counted_part(logs, replace(found, groups=groups))


def pairs_by_hash(group: Group, reported: ReportedKeys) -> list[OperationPairs]:
    """Return the pairs of a group whose reported operations are given by their hashed keys."""
    hashed = set(reported.get(group.key, ()))
    keys = [key for key in group.operations_at if hash_key(key) in hashed]
    return group.read_pairs({group.key: keys})


def in_duckdb(logs: Logs, window: Window, rule: RuleSettings = RULE) -> Correlated:
    """Run the queries in DuckDB."""
    queries = WindowQueries(window, window.end, rule)
    groups = kusto.groups_in_cluster(kusto.database(), logs, queries, range(BUCKETS))
    found = detect(logs, window.start, window.end, rule)
    return counted_part(logs, replace(found, groups=groups))


def counted_part(logs: Logs, found: Detection) -> Correlated:
    """Return a part whose rows stayed in the cluster."""
    sign_ins: Matched[SignIn] = Matched({}, matched=found.sign_ins.matched)
    operations: Matched[Operation] = Matched({}, matched=found.operations.matched)
    detection = Detection(found.groups, sign_ins, operations, found.allowlist)
    return Correlated(replace(logs, sign_ins=[], operations=[]), detection)


def play(
    stream: Stream,
    moments: Sequence[int],
    engines: Sequence[Engine],
    rule: RuleSettings = RULE,
) -> Simulation:
    """Run at each time, with one engine after another."""
    simulation = Simulation(stream, rule)
    for turn, now in enumerate(moments):
        simulation.correlate = engines[turn % len(engines)]
        simulation.run(now)
    return simulation


@given(
    STREAMS, SCHEDULES, st.lists(st.sampled_from([in_python, in_cluster]), min_size=2, max_size=8)
)
def test_runs_may_alternate_between_engines(
    stream: Stream, schedule: list[int], engines: list[Engine]
) -> None:
    """With any engine for any run, the same findings are delivered under the same ids."""
    note(describe(stream))
    moments = until_all_arrived(stream, schedule)
    alone, mixed = play(stream, moments, [in_python]), play(stream, moments, engines)
    assert mixed.findings() == alone.findings()
    assert mixed.reported == alone.reported


@pytest.mark.parametrize("first", [0, 1])
def test_runs_may_alternate_with_the_queries_in_duckdb(first: int) -> None:
    """With the queries in DuckDB every other hour, no operation is reported twice."""
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
    alone = play(stream, moments, [in_python])
    engines: list[Engine] = [in_python, in_duckdb, in_python]
    mixed = play(stream, moments, engines[first : first + 2])
    assert len(alone.findings()) > 4
    assert all(row["Evidence"] and row["RiskScore"] for row in alone.findings())
    assert mixed.findings() == alone.findings()
    assert mixed.reported == alone.reported
