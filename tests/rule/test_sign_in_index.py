"""Ranges in the sign-in index give the same results as slices of the sorted sign-ins."""

from itertools import pairwise
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from detection.rule.log_rows import RESOURCE_NAME, SIGN_IN_ID, SignIn
from detection.rule.sign_in_index import Range, SignInIndex, merge_ranges

TIMES = st.lists(st.integers(0, 12), max_size=14).map(sorted)


def at(time: int, resource: str = "", event_id: str = "") -> SignIn:
    """Return a sign-in with these values and blanks elsewhere."""
    return (time, "", "", resource, "", "", event_id, "", "")


class Case(NamedTuple):
    """Sorted sign-ins, and disjoint ranges that split them only between times."""

    rows: list[SignIn]
    ranges: list[Range]

    def within(self) -> list[SignIn]:
        """Return the sign-ins in the ranges, one by one."""
        return [row for low, high in self.ranges for row in self.rows[low:high]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw sign-ins whose keys and resources repeat, at one time and at several.

    In some draws each occurs 500 times, because long ranges are read differently from short ones.
    """
    times = draw(TIMES.filter(bool))
    size = len(times)
    keys = draw(st.lists(st.sampled_from("abcdefghij"), min_size=size, max_size=size))
    resources = draw(st.lists(st.sampled_from("vwxyz"), min_size=size, max_size=size))
    if draw(st.booleans()):
        keys = [f"{key}{place}" for place, key in enumerate(keys)]
    fold = draw(st.sampled_from((1, 1, 500)))
    times = [time for time in times for _ in range(fold)]
    keys = [f"{key}{n % 2}" for key in keys for n in range(fold)]
    resources = [resource for resource in resources for _ in range(fold)]
    size *= fold
    edges = [0, *(p for p in range(1, size) if times[p - 1] < times[p]), size]
    cuts = sorted(draw(st.sets(st.sampled_from(edges), min_size=2)))
    first = draw(st.integers(0, 1)) if len(cuts) > 2 else 0
    rows = [
        at(time, resource, key) for time, resource, key in zip(times, resources, keys, strict=True)
    ]
    return Case(sorted(rows), list(pairwise(cuts))[first::2])


@given(cases())
def test_distinct_counts_the_keys_in_the_ranges(case: Case) -> None:
    """The distinct sign-ins of ranges are the different keys of the rows in them."""
    distinct = len({row[SIGN_IN_ID] for row in case.within()})
    assert SignInIndex(case.rows).distinct(case.ranges) == distinct


@given(cases(), st.integers(1, 6))
def test_resources_come_earliest_first_up_to_the_limit(case: Case, limit: int) -> None:
    """The resources of ranges are those of the rows in them, in order of first occurrence."""
    found = list(dict.fromkeys(row[RESOURCE_NAME] for row in case.within()))
    assert SignInIndex(case.rows).resources(case.ranges, limit) == found[:limit]


@given(TIMES.filter(bool), TIMES, st.integers(0, 4))
def test_followers_are_the_operations_within_the_span(
    signed_in: list[int], operated: list[int], span: int
) -> None:
    """An operation follows if at least one sign-in is at its time or up to a span before."""
    accesses = SignInIndex([at(time) for time in signed_in])
    assert accesses.followers(operated, span) == [
        place
        for place, time in enumerate(operated)
        if any(earlier <= time <= earlier + span for earlier in signed_in)
    ]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=8))
def test_merged_ranges_hold_the_same_positions_once(steps: list[tuple[int, int]]) -> None:
    """Merged ranges hold every position of the originals, are sorted and do not overlap."""
    lows, highs = [0], [1]
    for forward, longer in steps:
        lows.append(lows[-1] + forward)
        highs.append(max(highs[-1] + longer, lows[-1] + 1))
    merged = merge_ranges(lows, highs)
    held = {place for low, high in zip(lows, highs, strict=True) for place in range(low, high)}
    assert [place for low, high in merged for place in range(low, high)] == sorted(held)
    assert all(high < low for (_, high), (low, _) in pairwise(merged))
