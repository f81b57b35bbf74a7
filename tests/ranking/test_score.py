"""The risk score is the sum of its reasons, and it never falls as a finding grows."""

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from detection.ranking.classify import ACTION, catalog, classify, classify_action, is_delete
from detection.ranking.novelty import FIRST_GROUP, FIRST_OPERATION, Novelty
from detection.ranking.reason import Reason
from detection.ranking.score import (
    BOTH_SERVICES,
    CLASS_COUNTS,
    DELETE_COUNTS,
    HASTE_DELAYS,
    MAX_POINTS,
    OWN_ADDRESS,
    RESOURCE_GROUP_COUNTS,
    SEVERITY_BANDS,
    SUBSCRIPTION_COUNTS,
    Score,
    ScoreInputs,
    is_public,
    score,
)
from detection.rule.pairs import GroupPairs
from detection.rule.ticks import DAY, MINUTE, SECOND
from tests.support.group_pairs import (
    ACTIONS,
    CONTEXTS,
    DEPLOYMENT,
    GROUP_PAIRS,
    LOG,
    NAMES,
    ROLE,
    SNAPSHOT,
    STORAGE,
    TAGS,
    TAGS_GONE,
    UNLISTED,
    UNLISTED_GONE,
    VAULT,
    group_pairs,
    pairs_of,
)

QUIET = ScoreInputs()


def test_the_most_points_of_all_signals_make_a_hundred() -> None:
    """Each signal gives at most its declared maximum, and the maxima add up to exactly 100."""
    assert sum(MAX_POINTS.values()) == 100
    assert {
        "class": 44,
        "deletes": DELETE_COUNTS[0][1],
        "classes": CLASS_COUNTS[0][1],
        "spread": RESOURCE_GROUP_COUNTS[0][1] + SUBSCRIPTION_COUNTS[0][1],
        "haste": HASTE_DELAYS[0][1],
        "both": BOTH_SERVICES,
        "address": OWN_ADDRESS,
        "actions": max(entry.points for entry in catalog(ACTION).entries),
        "novelty": FIRST_OPERATION + FIRST_GROUP,
    } == MAX_POINTS
    assert max(classify(name).points for name in NAMES) == MAX_POINTS["class"]


def test_all_signals_at_their_maximum_score_a_hundred() -> None:
    """A finding with every signal at its highest scores 100, Critical."""
    worst = group_pairs(
        *(pairs_of(VAULT, 3), pairs_of(ROLE), pairs_of(LOG)),
        soonest=SECOND,
        services=("Key Vault", "Storage"),
    )
    context = ScoreInputs(3, 2, ("203.0.113.7",), ACTIONS[:2], Novelty(14 * DAY, {}, 0))
    judged = score(worst, context)
    assert (judged.points, judged.severity) == (100, "Critical")
    assert len(judged.reasons) == len(MAX_POINTS) + 1  # novelty gives two reasons


def test_routine_changes_score_next_to_nothing() -> None:
    """A finding of deployments and tags, with deletes, has the points of its gravest alone."""
    routine = group_pairs(*map(pairs_of, (DEPLOYMENT, TAGS, TAGS_GONE)))
    judged = score(routine, QUIET)
    assert (judged.points, judged.severity) == (2, "Low")
    assert [reason.points for reason in judged.reasons] == [2]
    assert "routine" in judged.reasons[0].sentence


@pytest.mark.parametrize(
    ("pairs", "context", "points"),
    [
        (group_pairs(pairs_of(ROLE)), QUIET, 42),
        (group_pairs(pairs_of(UNLISTED, 90)), QUIET, 8),
        (group_pairs(pairs_of(UNLISTED_GONE)), QUIET, 20 + 4),
        (group_pairs(pairs_of(UNLISTED_GONE, 2)), QUIET, 20 + 7),
        (group_pairs(pairs_of(UNLISTED_GONE, 3)), QUIET, 20 + 10),
        (group_pairs(pairs_of(VAULT), pairs_of(LOG)), QUIET, 44 + 7 + 8),
        (group_pairs(pairs_of(ROLE), pairs_of(UNLISTED)), QUIET, 42),
        (
            group_pairs(*map(pairs_of, (ROLE, STORAGE, SNAPSHOT))),
            QUIET,
            42 + 14,
        ),
        (group_pairs(pairs_of(UNLISTED), soonest=5 * MINUTE), QUIET, 8 + 4),
        (group_pairs(pairs_of(UNLISTED), soonest=5 * MINUTE + 1), QUIET, 8 + 2),
        (group_pairs(pairs_of(UNLISTED), soonest=15 * MINUTE), QUIET, 8 + 2),
        (group_pairs(pairs_of(UNLISTED), soonest=15 * MINUTE + 1), QUIET, 8),
        (group_pairs(pairs_of(UNLISTED), services=("Key Vault", "Storage")), QUIET, 8 + 4),
        (group_pairs(pairs_of(UNLISTED), services=("Storage",)), QUIET, 8),
        (group_pairs(pairs_of(UNLISTED)), ScoreInputs(resource_groups=2), 8 + 2),
        (group_pairs(pairs_of(UNLISTED)), ScoreInputs(resource_groups=3), 8 + 3),
        (group_pairs(pairs_of(UNLISTED)), ScoreInputs(subscriptions=2), 8 + 3),
        (group_pairs(pairs_of(UNLISTED)), ScoreInputs(addresses=("203.0.113.7",)), 8 + 4),
        (group_pairs(pairs_of(UNLISTED)), ScoreInputs(actions=ACTIONS[:1]), 8 + 5),
        (group_pairs(pairs_of(UNLISTED)), ScoreInputs(actions=ACTIONS[:2]), 8 + 6),
        (group_pairs(pairs_of(UNLISTED)), ScoreInputs(actions=ACTIONS[2:]), 8),
    ],
)
def test_scores_worked_out_by_hand(pairs: GroupPairs, context: ScoreInputs, points: int) -> None:
    """Each signal gives the documented points, from the documented threshold on."""
    assert score(pairs, context).points == points


