"""correlate.kql and pairs.kql, run in DuckDB, find the same as the rule in Python.

A query takes a while to plan, so a log is made of several generated windows whose identities are
kept apart by a number before each; blank ones stay blank.
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detection.kql.constants import BUCKETS
from detection.rule.allowlist import Allowlist
from detection.rule.correlate import Detection, Group, ReportedKeys, detect
from detection.rule.filters import RuleSettings
from detection.rule.kql_text import is_blank
from detection.rule.log_rows import Logs
from detection.rule.reported import hash_key
from detection.sources.workspace.queries import WindowQueries
from detection.window import Mode, Window
from tests.support import kusto, values_of
from tests.support.strategies import (
    END,
    HOUR,
    NASTY_IN_DATABASES,
    START,
    Row,
    Scenario,
    operation,
    scenarios,
    sign_in,
    written,
)

EXAMPLES = settings().max_examples
WINDOW = Window(START, END, Mode.SCHEDULED)
TOGETHER = 12  # generated windows in one log


@pytest.fixture(scope="module")
def database() -> Any:
    """Return a database with both tables, empty."""
    return kusto.database()


def correlate_in_duckdb(
    database: Any, logs: Logs, rule: RuleSettings, buckets: range = range(BUCKETS)
) -> list[Group]:
    """Return the groups that the queries find, decoded as answers are."""
    allowlist = Allowlist.of(logs.allowlist)
    addresses = {row[5].strip() for row in logs.sign_ins}
    excluded = tuple(sorted(filter(allowlist.covers, addresses)))
    return kusto.groups_in_cluster(
        database, logs, WindowQueries(WINDOW, END, rule), buckets, excluded
    )


def comparable(groups: list[Group]) -> list[dict[str, Any]]:
    """Return every value of the groups, with the operations keyed as in the ledger.

    The pairs are read twice: all of them, and those left if every third operation is reported.
    """
    nothing: ReportedKeys = {}
    reported = {group.key: list(group.operations_at)[::3] for group in groups[::2]}
    left = {
        group.key: group.read_pairs(reported)
        for group in groups
        if set(group.operations_at) - set(reported.get(group.key, ()))
    }
    return [
        values_of(group)
        | {
            "operations_at": [(hash_key(key), time) for key, time in group.operations_at.items()],
            "read_pairs": group.read_pairs(nothing),
            "pairs left": left.get(group.key),
        }
        for at, group in enumerate(groups)
    ]


def assert_agreement(database: Any, logs: Logs, rule: RuleSettings) -> Detection:
    """Compare every column, the order of groups and of operations, their keys, times and pairs."""
    here = detect(logs, START, END, rule)
    there = correlate_in_duckdb(database, logs, rule)
    assert comparable(there) == comparable(here.groups)
    return here


def prefixed(rows: Sequence[Row], column: str, number: int) -> list[Row]:
    """Put a number before every identity that is not blank."""
    return [
        row if is_blank(row.get(column) or "") else row | {column: f"{number}:{row[column]}"}
        for row in rows
    ]


def combined(drawn: Sequence[Scenario]) -> tuple[Logs, RuleSettings]:
    """Return one log of several windows, with the settings of the first."""
    first = drawn[0]
    sign_ins, operations = [], []
    for number, each in enumerate(drawn):
        sign_ins += prefixed(each.sign_ins, "ServicePrincipalId", number)
        operations += prefixed(each.operations, "Caller", number)
    log = replace(first, sign_ins=sign_ins, operations=operations)
    return log.logs(), RuleSettings(first.span, first.statuses or ("Success",))


@settings(max_examples=max(EXAMPLES // 4, 1))
@given(st.lists(scenarios(NASTY_IN_DATABASES), min_size=TOGETHER, max_size=TOGETHER))
def test_both_engines_find_the_same(database: Any, drawn: list[Scenario]) -> None:
    """For hundreds of generated windows both engines find the same groups, in every column."""
    logs, rule = combined(drawn)
    assert_agreement(database, logs, rule)


NEAR = st.integers(START + HOUR - 3, START + HOUR + 3)
IDS = st.sampled_from(("a", "b", "~a", "~", "", None))


@settings(max_examples=max(EXAMPLES // 8, 1))
@given(
    st.lists(st.tuples(NEAR, IDS, st.sampled_from(("Azure Key Vault", "Blob")))),
    st.lists(st.tuples(NEAR, IDS, st.sampled_from(("rg", "RG", "other")))),
    st.integers(0, 4),
)
@example(
    [(START + HOUR, "a", "Blob"), (START + HOUR + 2, "a", "Blob"), (START + HOUR, "b", "Blob")],
    [(START + HOUR, "a", "rg"), (START + HOUR + 3, "b", "rg")],
    1,
)
def test_repeated_events_count_the_same(
    database: Any, accesses: list[Any], changes: list[Any], span: int
) -> None:
    """Both engines count repeated events the same, at one time or at several, to the tick."""
    logs = Scenario(
        [
            sign_in(TimeGenerated=written(at), Id=name, ResourceDisplayName=resource)
            for at, name, resource in accesses
        ],
        [
            operation(TimeGenerated=written(at), EventDataId=name, ResourceGroup=group)
            for at, name, group in changes
        ],
        allowlist=[],
        span=span,
        statuses=("Success",),
    ).logs()
    assert_agreement(database, logs, RuleSettings(span))


def test_all_of_many_operations_have_their_keys(database: Any) -> None:
    """A group with thousands of operations has all their keys, in order, over several rows."""
    operations = [
        operation(TimeGenerated=written(START + HOUR + n % 700), EventDataId=f"o{n}")
        for n in range(2500)
    ]
    logs = Scenario([sign_in()], operations, [], HOUR, ("Success",)).logs()
    found = assert_agreement(database, logs, RuleSettings())
    assert len(found.groups[0].operations_at) == 2500


@pytest.mark.parametrize("names", [1, 3, 10, 12])
def test_the_earliest_of_each_name_are_shown(database: Any, names: int) -> None:
    """Both engines keep the same pairs of names that repeat, differ in case or tie in time."""
    operations = [
        operation(
            TimeGenerated=written(START + HOUR + n * 7 % 120),
            OperationNameValue=f"Provider/kind{n % names}/{('write', 'WRITE')[n % 5 == 0]}",
            EventDataId=f"o{n % 190}",
            CorrelationId=f"c{n}",
            CallerIpAddress=f"198.51.100.{n % 3}",
        )
        for n in range(240)
    ]
    sign_ins = [
        sign_in(
            TimeGenerated=written(START + HOUR + n * 11 % 100),
            Id=f"s{n}",
            ResourceDisplayName=("Azure Key Vault", "x-blob", "Storage")[n % 3 if n > 8 else 0],
        )
        for n in range(24)
    ]
    logs = Scenario(sign_ins, operations, [], HOUR, ("Success",)).logs()
    (group,) = assert_agreement(database, logs, RuleSettings()).groups
    shown = [len(act.pairs) for act in group.read_pairs({})]
    assert shown == [max(11 - names, 1)] * names


@pytest.mark.parametrize("entry", ["10.0.0.1 - 10.0.0.9", "10.0.0.0/8", "2001:db8::/32", "x"])
def test_the_allowlist_excludes_the_same(database: Any, entry: str) -> None:
    """In both engines ranges, blocks and IPv6 exclude the same sign-ins, and bad entries none."""
    addresses = ("10.0.0.5", " 10.0.0.5\t", "2001:DB8::7", "", None, "x", "198.51.100.9")
    sign_ins = [
        sign_in(IPAddress=address, Id=f"s{number}", ServicePrincipalId=f"i{number}")
        for number, address in enumerate(addresses)
    ]
    operations = [operation(Caller=f"i{number}") for number in range(len(addresses))]
    logs = Scenario(sign_ins, operations, [entry], HOUR, ("Success",)).logs()
    found = assert_agreement(database, logs, RuleSettings())
    assert len(found.groups) == {"10": 5, "20": 6, "x": 7}[entry[:2]]


def test_buckets_add_up_to_the_whole(database: Any) -> None:
    """The groups of single buckets, taken together, are the groups of all buckets."""
    sign_ins = [sign_in(ServicePrincipalId=f"Identity-{n}", Id=f"s{n}") for n in range(40)]
    operations = [operation(Caller=f"identity-{n}", EventDataId=f"o{n}") for n in range(40)]
    logs = Scenario(sign_ins, operations, [], HOUR, ("Success",)).logs()
    whole = assert_agreement(database, logs, RuleSettings()).groups
    cuts = (0, 1, 500, 700, BUCKETS)
    parts = [
        correlate_in_duckdb(database, logs, RuleSettings(), range(start, stop))
        for start, stop in itertools.pairwise(cuts)
    ]
    assert sorted(group.key for part in parts for group in part) == sorted(g.key for g in whole)
    assert sum(map(bool, parts)) >= 3
