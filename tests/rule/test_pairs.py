"""The pairs kept of a group agree with the pairs that nested loops find."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from detection.rule.correlate import detect
from detection.rule.filters import RuleSettings
from detection.rule.kql_text import ascii_lower
from detection.rule.log_rows import (
    OPERATION_NAME,
    Operation,
    SignIn,
    operation_keys,
)
from detection.rule.pairs import PAIRS_KEPT, OperationPairs, earliest, group_pairs, pairs_kept
from detection.rule.ticks import HOUR, MINUTE
from tests.support import naive_rule as naive
from tests.support.strategies import (
    START,
    Row,
    Scenario,
    as_logs,
    operation,
    scenarios,
    sign_in,
    written,
)

NOON = START + HOUR


def naive_pairs(scenario: Scenario) -> dict[tuple[str, str, str], list[naive.Pair]]:
    """Return the pairs of each group."""
    found: dict[tuple[str, str, str], list[naive.Pair]] = {}
    for signed_in, operated in naive.pairs(*scenario.naive_arguments):
        key = (
            naive.lowered(signed_in, "ServicePrincipalId"),
            naive.lowered(signed_in, "ServicePrincipalName"),
            naive.lowered(operated, "ResourceGroup"),
        )
        found.setdefault(key, []).append((signed_in, operated))
    return found


@given(scenarios())
def test_kept_pairs_are_real_pairs(scenario: Scenario) -> None:
    """Each kept pair is one of the rule's, with the latest sign-in before its operation."""
    expected = naive_pairs(scenario)
    settings = RuleSettings(scenario.span, scenario.statuses)
    for group in detect(scenario.logs(), *scenario.window, settings).groups:
        pairs = expected[group.key]
        for act in group.read_pairs({}):
            assert 0 < len(act.pairs) <= PAIRS_KEPT
            for pair in act.pairs:
                mine = [
                    one
                    for one, op in pairs
                    if naive.time(op) == pair.operated
                    and naive.text(op, "OperationNameValue") == pair.operation
                    and naive.text(op, "CorrelationId") == pair.correlation_id
                    and naive.text(op, "CallerIpAddress") == pair.caller_address
                    and pair.resource_id
                    in (naive.text(op, "ResourceId"), naive.text(op, "_ResourceId"))
                ]
                assert pair.signed_in == max(map(naive.time, mine))
                assert pair.resource in {naive.text(one, "ResourceDisplayName") for one in mine}


@given(scenarios())
def test_kept_pairs_count_every_operation(scenario: Scenario) -> None:
    """Each name's distinct operations are counted, and the earliest pairs are kept first."""
    settings = RuleSettings(scenario.span, scenario.statuses)
    for group in detect(scenario.logs(), *scenario.window, settings).groups:
        by_operation = group.read_pairs({})
        assert sum(act.number for act in by_operation) >= len(group.operations_at)
        assert len({ascii_lower(act.operation) for act in by_operation}) == len(by_operation)
        enough = max(PAIRS_KEPT + 1 - len(by_operation), 1)
        assert all(len(act.pairs) == min(act.number, enough) for act in by_operation)
        assert {ascii_lower(act.operation) for act in by_operation} >= set(
            map(ascii_lower, group.operations)
        )
        assert [act.pairs[0] for act in by_operation] == sorted(
            (act.pairs[0] for act in by_operation), key=lambda pair: pair.order
        )
        assert all(act.latest >= act.pairs[-1].operated for act in by_operation)


def number_by_name(by_operation: list[OperationPairs]) -> Counter[str]:
    """Return the number of operations by name in lower case."""
    return Counter({ascii_lower(act.operation): act.number for act in by_operation})


@given(scenarios(), st.data())
def test_reported_operations_are_left_out(scenario: Scenario, data: st.DataObject) -> None:
    """The pairs of a group and those of the rest after some were reported add up to all pairs."""
    settings = RuleSettings(scenario.span, scenario.statuses)
    for group in detect(scenario.logs(), *scenario.window, settings).groups:
        keys = list(group.operations_at)
        reported = set(data.draw(st.lists(st.sampled_from(keys), unique=True)))
        rest = group.read_pairs({group.key: reported})
        first = group.read_pairs({group.key: set(keys) - reported})
        whole = group.read_pairs({})
        assert number_by_name(first) + number_by_name(rest) == number_by_name(whole)
        kept = pairs_kept(len(whole))
        for act in whole:
            name = ascii_lower(act.operation)
            parts = [
                pair
                for each in (*first, *rest)
                if ascii_lower(each.operation) == name
                for pair in each.pairs
            ]
            assert earliest(parts, kept) == list(act.pairs)


def rows(sign_ins: list[Row], operations: list[Row]) -> tuple[list[SignIn], list[Operation]]:
    """Return rows as tuples that the rule reads."""
    logs = as_logs(sign_ins, operations)
    return logs.sign_ins, logs.operations


def test_a_repeated_operation_counts_at_its_earlier_time() -> None:
    """An event that was written twice is one operation, at the earlier of its two times."""
    times = (written(NOON), written(NOON + MINUTE))
    (signed_in,), operated = rows(
        [sign_in()], [operation(TimeGenerated=time, EventDataId="o1") for time in times]
    )
    found = group_pairs(operated, operation_keys(operated), [signed_in] * 2)
    assert [(act.number, [pair.operated for pair in act.pairs]) for act in found] == [(1, [NOON])]


def test_one_id_under_two_names_is_shown_under_both() -> None:
    """An event id under two operation names is kept under both."""
    (signed_in,), operated = rows(
        [sign_in()], [operation(OperationNameValue=name) for name in ("a/write", "b/delete")]
    )
    found = group_pairs(operated, operation_keys(operated), [signed_in] * 2)
    assert [(act.operation, act.number) for act in found] == [
        ("a/write", 1),
        ("b/delete", 1),
    ]


def test_nine_pairs_of_a_name_are_kept() -> None:
    """Of a hundred operations of one name the first nine are kept, and the one of another name."""
    names = ["a/write"] * 100 + ["b/delete"]
    (signed_in,), operated = rows(
        [sign_in()],
        [
            operation(OperationNameValue=name, EventDataId=str(n), TimeGenerated=written(NOON + n))
            for n, name in enumerate(names)
        ],
    )
    found = group_pairs(operated, operation_keys(operated), [signed_in] * 101)
    assert Counter({act.operation: len(act.pairs) for act in found}) == {
        "a/write": 9,
        "b/delete": 1,
    }
    assert [pair.operated for pair in found[0].pairs] == [NOON + n for n in range(9)]
    assert operated[100][OPERATION_NAME] == found[1].operation
