"""The risk score is the sum of its reasons, and it never falls as a finding grows."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.ranking.classify import ACTION, catalog, classify, classify_action
from detection.ranking.familiarity import Familiarity
from detection.ranking.score import (
    CLASS_COUNTS,
    MAX_POINTS,
    RESOURCE_GROUP_COUNTS,
    SEVERITY_BANDS,
    SUBSCRIPTION_COUNTS,
    VOLUME_COUNTS,
    Reason,
    Score,
    identity_score,
    score,
)
from detection.ranking.summary import Summary, total
from tests.support.summaries import (
    ACTIONS,
    DEPLOYMENT,
    FINDINGS,
    LOG,
    NAMES,
    REVISIONS,
    ROLE,
    SNAPSHOT,
    STORAGE,
    TAGS,
    TAGS_GONE,
    UNLISTED,
    UNLISTED_GONE,
    VAULT,
    action,
    finding,
    operations,
)

NEVER_DONE = Familiarity(14)


def test_the_most_points_of_all_signals_are_a_hundred() -> None:
    """Each signal gives at most its declared maximum, and the maxima add up to 100 at most."""
    assert sum(MAX_POINTS.values()) <= 100
    assert MAX_POINTS["gravity"] == max(classify(name).points for name in NAMES)
    assert MAX_POINTS["volume"] == VOLUME_COUNTS[0][1]
    assert MAX_POINTS["classes"] == CLASS_COUNTS[0][1]
    assert MAX_POINTS["spread"] == RESOURCE_GROUP_COUNTS[0][1] + SUBSCRIPTION_COUNTS[0][1]
    assert MAX_POINTS["actions"] == max(entry.points for entry in catalog(ACTION).entries)


def test_all_signals_at_their_maximum_reach_the_most_points() -> None:
    """A finding with every signal at its highest has the sum of all maxima, and is High."""
    worst = finding(
        *(ROLE, LOG),
        past=NEVER_DONE,
        actions=map(action, ACTIONS[:2]),
        resource_groups={"a", "b", "c"},
        subscriptions={"s", "t"},
        new_group=14,
        new_network="203.0.113.7",
        two_networks="198.51.100.1 and 203.0.113.7",
        wide_right="Owner at /subscriptions/s",
    )
    worst.add(operations({VAULT: 100}, NEVER_DONE))
    judged = identity_score(worst)
    assert (judged.points, judged.severity) == (sum(MAX_POINTS.values()), "High")
    assert len(judged.reasons) == len(MAX_POINTS)
    assert score(worst).points == judged.points - MAX_POINTS["spread"]


def test_routine_changes_score_next_to_nothing() -> None:
    """A finding of deployments and tags, with deletes, has the points of its gravest alone."""
    judged = score(finding(DEPLOYMENT, TAGS, TAGS_GONE, past=NEVER_DONE))
    assert (judged.points, judged.severity) == (2, "Informational")
    assert [reason.points for reason in judged.reasons] == [2]
    assert "routine" in judged.reasons[0].sentence


@pytest.mark.parametrize(
    ("summary", "points"),
    [
        (finding(ROLE), 42),
        (operations({UNLISTED: 90}), 8),
        (operations({UNLISTED_GONE: 2}), 20),
        (operations({UNLISTED_GONE: 3}), 20 + 4),
        (operations({UNLISTED_GONE: 10}), 20 + 8),
        (operations({UNLISTED_GONE: 25}), 20 + 11),
        (operations({UNLISTED_GONE: 200}), 20 + 14),
        (operations({SNAPSHOT: 200}), classify(SNAPSHOT).points),
        (finding(VAULT, LOG), 44 + 2),
        (finding(ROLE, UNLISTED), 42),
        (finding(ROLE, LOG, STORAGE), 42 + 5 + 4),
        (finding(UNLISTED, new_group=14), 8 + 2),
        (finding(UNLISTED, new_network="203.0.113.7"), 8 + 5),
        (finding(UNLISTED, two_networks="198.51.100.1 and 203.0.113.7"), 8 + 6),
        (finding(UNLISTED, wide_right="Owner at /subscriptions/s"), 8 + 2),
        (finding(UNLISTED, past=NEVER_DONE), 8),
        (finding(ROLE, past=NEVER_DONE), 42 + 7),
        (finding(UNLISTED, resource_groups={"a", "b", "c"}, subscriptions={"s", "t"}), 8),
        (finding(UNLISTED, actions=[action(ACTIONS[0])]), 8 + 4),
        (finding(UNLISTED, actions=map(action, ACTIONS[:2])), 8 + 10),
        (finding(UNLISTED, actions=[action(ACTIONS[2])]), 8),
        (finding(UNLISTED, later_actions=map(action, ACTIONS)), 8),
    ],
)
def test_scores_worked_out_by_hand(summary: Summary, points: int) -> None:
    """Each signal gives the documented points, from the documented threshold on."""
    assert score(summary).points == points


@pytest.mark.parametrize(
    ("groups", "subscriptions", "points"),
    [(1, 1, 0), (2, 1, 2), (3, 1, 3), (9, 1, 3), (1, 2, 2), (3, 2, 5), (0, 2, 2)],
)
def test_an_identity_is_scored_for_its_spread(groups: int, subscriptions: int, points: int) -> None:
    """The score of an identity adds points for several resource groups and subscriptions."""
    spread = finding(
        UNLISTED,
        resource_groups={f"g{at}" for at in range(groups)},
        subscriptions={f"s{at}" for at in range(subscriptions)},
    )
    assert identity_score(spread).points == score(spread).points + points


@given(FINDINGS)
def test_reasons_add_up(summary: Summary) -> None:
    """The reasons' points are the score, which lies in 0 to 100, and each reason is a sentence."""
    for judged in (score(summary), identity_score(summary)):
        assert judged.points == sum(reason.points for reason in judged.reasons)
        assert 0 <= judged.points <= 100
        assert all(reason.sentence[0].isupper() for reason in judged.reasons)
        assert all(before.points >= after.points for before, after in pairwise(judged.reasons))


