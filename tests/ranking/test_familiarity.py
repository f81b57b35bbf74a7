"""What an identity does on most days counts less, and what it never did is new."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.ranking.familiarity import Familiarity, least_familiar
from detection.ranking.score import score
from detection.ranking.summary import total
from tests.support.summaries import FAMILIARITIES, ROLE, UNLISTED, finding


@pytest.mark.parametrize(
    ("past", "points"),
    [
        (Familiarity(6), 42),
        (Familiarity(7), 42 + 7),
        (Familiarity(14, days=1), 42),
        (Familiarity(14, days=9, group_days=14), 42),
        (Familiarity(14, days=10), 21),
        (Familiarity(14, days=10, group_days=9), 21),
        (Familiarity(14, days=10, group_days=10), 14),
        (Familiarity(6, days=6, group_days=6), 42),
    ],
)
def test_familiarity_worked_out_by_hand(past: Familiarity, points: int) -> None:
    """New operations add points, ten days of the same take some off, a short past does nothing."""
    assert score(finding(ROLE, past=past)).points == points


def test_routine_is_of_every_operation() -> None:
    """A finding keeps all points of an operation that the identity did on few days."""
    daily = finding(ROLE, past=Familiarity(14, 14, 14))
    assert score(daily).points == 14
    rare = finding(UNLISTED, past=Familiarity(14, 9, 14))
    assert score(total([daily, rare])).points == 14
    assert score(total([daily, finding(ROLE, past=Familiarity(14, 9, 14))])).points == 42


def test_known_behaviour_keeps_a_third() -> None:
    """A finding of 8 points that happens here every day keeps 3, and its reasons add up to 3."""
    judged = score(finding(UNLISTED, past=Familiarity(14, 13, 14)))
    assert [reason.points for reason in judged.reasons] == [8, -5]
    assert judged.reasons[-1].sentence == (
        "The identity did the same on 13 of 14 days before, in this resource group too"
    )


@given(st.lists(FAMILIARITIES, min_size=1), st.integers(0, 44))
def test_the_least_familiar_keeps_the_most(pasts: list[Familiarity], points: int) -> None:
    """Of several pasts, in any order, the one is chosen that keeps most points, or is new."""
    chosen = pasts[0]
    for past in pasts:
        chosen = least_familiar(chosen, past)
    assert chosen.kept(points) == max(past.kept(points) for past in pasts)
    assert chosen.is_new == any(past.is_new for past in pasts)
