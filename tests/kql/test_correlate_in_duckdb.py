"""The two engines agree: correlate.kql and pairs.kql in DuckDB find what the rule finds here.

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
from detection.rule.correlate import Detection, Group, detect
from detection.rule.filters import RuleSettings
from detection.rule.kql_text import is_blank
from detection.rule.ledger import hash_key
from detection.rule.log_rows import Logs
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


def in_cluster(
    database: Any, logs: Logs, rule: RuleSettings, buckets: range = range(BUCKETS)
) -> list[Group]:
    """Return what the queries come to, read as answers are."""
    allowlist = Allowlist.of(logs.allowlist)
    addresses = {row[5].strip() for row in logs.sign_ins}
    excluded = tuple(sorted(filter(allowlist.covers, addresses)))
    return kusto.correlated(database, logs, WindowQueries(WINDOW, END, rule), buckets, excluded)


def comparable(group: Group) -> dict[str, Any]:
    """Return all that is known of a group, with the operations as the ledger names them."""
    operations = [(hash_key(key), time) for key, time in group.operations_at.items()]
    return values_of(group) | {"operations_at": operations, "read_pairs": group.read_pairs()}


def assert_agreement(database: Any, logs: Logs, rule: RuleSettings) -> Detection:
    """Compare every column, the order of groups and of operations, their keys, times and traces."""
    here = detect(logs, START, END, rule)
    there = in_cluster(database, logs, rule)
    assert list(map(comparable, there)) == list(map(comparable, here.groups))
    return here


def marked(rows: Sequence[Row], column: str, number: int) -> list[Row]:
    """Put a number before every identity that is one."""
    return [
        row if is_blank(row.get(column) or "") else row | {column: f"{number}:{row[column]}"}
        for row in rows
    ]


def together(drawn: Sequence[Scenario]) -> tuple[Logs, RuleSettings]:
    """Return one log of several windows, to be read as the first of them is to be."""
    first = drawn[0]
    sign_ins, operations = [], []
    for number, each in enumerate(drawn):
        sign_ins += marked(each.sign_ins, "ServicePrincipalId", number)
        operations += marked(each.operations, "Caller", number)
    log = replace(first, sign_ins=sign_ins, operations=operations)
    return log.logs(), RuleSettings(first.span, first.statuses or ("Success",))


@settings(max_examples=max(EXAMPLES // 4, 1))
@given(st.lists(scenarios(NASTY_IN_DATABASES), min_size=TOGETHER, max_size=TOGETHER))
def test_both_engines_find_the_same(database: Any, drawn: list[Scenario]) -> None:
    """Hundreds of generated windows come to the same groups, in every column, here and there."""
    logs, rule = together(drawn)
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
    """Events that come again, at one time or at several, are told apart alike, tick by tick."""
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


def test_many_operations_are_all_named(database: Any) -> None:
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
    """Of one name or of many, repeated, spelt in two ways and tied, the same pairs are kept."""
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
    shown = [len(act.pairs) for act in group.read_pairs().by_operation]
    assert shown == [max(11 - names, 1)] * names
    assert group.read_pairs().services == {"Key Vault", "Storage"}


def test_the_shortest_time_is_that_of_any_row(database: Any) -> None:
    """An operation written again right after a sign-in counts, though its first row is shown."""
    sign_ins = [sign_in(TimeGenerated=written(START + at), Id=f"s{at}") for at in (1, 900)]
    operations = [operation(TimeGenerated=written(START + at)) for at in (800, 903)]
    logs = Scenario(sign_ins, operations, [], HOUR, ("Success",)).logs()
    (group,) = assert_agreement(database, logs, RuleSettings()).groups
    assert group.read_pairs().soonest == 3
    assert [pair.operated for act in group.read_pairs().by_operation for pair in act.pairs] == [
        START + 800
    ]


def test_services_are_told_from_all_resources(database: Any) -> None:
    """A service that only the seventh resource tells counts as well, though five are shown."""
    names = [*(f"Azure Key Vault {n}" for n in range(6)), "Blob"]
    sign_ins = [
        sign_in(TimeGenerated=written(START + n + 1), Id=f"s{n}", ResourceDisplayName=name)
        for n, name in enumerate(names)
    ]
    operations = [operation(TimeGenerated=written(START + HOUR // 2))]
    logs = Scenario(sign_ins, operations, [], HOUR, ("Success",)).logs()
    (group,) = assert_agreement(database, logs, RuleSettings()).groups
    assert "Blob" not in group.resources
    assert group.read_pairs().services == {"Key Vault", "Storage"}


@pytest.mark.parametrize("entry", ["10.0.0.1 - 10.0.0.9", "10.0.0.0/8", "2001:db8::/32", "x"])
def test_the_allowlist_excludes_the_same(database: Any, entry: str) -> None:
    """Ranges, blocks and IPv6 leave out the same sign-ins, and unreadable entries none."""
    addresses = ("10.0.0.5", " 10.0.0.5\t", "2001:DB8::7", "", None, "x", "198.51.100.9")
    sign_ins = [
        sign_in(IPAddress=address, Id=f"s{number}", ServicePrincipalId=f"i{number}")
        for number, address in enumerate(addresses)
    ]
    operations = [operation(Caller=f"i{number}") for number in range(len(addresses))]
    logs = Scenario(sign_ins, operations, [entry], HOUR, ("Success",)).logs()
    found = assert_agreement(database, logs, RuleSettings())
    assert len(found.groups) == {"10": 5, "20": 6, "x": 7}[entry[:2]]


def test_buckets_are_parts_of_the_whole(database: Any) -> None:
    """What all buckets come to is what they come to one after another, nothing twice."""
    sign_ins = [sign_in(ServicePrincipalId=f"Identity-{n}", Id=f"s{n}") for n in range(40)]
    operations = [operation(Caller=f"identity-{n}", EventDataId=f"o{n}") for n in range(40)]
    logs = Scenario(sign_ins, operations, [], HOUR, ("Success",)).logs()
    whole = assert_agreement(database, logs, RuleSettings()).groups
    cuts = (0, 1, 500, 700, BUCKETS)
    parts = [
        in_cluster(database, logs, RuleSettings(), range(start, stop))
        for start, stop in itertools.pairwise(cuts)
    ]
    assert sorted(group.key for part in parts for group in part) == sorted(g.key for g in whole)
    assert sum(map(bool, parts)) >= 3
