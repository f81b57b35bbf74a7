"""The baseline counts the days on which an identity did each operation."""

from hypothesis import given
from hypothesis import strategies as st

from detection.ranking.baseline import DAYS_READ, Baseline, PastChange
from detection.ranking.familiarity import BASELINE_DAYS, Familiarity
from detection.ranking.networks import public_network
from detection.rule.kql_text import ascii_lower
from detection.rule.ticks import DAY, HOUR
from tests.support.summaries import NAMES, ROLE

TODAY = 20_000  # days since 1970
ADDRESSES = ("203.0.113.7", "203.0.1.1", "198.51.100.1", "10.0.0.1", "")

CHANGES = st.lists(
    st.builds(
        PastChange,
        st.integers((TODAY - DAYS_READ) * DAY, TODAY * DAY + HOUR),
        st.sampled_from(("id-1", "ID-1", "id-2")),
        st.sampled_from((*NAMES, "")),
        st.sampled_from(("rg", "RG", "other", "")),
        st.sampled_from(ADDRESSES),
    )
)


@given(
    CHANGES,
    st.sampled_from(("id-1", "id-2")),
    st.sampled_from(("rg", "other", "none")),
    st.integers(TODAY - 2, TODAY + 1),
)
def test_days_are_counted(
    changes: list[PastChange], identity: str, resource_group: str, day: int
) -> None:
    """Each whole day of the two weeks before counts once, however names are spelt."""
    baseline = Baseline.of(changes, TODAY)
    past = [
        change
        for change in changes
        if max(day - BASELINE_DAYS - 1, TODAY - DAYS_READ) <= change.time // DAY < min(day, TODAY)
    ]
    end = min(day, TODAY)
    begin = min((change.time // DAY + 1 for change in past), default=end)
    mine = [
        change
        for change in past
        if ascii_lower(change.identity) == identity and begin <= change.time // DAY < end
    ]

    def days(**wanted: str) -> int:
        return len(
            {
                change.time // DAY
                for change in mine
                if change.operation
                and all(ascii_lower(getattr(change, name)) == text for name, text in wanted.items())
            }
        )

    for name in map(ascii_lower, NAMES):
        found = baseline.familiarity(identity, name, resource_group, day)
        assert found == Familiarity(
            max(end - begin, 0), days(operation=name), days(resource_group=resource_group)
        )
        assert max(found.days, found.group_days) <= found.length <= BASELINE_DAYS
    known = set(filter(None, (public_network(change.address) for change in mine)))
    for address in ADDRESSES:
        network = public_network(address)
        assert baseline.has_new_network(identity, address, day) is (
            end - begin >= 7 and bool(known) and bool(network) and network not in known
        )


def test_the_first_day_does_not_count() -> None:
    """A log that begins at noon eight days ago has seven whole days."""
    began = (TODAY - 8) * DAY + 12 * HOUR
    known = Baseline.of([PastChange(began, "id-1", ROLE, "rg", "")], TODAY)
    assert known.familiarity("id-1", ROLE.lower(), "rg", TODAY) == Familiarity(7)
    assert known.length == 7
    assert Baseline.of([], TODAY).familiarity("id-1", "", "rg", TODAY) == Familiarity(0)


@given(CHANGES, st.sampled_from(("id-1", "id-2")), st.sampled_from(("rg", "other")))
def test_a_day_has_one_past(changes: list[PastChange], identity: str, resource_group: str) -> None:
    """Yesterday's operations have the same past if the log was read yesterday or today."""
    yesterday, today = (Baseline.of(changes, end_day) for end_day in (TODAY - 1, TODAY))
    for name in map(ascii_lower, NAMES):
        where = (identity, name, resource_group, TODAY - 1)
        assert yesterday.familiarity(*where) == today.familiarity(*where)
    for address in ADDRESSES:
        seen = (identity, address, TODAY - 1)
        assert yesterday.has_new_network(*seen) == today.has_new_network(*seen)
