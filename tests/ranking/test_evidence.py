"""A finding's evidence holds its strongest pairs and its gravest actions."""

from hypothesis import given

from detection.ranking.classify import classify, is_delete
from detection.ranking.evidence import evidence_items, strongest_pairs
from detection.ranking.familiarity import UNKNOWN
from detection.ranking.summary import OperationSum, Summary
from detection.rule.pairs import PAIRS_KEPT, Pair
from detection.rule.ticks import MINUTE, parse_time
from tests.support.summaries import (
    ACTIONS,
    FINDINGS,
    ROLE,
    TAGS,
    VAULT,
    action,
    finding,
    operations,
)


@given(FINDINGS)
def test_evidence_is_the_ten_strongest_pairs(summary: Summary) -> None:
    """Evidence is up to ten pairs, the gravest first, and every name before any repeated name."""
    by_operation = list(summary.operations.values())
    pairs = strongest_pairs(by_operation)
    available = [pair for act in by_operation for pair in act.pairs]
    assert len(pairs) == min(PAIRS_KEPT, len(available))
    assert set(pairs) <= set(available)
    assert pairs == sorted(pairs, key=_naive_rank)
    shown = {pair.operation for pair in pairs}
    assert len(shown) == min(PAIRS_KEPT, len(by_operation))
    for act in by_operation:
        if act.operation not in shown:
            assert all(_naive_rank(act.pairs[0]) > _naive_rank(pair) for pair in pairs)


def _naive_rank(pair: Pair) -> tuple[int, int, int, str]:
    operation = pair.operation
    return (
        -classify(operation).points,
        0 if is_delete(operation) else 1,
        pair.operated,
        operation.lower(),
    )


def test_names_come_before_numbers() -> None:
    """A single role assignment is shown beside a hundred graver deletes."""
    pairs = strongest_pairs(list(operations({VAULT: 100, ROLE: 1, TAGS: 1}).operations.values()))
    assert [pair.operation for pair in pairs] == [VAULT] * 8 + [ROLE, TAGS]


def test_a_pair_names_times_resources_and_addresses() -> None:
    """A pair has both times, the minutes between, the resources, the operation and the address."""
    noon = parse_time("2026-03-14T12:00:00Z")
    pair = Pair(noon, "Azure Storage", noon + 90 * MINUTE // 60, ROLE, "/r/9", "::1", "c-1")
    seen = Summary({ROLE.lower(): OperationSum(ROLE, 1, 42, UNKNOWN, [pair])})
    assert evidence_items(seen) == [
        {
            "Kind": "Pair",
            "SignInTime": "2026-03-14T12:00:00.0000000Z",
            "Resource": "Azure Storage",
            "OperationTime": "2026-03-14T12:01:30.0000000Z",
            "MinutesBetween": 1.5,
            "Operation": ROLE,
            "OperationClass": "authorization",
            "Technique": "T1098.003",
            "ResourceId": "/r/9",
            "CallerIpAddress": "::1",
            "CorrelationId": "c-1",
        }
    ]


def test_corroboration_follows_the_pairs() -> None:
    """At most five actions follow the pairs, with the same fields and no sign-in."""
    listed = [action(ACTIONS[0], minute * MINUTE) for minute in range(7)]
    items = evidence_items(finding(ROLE, actions=listed[3:], later_actions=listed[:4]))
    assert [item["Kind"] for item in items] == ["Pair"] + ["Corroboration"] * 5
    assert items[0].keys() == items[1].keys()
    assert items[1]["OperationTime"] == "1970-01-01T00:00:00.0000000Z"
    assert items[1]["OperationTime"] < items[2]["OperationTime"]
    assert items[1]["SignInTime"] is None
    assert items[1]["OperationClass"] == "credential access"


def test_the_gravest_actions_reach_the_evidence_first() -> None:
    """Six listings of keys leave room for a later takeover of subscriptions, which comes first."""
    listed, elevated = ACTIONS[:2]
    names = [listed] * 6 + [elevated, elevated]
    actions = [action(name, minute * MINUTE) for minute, name in enumerate(names)]
    _, *items = evidence_items(finding(ROLE, actions=actions))
    assert [item["Operation"] for item in items] == [elevated, elevated, listed, listed, listed]
    times = [item["OperationTime"] for item in items]
    assert times == sorted(times[:2]) + sorted(times[2:])
