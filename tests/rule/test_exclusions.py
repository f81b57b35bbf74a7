"""Findings under an exclusion are left out until the exclusion expires."""

import time
from collections.abc import Collection

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


CLASSES = ("mild", "mild things", "grave")


def group(resource_group: str = "rg", *classes: str) -> Group:
    """Return a group of the usual identity in a resource group, with operations of classes."""
    rows = [operation(OperationNameValue=f"{name}/write") for name in classes or ("mild",)]
    logs = as_logs([sign_in()], [row | {"ResourceGroup": resource_group} for row in rows])
    (only,) = detect(logs, START, END, RuleSettings()).groups
    return only


def has_only(group: Group, classes: Collection[str]) -> bool:
    """Return True if all operations of a group are of these classes, which begin their names."""
    return all(name.partition("/")[0] in classes for name in group.operations)


@pytest.mark.parametrize(
    ("row", "excludes"),
    [
        ((GUID, "", "", "ops", "deploys", LATER), True),
        ((GUID.upper(), "", "", "ops", "deploys", LATER), True),
        (("", "RG", "", "ops", "deploys", LATER), True),
        ((f" {GUID} ", " rg ", "", "ops", "deploys", LATER), True),
        ((GUID, "other", "", "ops", "deploys", LATER), False),
        (("other", "rg", "", "ops", "deploys", LATER), False),
        (("other", "", "", "ops", "deploys", LATER), False),
        (("", "rg*", "", "ops", "deploys", LATER), False),
    ],
)
def test_an_exclusion_covers_an_identity_or_a_resource_group(
    row: ExclusionRow, excludes: bool
) -> None:
    """An exclusion covers an identity, a resource group or both together, in any letter case."""
    kept, used = Exclusions.of([row], NOW, CLASSES).split([group("rG")], has_only)
    assert (len(kept), sum(used.values())) == ((0, 1) if excludes else (1, 0))


@pytest.mark.parametrize("expires", ["2026-03-14T12:00:00Z", EARLIER, "2020-01-01"])
def test_an_expired_exclusion_is_named_and_excludes_nothing(expires: str) -> None:
    """From the moment at which it expires an entry excludes nothing, and it is named."""
    exclusions = Exclusions.of([(GUID, "", "", "ops", "deploys", expires)], NOW, CLASSES)
    kept, used = exclusions.split([group()], has_only)
    assert (len(kept), used) == (1, {})
    (named,) = exclusions.expired
    assert GUID in named
    assert "ops" in named
    assert "expired" in named


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (("", "", "", "ops", "deploys", LATER), "neither"),
        ((GUID, "", "", "", "deploys", LATER), "owner"),
        ((GUID, "", "", "ops", " ", LATER), "reason"),
        ((GUID, "", "", "ops", "deploys", ""), "expires"),
        ((GUID, "", "", "ops", "deploys", "never"), "expires"),
        ((GUID, "", "", "ops", "deploys", "31.12.2026"), "expires"),
        ((GUID, "", "mild; rotine", "ops", "deploys", LATER), "unknown operation class 'rotine'"),
        ((GUID, "", "mildthings", "ops", "deploys", LATER), "unknown operation class"),
        ((GUID, "", ";", "ops", "deploys", LATER), "no operation class"),
        (("", "", "mild", "ops", "deploys", LATER), "neither"),
    ],
)
def test_an_invalid_exclusion_is_named_and_excludes_nothing(
    row: ExclusionRow, problem: str
) -> None:
    """An entry with a part that is missing, unreadable or unknown excludes nothing."""
    exclusions = Exclusions.of([row], NOW, CLASSES)
    assert exclusions.split([group()], has_only)[0]
    (named,) = exclusions.invalid
    assert problem in named


@pytest.mark.parametrize(
    ("listed", "classes", "excludes"),
    [
        ("", ("mild", "grave"), True),
        (" ", ("mild", "grave"), True),
        ("mild", ("mild",), True),
        ("mild", ("mild", "grave"), False),
        ("mild", ("grave",), False),
        (" GRAVE ;mild;", ("mild", "grave"), True),
        ("grave,Mild", ("mild", "grave"), True),
        ("Mild  things, mild things", ("mild things",), True),
    ],
)
def test_classes_narrow_an_exclusion(listed: str, classes: tuple[str, ...], excludes: bool) -> None:
    """With classes an exclusion covers a group only if all of its operations are of them."""
    exclusions = Exclusions.of([(GUID, "rg", listed, "ops", "deploys", LATER)], NOW, CLASSES)
    kept, used = exclusions.split([group("rg", *classes)], has_only)
    assert (len(kept), sum(used.values())) == ((0, 1) if excludes else (1, 0))


