"""New behaviour of an identity adds points, and its routine takes a part off."""

import pytest

from detection.ranking.novelty import Novelty
from detection.ranking.reason import Reason
from detection.ranking.score import ScoreInputs, score
from detection.rule.ticks import DAY
from tests.support.group_pairs import ROLE, UNLISTED, group_pairs, pairs_of

ROLE_KEY, LOCK_KEY = ROLE.lower(), "microsoft.authorization/locks/write"


@pytest.mark.parametrize(
    ("novelty", "points"),
    [
        (Novelty(7 * DAY - 1, {}, 0), 42),
        (Novelty(7 * DAY, {}, 0), 42 + 5 + 3),
        (Novelty(14 * DAY, {ROLE_KEY: 1}, 0), 42 + 3),
        (Novelty(14 * DAY, {}, 1), 42 + 5),
        (Novelty(14 * DAY, {ROLE_KEY: 9}, 14), 42),
        (Novelty(14 * DAY, {ROLE_KEY: 10}, 0), 42 + 3 - 21),
        (Novelty(14 * DAY, {ROLE_KEY: 10}, 9), 42 - 21),
        (Novelty(14 * DAY, {ROLE_KEY: 10}, 10), 42 - 28),
        (Novelty(14 * DAY, {LOCK_KEY: 14}, 14), 42 + 5),
    ],
)
def test_novelty_worked_out_by_hand(novelty: Novelty, points: int) -> None:
    """New operations add points, ten days of the same take some off, a short history does nothing.

    A first role assignment is new, whatever locks the identity has put before.
    """
    judged = score(group_pairs(pairs_of(ROLE)), ScoreInputs(novelty=novelty))
    assert judged.points == points


def test_routine_is_of_every_operation() -> None:
    """A finding with one operation that the identity did on few days loses no points."""
    daily = Novelty(14 * DAY, {ROLE_KEY: 14, UNLISTED.lower(): 9}, 14)
    known, more = pairs_of(ROLE), pairs_of(UNLISTED)
    assert score(group_pairs(known), ScoreInputs(novelty=daily)).points == 14
    assert score(group_pairs(known, more), ScoreInputs(novelty=daily)).points == 42


@pytest.mark.parametrize("length", [13 * DAY, 13 * DAY + 1, 14 * DAY])
def test_no_reason_counts_more_days_than_the_history_has(length: int) -> None:
    """A reason names at most as many days as the history has, the current one included."""
    days = -(-length // DAY)
    novelty = Novelty(length, {ROLE_KEY: days}, days)
    reasons = score(group_pairs(pairs_of(ROLE)), ScoreInputs(novelty=novelty)).reasons
    assert reasons[-1].sentence == (
        f"The identity did the same on {days} of the last {days} days, in this resource group too"
    )


def test_a_short_history_gives_a_reason_without_points() -> None:
    """Less than seven days of history gives a reason of no points that says so."""
    context = ScoreInputs(novelty=Novelty(3 * DAY, {}, 0))
    reasons = score(group_pairs(pairs_of(ROLE)), context).reasons
    assert Reason(0, "Novelty is unknown: the history has 3 of 7 days") in reasons


def test_known_behaviour_never_lowers_a_score_below_a_third() -> None:
    """A finding of 8 points that happens here every day keeps 3, and its reasons add up to 3."""
    daily = {UNLISTED.lower(): 14}
    judged = score(
        group_pairs(pairs_of(UNLISTED)), ScoreInputs(novelty=Novelty(14 * DAY, daily, 14))
    )
    assert sorted(reason.points for reason in judged.reasons) == [-5, 8]
    assert judged.points == 3
