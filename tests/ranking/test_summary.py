"""The sum of a finding is the same however its operations are divided into revisions."""

import zlib
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.ranking.evidence import evidence_items
from detection.ranking.familiarity import UNKNOWN
from detection.ranking.score import score
from detection.ranking.summary import OperationSum, Summary, total
from detection.rule.pairs import PAIRS_KEPT, earliest, pairs_kept
from tests.support.summaries import FAMILIARITIES, FINDINGS, NAMES, REVISIONS, pair

# Each operation once: its name, its time and its familiarity.
SINGLE = st.lists(
    st.tuples(st.sampled_from(NAMES), st.integers(1, 200), FAMILIARITIES), min_size=1, max_size=40
)


def revision(events: list[tuple[str, int, object]]) -> Summary:
    """Return the sum of some operations, each added alone."""
    found = Summary()
    for name, minute, past in events:
        single = OperationSum(name, 1, 8, past, [pair(name, minute)])  # type: ignore[arg-type]
        found.add(Summary({name.lower(): single}))
    return found


@given(SINGLE, st.data())
def test_any_division_gives_the_same_sum(
    events: list[tuple[str, int, object]], data: st.DataObject
) -> None:
    """Operations in any order, divided into any revisions, give one sum, score and evidence."""
    shuffled = data.draw(st.permutations(events))
    cut = data.draw(st.integers(0, len(events)))
    whole = revision(events)
    parts = total([revision(shuffled[:cut]), revision(shuffled[cut:])])
    assert parts.operations == whole.operations
    assert score(parts) == score(whole)
    assert evidence_items(parts) == evidence_items(whole)


@given(SINGLE)
def test_the_earliest_pairs_are_kept(events: list[tuple[str, int, object]]) -> None:
    """The sum counts every operation and keeps the earliest pairs of each name."""
    found = revision(events)
    names = {name for name, *_ in events}
    assert found.operations.keys() == set(map(str.lower, names))
    for each in found.operations.values():
        mine = [pair(name, minute) for name, minute, _ in events if name == each.operation]
        assert each.number == len(mine)
        assert each.pairs == earliest(mine, pairs_kept(len(names)))
    assert sum(len(each.pairs) for each in found.operations.values()) <= max(
        2 * PAIRS_KEPT, len(names)
    )


@given(FINDINGS)
def test_an_encoded_sum_is_decoded(summary: Summary) -> None:
    """A sum survives its encoding, and b"" is an empty sum."""
    assert Summary.decode(summary.encode()) == summary
    assert Summary.decode(b"") == Summary()


@pytest.mark.parametrize("damaged", [b"x", zlib.compress(b"{}"), zlib.compress(b"[1]")])
def test_a_damaged_sum_is_noticed(damaged: bytes) -> None:
    """Anything else than an encoded sum is an error."""
    with pytest.raises((ValueError, TypeError, LookupError, zlib.error)):
        Summary.decode(damaged)


@given(st.lists(REVISIONS, min_size=2, max_size=3))
def test_the_order_of_revisions_does_not_matter(revisions: list[Summary]) -> None:
    """The score of a finding is the same in whatever order its revisions come."""
    scores = {score(total(each)).points for each in permutations(revisions)}
    assert len(scores) == 1


def test_an_operation_without_pairs_is_counted() -> None:
    """Operations whose pairs could not be read are in the sum by their number alone."""
    found = Summary({"a/write": OperationSum("a/write", 3, 8, UNKNOWN, [])})
    found.add(Summary({"a/write": OperationSum("A/write", 2, 12, UNKNOWN, [pair("A/write")])}))
    assert found.operations["a/write"] == OperationSum("A/write", 5, 12, UNKNOWN, [pair("A/write")])