@given(GROUP_PAIRS, CONTEXTS)
def test_reasons_add_up(pairs: GroupPairs, context: ScoreInputs) -> None:
    """The reasons' points are the score, which lies in 0 to 100, and each reason is a sentence."""
    judged = score(pairs, context)
    assert judged.points == sum(reason.points for reason in judged.reasons)
    assert 0 <= judged.points <= 100
    assert all(
        reason.sentence[0].isupper() or reason.sentence[0].isdigit() for reason in judged.reasons
    )
    assert all(before.points >= after.points for before, after in pairwise(judged.reasons))


@given(GROUP_PAIRS, CONTEXTS, st.sampled_from(NAMES), st.integers(1, 12))
def test_a_further_operation_never_lowers_the_score(
    pairs: GroupPairs, context: ScoreInputs, name: str, count: int
) -> None:
    """A finding with further operations, of any class, scores at least as much."""
    known = {act.operation: act.number for act in pairs.by_operation}
    more = known | {name: known.get(name, 0) + count}
    grown = group_pairs(
        *(pairs_of(operation, number) for operation, number in more.items()),
        soonest=pairs.soonest,
        services=tuple(pairs.services),
    )
    assert score(grown, context).points >= score(pairs, context).points


@given(
    GROUP_PAIRS,
    CONTEXTS,
    st.sampled_from([entry.pattern.replace("*", "x") for entry in catalog(ACTION).entries]),
)
def test_a_further_action_never_lowers_the_score(
    pairs: GroupPairs, context: ScoreInputs, name: str
) -> None:
    """A finding with a further corroborating action, of any class, scores at least as much."""
    more = context._replace(actions=(*context.actions, name))
    assert score(pairs, more).points >= score(pairs, context).points


def test_the_gravest_action_gives_its_points_and_is_named_first() -> None:
    """Of an action that lists keys and one that takes over subscriptions, the latter counts."""
    listed, elevated = ACTIONS[:2]
    judged = score(group_pairs(pairs_of(TAGS)), ScoreInputs(actions=(listed, elevated)))
    words = [one.words for one in map(classify_action, (elevated, listed)) if one]
    assert judged.reasons[0] == Reason(6, f"The identity also {words[0]}, {words[1]}")


def test_a_reason_names_a_technique_only_where_there_is_one() -> None:
    """The gravest operation is shown with its class, and with its technique if it has one."""
    shown = {
        name: score(group_pairs(pairs_of(name)), QUIET).reasons[0].sentence.rpartition(" (")[2]
        for name in (ROLE, UNLISTED)
    }
    assert shown == {ROLE: "authorization, T1098.003)", UNLISTED: "other)"}


@given(GROUP_PAIRS, CONTEXTS)
def test_the_gravest_operation_gives_its_points(pairs: GroupPairs, context: ScoreInputs) -> None:
    """One reason names the gravest operation and gives the points of its class.

    Other reasons may give more points: of two everyday operations of 8 points each, the third
    delete gives more than a write.
    """
    judged = score(pairs, context)
    (reason,) = [one for one in judged.reasons if one.sentence.startswith("The gravest operation")]
    gravest = max(pairs.by_operation, key=lambda one: classify(one.operation).points)
    assert reason.points == classify(gravest.operation).points
    assert reason.points in {
        classify(one.operation).points
        for one in pairs.by_operation
        if one.operation in reason.sentence
    }


@given(
    st.sampled_from(NAMES),
    st.sampled_from(NAMES),
    st.integers(1, 12),
    CONTEXTS.map(lambda context: context._replace(novelty=None)),
)
def test_a_graver_operation_never_lowers_the_score(
    one: str, other: str, count: int, context: ScoreInputs
) -> None:
    """Of two findings of one operation name, the graver scores more by its class's surplus."""
    assume(is_delete(one) == is_delete(other))
    slight, grave = sorted((one, other), key=lambda name: classify(name).points)
    added = classify(grave).points - classify(slight).points
    scores = [score(group_pairs(pairs_of(name, count)), context).points for name in (slight, grave)]
    assert scores[1] - scores[0] >= added


@pytest.mark.parametrize(
    ("points", "severity"),
    [
        *((0, "Low"), (21, "Low"), (22, "Medium"), (47, "Medium")),
        *((48, "High"), (73, "High"), (74, "Critical"), (100, "Critical")),
    ],
)
def test_bands(points: int, severity: str) -> None:
    """Every score lies in one band, whose ends are as documented."""
    assert Score(points, []).severity == severity
    assert [least for least, _ in SEVERITY_BANDS] == [74, 48, 22, 0]


@pytest.mark.parametrize(
    ("address", "public"),
    [
        *(("203.0.113.7", True), ("8.8.8.8", True), ("2001:db8::5", True), ("172.32.0.1", True)),
        *(("10.1.2.3", False), ("172.31.255.255", False), ("192.168.1.1", False)),
        *(("100.64.0.1", False), ("169.254.169.254", False), ("127.0.0.1", False)),
        *(("::1", False), ("fd00::1", False), ("fe80::1", False), ("::ffff:8.8.8.8", False)),
        *(("", False), (" ", False), ("somewhere", False), ("168.63.129.16", False)),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    """An address counts as public only if it can be read and is in no internal network."""
    assert is_public(address) is public