def test_an_exclusion_is_counted_with_its_classes() -> None:
    """The label of an exclusion lists its classes, each once."""
    row = (GUID, "rg", "mild; grave;MILD", "ops", "deploys", LATER)
    kept, used = Exclusions.of([row], NOW, CLASSES).split([group()], has_only)
    assert (kept, used) == ([], {f"{GUID} in rg for mild, grave (ops: deploys)": 1})


def test_blank_rows_are_not_entries() -> None:
    """An empty row is counted and is neither an exclusion nor a mistake."""
    found = Exclusions.of([("", " ", "", "", "", "")], NOW, CLASSES)
    assert found == Exclusions(blank=1)
    assert "any of the columns ServicePrincipalId" in found.problem
    assert (
        Exclusions.of([("", "", "", "", "", ""), ("", "rg", "", "", "", "")], NOW, CLASSES).problem
        == ""
    )


def test_each_group_counts_once() -> None:
    """A group that two entries cover is counted for the first of them."""
    rows = [(GUID, "", "", "ops", "one", LATER), ("", "rg", "", "dev", "two", LATER)]
    kept, used = Exclusions.of(rows, NOW, CLASSES).split([group(), group("else")], has_only)
    assert (kept, used) == ([], {f"{GUID} in any resource group (ops: one)": 2})


TEXTS = st.sampled_from(("", " ", GUID, "rg", "x", LATER, EARLIER, "\u0130"))


@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS), max_size=4))
def test_each_group_and_each_entry_is_accounted_for(rows: list[ExclusionRow]) -> None:
    """Each group is kept or counted, and each entry is active, expired or invalid."""
    exclusions = Exclusions.of(rows, NOW, CLASSES)
    given_groups = [group(), group("x")]
    kept, used = exclusions.split(given_groups, has_only)
    assert len(kept) + sum(used.values()) == len(given_groups)
    entries = sum(any(map(str.strip, row)) for row in rows)
    known = (exclusions.active, exclusions.expired, exclusions.invalid)
    assert sum(map(len, known)) == entries


LISTED = st.sampled_from(("", "mild", "grave", "grave;mild"))
NAMES = st.sampled_from(("", GUID, GUID.upper(), "rg", "RG", "x", "y"))
ENTRIES = st.lists(
    st.tuples(
        NAMES, NAMES, LISTED, st.just("ops"), st.sampled_from(("one", "two")), st.just(LATER)
    ),
    max_size=8,
)
OTHERS = {
    (name, *classes): group(name, *classes)
    for name in ("", "rg", "x", "y", "else")
    for classes in (("mild",), ("grave",), ("grave", "mild"))
}


@given(ENTRIES, st.lists(st.sampled_from(sorted(OTHERS)), max_size=6))
def test_the_first_exclusion_that_covers_counts(
    rows: list[ExclusionRow], names: list[tuple[str, ...]]
) -> None:
    """The first entry that covers a group is the one that counts, as in a search entry by entry."""
    exclusions = Exclusions.of(rows, NOW, CLASSES)
    groups = [OTHERS[name] for name in names]
    expected: tuple[list[Group], dict[str, int]] = ([], {})
    for each in groups:
        key = each.key
        for one in exclusions.active:
            if (
                one.identity in ("", key.identity)
                and one.resource_group in ("", key.resource_group)
                and (not one.classes or has_only(each, one.classes))
            ):
                expected[1][one.label] = expected[1].get(one.label, 0) + 1
                break
        else:
            expected[0].append(each)
    assert exclusions.split(groups, has_only) == expected


def test_many_exclusions_take_no_longer_for_each_group() -> None:
    """Ten thousand groups are compared with five thousand exclusions in a fraction of a second."""
    rows = [(f"id-{n}", f"rg-{n}", "", "ops", "deploys", LATER) for n in range(5_000)]
    exclusions = Exclusions.of([*rows, ("", "last", "", "ops", "deploys", LATER)], NOW, CLASSES)
    one, last = group(), group("last")
    groups = [one, last] * 5_000
    began = time.process_time()
    kept, used = exclusions.split(groups, has_only)
    assert time.process_time() - began < 2  # seconds; 0.05 on a quiet machine, 5 for each with each
    assert (len(kept), list(used.values())) == (5_000, [5_000])
