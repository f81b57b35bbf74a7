"""The baseline counts the days on which an identity made changes."""

from hypothesis import given
from hypothesis import strategies as st

from detection.ranking.baseline import REFRESH_AFTER, Baseline, PastChange
from detection.ranking.classify import classify
from detection.ranking.score import Novelty
from detection.rule.kql_text import ascii_lower
from detection.rule.ticks import DAY, HOUR, parse_time
from tests.support.group_pairs import NAMES, ROLE

END = parse_time("2026-03-14T08:00:00Z")

CHANGES = st.lists(
    st.tuples(
        st.integers(END - 14 * DAY, END),
        st.sampled_from(("id-1", "ID-1", "id-2", "")),
        st.sampled_from(NAMES),
        st.sampled_from(("rg", "RG", "other", "")),
    )
)


@given(CHANGES, st.sampled_from(("id-1", "id-2")), st.sampled_from(("rg", "other", "none")))
def test_days_are_counted(changes: list[PastChange], identity: str, resource_group: str) -> None:
    """Each day counts once for a class and once for a resource group, whatever the spelling."""
    known = Baseline.of(changes, END, END).about(identity, resource_group)
    mine = [change for change in changes if ascii_lower(change[1]) == identity]
    for name in {classify(operation).name for operation in NAMES}:
        days = {time // DAY for time, _, operation, _ in mine if classify(operation).name == name}
        assert known.class_days.get(name, 0) == len(days)
    there = {time // DAY for time, _, _, group in mine if ascii_lower(group) == resource_group}
    assert known.group_days == len(there)
    assert 0 <= known.length <= 14 * DAY


def test_the_first_day_counts_from_its_first_change() -> None:
    """A log that begins at noon eight days ago has seven whole days and today's hours."""
    began = END - 8 * DAY + 4 * HOUR
    known = Baseline.of([(began, "id-1", ROLE, "rg")], END, END)
    assert known.length == 7 * DAY + 8 * HOUR
    assert Baseline.of([], END, END).about("id-1", "rg") == Novelty(0, {}, 0)


def test_a_baseline_is_fresh_for_a_day() -> None:
    """A baseline is fresh for a day after it was read, and never before."""
    known = Baseline.of([], END, END)
    assert known.is_fresh(END)
    assert known.is_fresh(END + REFRESH_AFTER - 1)
    assert not known.is_fresh(END + REFRESH_AFTER)
    assert not known.is_fresh(END - 1)
