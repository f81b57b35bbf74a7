"""Findings that somebody answers for are left out, as long as somebody does."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.rule.correlate import Group, detect
from detection.rule.exclusions import ExclusionRow, Exclusions
from detection.rule.filters import RuleSettings
from detection.rule.ticks import parse_time
from tests.support.strategies import END, GUID, START, as_logs, operation, sign_in

NOW = parse_time("2026-03-14T12:00:00Z")
LATER, EARLIER = "2026-03-14T12:00:00.0000001Z", "2026-03-14"


def group(resource_group: str = "rg") -> Group:
    """Return a group of the usual identity in a resource group."""
    logs = as_logs([sign_in()], [operation(ResourceGroup=resource_group)])
    (only,) = detect(logs, START, END, RuleSettings()).groups
    return only


@pytest.mark.parametrize(
    ("row", "excludes"),
    [
        ((GUID, "", "ops", "deploys", LATER), True),
        ((GUID.upper(), "", "ops", "deploys", LATER), True),
        (("", "RG", "ops", "deploys", LATER), True),
        ((f" {GUID} ", " rg ", "ops", "deploys", LATER), True),
        ((GUID, "other", "ops", "deploys", LATER), False),
        (("other", "rg", "ops", "deploys", LATER), False),
        (("other", "", "ops", "deploys", LATER), False),
        (("", "rg*", "ops", "deploys", LATER), False),
    ],
)
def test_what_an_exclusion_covers(row: ExclusionRow, excludes: bool) -> None:
    """An identity, a resource group or both together are left out, whatever their case."""
    kept, used = Exclusions.of([row], NOW).split([group("rG")])
    assert (len(kept), sum(used.values())) == ((0, 1) if excludes else (1, 0))


@pytest.mark.parametrize("expires", ["2026-03-14T12:00:00Z", EARLIER, "2020-01-01"])
def test_an_expired_exclusion_is_named_and_excludes_nothing(expires: str) -> None:
    """From the moment at which it expires an entry leaves nothing out, and is named."""
    exclusions = Exclusions.of([(GUID, "", "ops", "deploys", expires)], NOW)
    kept, used = exclusions.split([group()])
    assert (len(kept), used) == (1, {})
    (named,) = exclusions.expired
    assert GUID in named
    assert "ops" in named
    assert "expired" in named


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (("", "", "ops", "deploys", LATER), "neither"),
        ((GUID, "", "", "deploys", LATER), "owner"),
        ((GUID, "", "ops", " ", LATER), "reason"),
        ((GUID, "", "ops", "deploys", ""), "expires"),
        ((GUID, "", "ops", "deploys", "never"), "expires"),
        ((GUID, "", "ops", "deploys", "31.12.2026"), "expires"),
    ],
)
def test_an_incomplete_exclusion_is_named_and_excludes_nothing(
    row: ExclusionRow, problem: str
) -> None:
    """Without a subject, an owner, a reason or an end that can be read, nothing is left out."""
    exclusions = Exclusions.of([row], NOW)
    assert exclusions.split([group()])[0]
    (named,) = exclusions.invalid
    assert problem in named


def test_blank_rows_are_no_entries() -> None:
    """A row with nothing in it is neither an exclusion nor a mistake, but counted."""
    found = Exclusions.of([("", " ", "", "", "")], NOW)
    assert found == Exclusions(blank=1)
    assert "any of the columns ServicePrincipalId" in found.problem
    assert Exclusions.of([("", "", "", "", ""), ("", "rg", "", "", "")], NOW).problem == ""


def test_each_group_counts_once() -> None:
    """A group that two entries cover is counted for the first of them."""
    rows = [(GUID, "", "ops", "one", LATER), ("", "rg", "dev", "two", LATER)]
    kept, used = Exclusions.of(rows, NOW).split([group(), group("else")])
    assert (kept, used) == ([], {f"{GUID} in any resource group (ops: one)": 2})


TEXTS = st.sampled_from(("", " ", GUID, "rg", "x", LATER, EARLIER, "\u0130"))


@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS, TEXTS, TEXTS), max_size=4))
def test_nothing_is_lost(rows: list[ExclusionRow]) -> None:
    """Whatever the entries, each group is kept or counted, and each entry is known to somebody."""
    exclusions = Exclusions.of(rows, NOW)
    given_groups = [group(), group("x")]
    kept, used = exclusions.split(given_groups)
    assert len(kept) + sum(used.values()) == len(given_groups)
    entries = sum(any(map(str.strip, row)) for row in rows)
    known = (exclusions.active, exclusions.expired, exclusions.invalid)
    assert sum(map(len, known)) == entries


NAMES = st.sampled_from(("", GUID, GUID.upper(), "rg", "RG", "x", "y"))
ENTRIES = st.lists(
    st.tuples(NAMES, NAMES, st.just("ops"), st.sampled_from(("one", "two")), st.just(LATER)),
    max_size=8,
)
OTHERS = {name: group(name) for name in ("", "rg", "x", "y", "else")}


@given(ENTRIES, st.lists(st.sampled_from(sorted(OTHERS)), max_size=6))
def test_the_first_exclusion_that_covers_counts(rows: list[ExclusionRow], names: list[str]) -> None:
    """Each group is left out by the first entry that names it, looked for one after the other."""
    exclusions = Exclusions.of(rows, NOW)
    groups = [OTHERS[name] for name in names]
    expected: tuple[list[Group], dict[str, int]] = ([], {})
    for each in groups:
        key = each.key
        for one in exclusions.active:
            if one.identity in ("", key.identity) and one.resource_group in (
                "",
                key.resource_group,
            ):
                expected[1][one.label] = expected[1].get(one.label, 0) + 1
                break
        else:
            expected[0].append(each)
    assert exclusions.split(groups) == expected


def test_many_exclusions_take_no_longer_for_each_group() -> None:
    """Ten thousand groups are held against five thousand exclusions in a fraction of a second."""
    rows = [(f"id-{n}", f"rg-{n}", "ops", "deploys", LATER) for n in range(5_000)]
    exclusions = Exclusions.of([*rows, ("", "last", "ops", "deploys", LATER)], NOW)
    one, last = group(), group("last")
    groups = [one, last] * 5_000
    began = time.process_time()
    kept, used = exclusions.split(groups)
    assert time.process_time() - began < 0.2  # seconds; 0.02 on a quiet machine
    assert (len(kept), list(used.values())) == (5_000, [5_000])
