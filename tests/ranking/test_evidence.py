"""A finding's evidence holds its strongest pairs, and its entities are those of Sentinel."""

from hypothesis import given

from detection.ranking.classify import classify, is_delete
from detection.ranking.evidence import (
    corroboration_items,
    evidence_items,
    sentinel_entities,
    strongest_pairs,
)
from detection.rule.correlate import detect
from detection.rule.filters import RuleSettings
from detection.rule.pairs import PAIRS_KEPT, GroupPairs, OperationPairs, Pair
from detection.rule.ticks import HOUR, MINUTE, parse_time
from tests.support.group_pairs import ACTIONS, GROUP_PAIRS, ROLE, TAGS, VAULT, pairs_of
from tests.support.strategies import START, Scenario, as_logs, operation, scenarios, written


@given(GROUP_PAIRS)
def test_evidence_is_the_ten_strongest_pairs(group: GroupPairs) -> None:
    """Evidence is up to ten pairs, the gravest first, and every name before any repeated name."""
    pairs = strongest_pairs(group.by_operation)
    available = [pair for act in group.by_operation for pair in act.pairs]
    assert len(pairs) == min(PAIRS_KEPT, len(available))
    assert len(set(pairs)) == len(pairs)
    assert set(pairs) <= set(available)
    assert pairs == sorted(pairs, key=_naive_rank)
    shown = {pair.operation for pair in pairs}
    assert len(shown) == min(PAIRS_KEPT, len(group.by_operation))
    for act in group.by_operation:
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
    pairs = strongest_pairs([pairs_of(VAULT, 100), pairs_of(ROLE), pairs_of(TAGS)])
    assert [pair.operation for pair in pairs] == [VAULT] * 8 + [ROLE, TAGS]


def test_a_pair_names_times_resources_and_addresses() -> None:
    """A pair has both times, the minutes between, the resources, the operation and the address."""
    noon = parse_time("2026-03-14T12:00:00Z")
    pair = Pair(noon, "Azure Storage", noon + 90 * MINUTE // 60, ROLE, "/r/9", "::1", "c-1")
    assert evidence_items([OperationPairs(ROLE, 1, [pair])], []) == [
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
    actions = as_logs(
        [],
        [
            operation(
                OperationNameValue=ACTIONS[0],
                TimeGenerated=written(START + HOUR - minute * MINUTE),
                EventDataId=str(minute),
            )
            for minute in range(7)
        ],
    ).operations
    items = evidence_items([pairs_of(ROLE)], corroboration_items(actions))
    assert [item["Kind"] for item in items] == ["Pair"] + ["Corroboration"] * 5
    assert items[0].keys() == items[1].keys()
    assert items[1]["OperationTime"] < items[2]["OperationTime"]
    assert items[1]["SignInTime"] is None
    assert items[1]["OperationClass"] == "credential access"


def test_the_gravest_actions_reach_the_evidence_first() -> None:
    """Six listings of keys leave room for a later takeover of subscriptions, which comes first."""
    listed, elevated = ACTIONS[:2]
    names = [listed] * 6 + [elevated, elevated]
    actions = as_logs(
        [],
        [
            operation(
                OperationNameValue=name,
                TimeGenerated=written(START + minute * MINUTE),
                EventDataId=str(minute),
            )
            for minute, name in enumerate(names)
        ],
    ).operations
    items = corroboration_items(actions)
    assert [item["Operation"] for item in items] == [elevated, elevated, listed, listed, listed]
    times = [item["OperationTime"] for item in items]
    assert times == sorted(times[:2]) + sorted(times[2:])


def test_entities_are_as_sentinel_maps_them() -> None:
    """Entities have the fields that Sentinel maps; a blank value makes no entity."""
    assert sentinel_entities("id-1", ["/r/1", "", "/r/2"], ["203.0.113.7", " "]) == [
        {"$id": "1", "Type": "account", "AadUserId": "id-1"},
        {"$id": "2", "Type": "azure-resource", "ResourceId": "/r/1"},
        {"$id": "3", "Type": "azure-resource", "ResourceId": "/r/2"},
        {"$id": "4", "Type": "ip", "Address": "203.0.113.7"},
    ]


@given(scenarios())
def test_kept_pairs_are_enough_for_evidence(scenario: Scenario) -> None:
    """The evidence equals the evidence chosen among all pairs of the group."""
    settings = RuleSettings(scenario.span, scenario.statuses)
    for group in detect(scenario.logs(), *scenario.window, settings).groups:
        shown = strongest_pairs(group.read_pairs().by_operation)
        assert len(shown) == min(
            PAIRS_KEPT, sum(act.number for act in group.read_pairs().by_operation)
        )
