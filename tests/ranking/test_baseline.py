"""What identities did before, counted in days."""

from hypothesis import given
from hypothesis import strategies as st

from detection.ranking.baseline import REFRESH_AFTER, Baseline, PastChange
from detection.ranking.classify import classify
from detection.ranking.score import Novelty
from detection.rule.kql_text import ascii_lower
from detection.rule.ticks import DAY, HOUR, parse_time
from tests.support import findings as made

END = parse_time("2026-03-14T08:00:00Z")

DEEDS = st.lists(
    st.tuples(
        st.integers(END - 14 * DAY, END),
        st.sampled_from(("id-1", "ID-1", "id-2", "")),
        st.sampled_from(made.NAMES),
        st.sampled_from(("rg", "RG", "other", "")),
    )
)


@given(DEEDS, st.sampled_from(("id-1", "id-2")), st.sampled_from(("rg", "other", "none")))
def test_days_are_counted(deeds: list[PastChange], identity: str, resource_group: str) -> None:
    """Each day counts once for a class and once for a resource group, whatever the spelling."""
    known = Baseline.of(deeds, END, END).about(identity, resource_group)
    mine = [deed for deed in deeds if ascii_lower(deed[1]) == identity]
    for name in {classify(operation).name for operation in made.NAMES}:
        days = {time // DAY for time, _, operation, _ in mine if classify(operation).name == name}
        assert known.class_days.get(name, 0) == len(days)
    there = {time // DAY for time, _, _, group in mine if ascii_lower(group) == resource_group}
    assert known.group_days == len(there)
    assert 0 <= known.length <= 14 * DAY


def test_the_first_day_is_no_length() -> None:
    """A log that begins at noon eight days ago has seven whole days and today's hours."""
    began = END - 8 * DAY + 4 * HOUR
    known = Baseline.of([(began, "id-1", made.ROLE, "rg")], END, END)
    assert known.length == 7 * DAY + 8 * HOUR
    assert Baseline.of([], END, END).about("id-1", "rg") == Novelty(0, {}, 0)


def test_it_is_read_once_a_day() -> None:
    """It is fresh for a day, and not at a moment before it was read."""
    known = Baseline.of([], END, END)
    assert known.is_fresh(END)
    assert known.is_fresh(END + REFRESH_AFTER - 1)
    assert not known.is_fresh(END + REFRESH_AFTER)
    assert not known.is_fresh(END - 1)