@given(FINDINGS, REVISIONS)
def test_a_further_revision_never_lowers_the_score(summary: Summary, revision: Summary) -> None:
    """A finding with further operations or actions, whatever they are, scores at least as much."""
    before = score(summary).points, identity_score(summary).points
    summary.add(revision)
    assert score(summary).points >= max(before[0], score(revision).points)
    assert identity_score(summary).points >= before[1]


@given(st.lists(FINDINGS, min_size=1, max_size=4))
def test_an_identity_scores_at_least_as_much_as_each_finding(findings: list[Summary]) -> None:
    """The score of an identity is at least the highest score of its findings."""
    highest = max(score(each).points for each in findings)
    assert identity_score(total(findings)).points >= highest


def test_the_gravest_action_gives_its_points_and_is_named_first() -> None:
    """Of an action that lists keys and one that takes over subscriptions, the latter counts."""
    listed, elevated = ACTIONS[:2]
    judged = score(finding(TAGS, actions=map(action, (listed, elevated))))
    words = [one.words for one in map(classify_action, (elevated, listed)) if one]
    assert judged.reasons[0] == Reason(10, f"The identity also {words[0]}, {words[1]}")


def test_an_action_that_no_operation_followed_is_named_without_points() -> None:
    """An action that another cut of the windows might not show is a reason of no points."""
    judged = score(finding(TAGS, later_actions=[action(ACTIONS[1])]))
    assert judged.reasons[-1].points == 0
    assert judged.reasons[-1].sentence.startswith("In the same hours the identity elevated")


def test_a_reason_names_a_technique_only_where_there_is_one() -> None:
    """The gravest operation is shown with its class, and with its technique if it has one."""
    shown = {
        name: score(finding(name)).reasons[0].sentence.rpartition(" (")[2]
        for name in (ROLE, UNLISTED)
    }
    assert shown == {ROLE: "authorization, T1098.003)", UNLISTED: "other)"}


@given(FINDINGS)
def test_the_gravest_operation_gives_its_points(summary: Summary) -> None:
    """One reason names an operation and gives its points; none keeps more than that one."""
    judged = score(summary)
    (reason,) = [one for one in judged.reasons if one.sentence.startswith("The gravest operation")]
    past = [one for one in judged.reasons if one.sentence.startswith("The identity did the same")]
    kept = reason.points + sum(one.points for one in past)
    assert kept == max(each.kept_points for each in summary.operations.values())
    assert reason.points in {
        classify(each.operation).points
        for each in summary.operations.values()
        if each.operation in reason.sentence
    }


@pytest.mark.parametrize(
    ("points", "severity"),
    [
        *((0, "Informational"), (9, "Informational"), (10, "Low"), (21, "Low")),
        *((22, "Medium"), (43, "Medium"), (44, "High"), (100, "High")),
    ],
)
def test_bands(points: int, severity: str) -> None:
    """Every score lies in one band, whose ends are as documented."""
    assert Score(points, []).severity == severity
    assert [least for least, _ in SEVERITY_BANDS] == [44, 22, 10, 0]
