"""Which pairs a finding points at, and the entities it names."""

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
from tests.support import findings as made
from tests.support.strategies import START, Scenario, as_logs, operation, scenarios, written


@given(made.TRACES)
def test_the_ten_most_telling(group: GroupPairs) -> None:
    """Ten pairs or all there are, graver ones first, and every name before any second of a name."""
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
    pairs = strongest_pairs([made.act(made.VAULT, 100), made.act(made.ROLE), made.act(made.TAGS)])
    assert [pair.operation for pair in pairs] == [made.VAULT] * 8 + [made.ROLE, made.TAGS]


def test_a_pair_says_all_that_an_analyst_needs() -> None:
    """Times, minutes between, what was signed into, what was done to what, from where."""
    noon = parse_time("2026-03-14T12:00:00Z")
    pair = Pair(noon, "Azure Storage", noon + 90 * MINUTE // 60, made.ROLE, "/r/9", "::1", "c-1")
    assert evidence_items([OperationPairs(made.ROLE, 1, [pair])], []) == [
        {
            "Kind": "Pair",
            "SignInTime": "2026-03-14T12:00:00.0000000Z",
            "Resource": "Azure Storage",
            "OperationTime": "2026-03-14T12:01:30.0000000Z",
            "MinutesBetween": 1.5,
            "Operation": made.ROLE,
            "OperationClass": "authorization",
            "Technique": "T1098.003",
            "ResourceId": "/r/9",
            "CallerIpAddress": "::1",
            "CorrelationId": "c-1",
        }
    ]


def test_corroboration_follows_the_pairs() -> None:
    """The earliest five actions come after the pairs, with no sign-in and the same fields."""
    actions = as_logs(
        [],
        [
            operation(
                OperationNameValue=made.ACTIONS[0],
                TimeGenerated=written(START + HOUR - minute * MINUTE),
                EventDataId=str(minute),
            )
            for minute in range(7)
        ],
    ).operations
    items = evidence_items([made.act(made.ROLE)], corroboration_items(actions))
    assert [item["Kind"] for item in items] == ["Pair"] + ["Corroboration"] * 5
    assert items[0].keys() == items[1].keys()
    assert items[1]["OperationTime"] < items[2]["OperationTime"]
    assert items[1]["SignInTime"] is None
    assert items[1]["OperationClass"] == "credential access"


def test_entities_are_as_sentinel_maps_them() -> None:
    """The account by AadUserId, resources by ResourceId, addresses by Address; blanks are none."""
    assert sentinel_entities("id-1", ["/r/1", "", "/r/2"], ["203.0.113.7", " "]) == [
        {"$id": "1", "Type": "account", "AadUserId": "id-1"},
        {"$id": "2", "Type": "azure-resource", "ResourceId": "/r/1"},
        {"$id": "3", "Type": "azure-resource", "ResourceId": "/r/2"},
        {"$id": "4", "Type": "ip", "Address": "203.0.113.7"},
    ]


@given(scenarios())
def test_what_is_kept_of_a_group_is_enough(scenario: Scenario) -> None:
    """The pairs shown are those that would be chosen among all pairs of the group."""
    settings = RuleSettings(scenario.span, scenario.statuses)
    for group in detect(scenario.logs(), *scenario.window, settings).groups:
        shown = strongest_pairs(group.read_pairs().by_operation)
        assert len(shown) == min(
            PAIRS_KEPT, sum(act.number for act in group.read_pairs().by_operation)
        )
