"""The baseline counts the days on which an identity did each operation."""

from hypothesis import given
from hypothesis import strategies as st

from detection.ranking.baseline import REFRESH_AFTER, Baseline, PastChange
from detection.ranking.novelty import Novelty
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
    """Each whole day counts once for an operation and for a resource group, however spelt."""
    known = Baseline.of(changes, END, END).about(identity, resource_group)
    first = min((time // DAY for time, *_ in changes), default=0)
    mine = [one for one in changes if ascii_lower(one[1]) == identity and one[0] // DAY > first]
    for name in map(ascii_lower, NAMES):
        days = {time // DAY for time, _, operation, _ in mine if ascii_lower(operation) == name}
        assert known.operation_days.get(name, 0) == len(days)
    there = {time // DAY for time, _, _, group in mine if ascii_lower(group) == resource_group}
    assert known.group_days == len(there)
    assert 0 <= known.length <= 14 * DAY
    assert all(days * DAY <= known.length + DAY for days in known.operation_days.values())


def test_the_first_day_does_not_count() -> None:
    """A log that begins at noon eight days ago has seven whole days and today's hours."""
    began = END - 8 * DAY + 4 * HOUR
    known = Baseline.of([(began, "id-1", ROLE, "rg")], END, END)
    assert known.length == 7 * DAY + 8 * HOUR
    assert known.about("id-1", "rg") == Novelty(known.length, {}, 0)
    assert Baseline.of([], END, END).about("id-1", "rg") == Novelty(0, {}, 0)


def test_a_baseline_is_fresh_for_a_day() -> None:
    """A baseline is fresh for a day after it was read, and never before."""
    known = Baseline.of([], END, END)
    assert known.is_fresh(END)
    assert known.is_fresh(END + REFRESH_AFTER - 1)
    assert not known.is_fresh(END + REFRESH_AFTER)
    assert not known.is_fresh(END - 1)
