"""The pairs kept of a group agree with the pairs that nested loops find."""

from collections import Counter

from hypothesis import given

from detection.rule.correlate import detect
from detection.rule.filters import RuleSettings
from detection.rule.kql_text import ascii_lower
from detection.rule.log_rows import (
    OPERATION_NAME,
    Operation,
    SignIn,
    operation_keys,
)
from detection.rule.pairs import PAIRS_KEPT, group_pairs, target_services_of
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
        found = group.read_pairs()
        assert found.soonest == min(naive.time(op) - naive.time(one) for one, op in pairs)
        assert found.services == target_services_of(
            [naive.text(one, "ResourceDisplayName") for one, _ in pairs]
        )
        for act in found.by_operation:
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
        by_operation = group.read_pairs().by_operation
        assert sum(act.number for act in by_operation) >= len(group.operations_at)
        assert len({ascii_lower(act.operation) for act in by_operation}) == len(by_operation)
        enough = max(PAIRS_KEPT + 1 - len(by_operation), 1)
        assert all(len(act.pairs) == min(act.number, enough) for act in by_operation)
        assert [act.operation for act in by_operation[:10]] == group.operations


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
    found = group_pairs(operated, operation_keys(operated), [signed_in] * 2, ["Azure Key Vault"])
    assert [(act.number, [pair.operated for pair in act.pairs]) for act in found.by_operation] == [
        (1, [NOON])
    ]


def test_one_id_under_two_names_is_shown_under_both() -> None:
    """An event id under two operation names is kept under both."""
    (signed_in,), operated = rows(
        [sign_in()], [operation(OperationNameValue=name) for name in ("a/write", "b/delete")]
    )
    found = group_pairs(operated, operation_keys(operated), [signed_in] * 2, ["Azure Key Vault"])
    assert [(act.operation, act.number) for act in found.by_operation] == [
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
    found = group_pairs(operated, operation_keys(operated), [signed_in] * 101, ["Azure Key Vault"])
    assert Counter({act.operation: len(act.pairs) for act in found.by_operation}) == {
        "a/write": 9,
        "b/delete": 1,
    }
    assert [pair.operated for pair in found.by_operation[0].pairs] == [NOON + n for n in range(9)]
    assert operated[100][OPERATION_NAME] == found.by_operation[1].operation


def test_services_are_matched_by_whole_words() -> None:
    """Key Vault and Storage match as in clause 2; Blob counts as Storage."""
    assert target_services_of(["Azure Key Vault"]) == {"Key Vault"}
    assert target_services_of(["x_BLOB", "StorageSync"]) == {"Storage"}
    assert target_services_of(["Azure Storage", "azure key vault"]) == {"Key Vault", "Storage"}
    assert target_services_of(["AzureKeyVault"]) == frozenset()
