"""Near misses: grave changes after a sign-in that is too long before for a finding."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.ranking.classify import classify
from detection.ranking.near_misses import (
    LateChanges,
    NearMiss,
    is_grave,
    late_changes,
    near_misses,
)
from detection.rule.ticks import DAY, HOUR
from tests.support import naive_rule
from tests.support.near_misses import day_scenarios, late_in_python
from tests.support.strategies import (
    END,
    GUID,
    Row,
    Scenario,
    as_logs,
    operation,
    sign_in,
    written,
)
from tests.support.summaries import DEPLOYMENT, ROLE, UNLISTED, VAULT


def is_of(identity: str, resource_group: str, change: LateChanges) -> bool:
    """Return True for changes of an identity in a resource group."""
    return (change.identity, change.resource_group) == (identity, resource_group)


def included(_change: LateChanges) -> bool:
    """Exclude nothing."""
    return False


def misses(
    sign_ins: Sequence[Row], operations: Sequence[Row], allowlist: Sequence[str] = ()
) -> list[NearMiss]:
    """Return the near misses of these rows."""
    scenario = Scenario([*sign_ins], [*operations], [*allowlist], HOUR, ("Success",))
    return near_misses(late_in_python(scenario), included)


def after(delay: int, name: str = VAULT, event: str = "o1") -> Row:
    """Return an operation this long after the sign-in of `signed_in`."""
    return operation(
        TimeGenerated=written(END - HOUR + delay - DAY), OperationNameValue=name, EventDataId=event
    )


def signed_in(**columns: str | None) -> Row:
    """Return a sign-in a day before the middle of the window."""
    return sign_in(TimeGenerated=written(END - HOUR - DAY), **columns)


@pytest.mark.parametrize(
    ("delay", "number"),
    [(-1, 0), (0, 0), (HOUR, 0), (HOUR + 1, 1), (5 * HOUR, 1), (DAY, 1), (DAY + 1, 0)],
)
def test_the_time_since_the_sign_in_decides(delay: int, number: int) -> None:
    """Past the span and up to a token's lifetime, a grave change is a near miss."""
    found = late_changes(
        {GUID: [as_logs([signed_in()], []).sign_ins[0]]},
        {GUID: [as_logs([], [after(delay)]).operations[0]]},
        HOUR,
    )
    assert sum(miss.number for miss in near_misses(found, included)) == number


def test_everyday_changes_are_no_near_misses() -> None:
    """Only classes that an attacker needs count: neither `routine` nor `other` does."""
    assert [is_grave(name) for name in (VAULT, ROLE, DEPLOYMENT, UNLISTED)] == [
        *(True, True, False, False)
    ]


def test_the_gravest_come_first() -> None:
    """Near misses are summed up by identity and operation, those with most points first."""
    rows = [after(DAY, VAULT, "o1"), after(DAY - 1, VAULT, "o2"), after(DAY, ROLE, "o3")]
    other = operation(
        TimeGenerated=written(END - HOUR), OperationNameValue=ROLE, Caller="other", EventDataId="o4"
    )
    found = misses([signed_in(), signed_in(ServicePrincipalId="OTHER")], [*rows, other])
    assert [(miss.identity, miss.number) for miss in found if miss.operation == ROLE.lower()] == [
        (GUID, 1),
        ("other", 1),
    ]
    assert NearMiss(GUID, VAULT.lower(), 2) in found
    points = [classify(miss.operation).points for miss in found]
    assert points == sorted(points, reverse=True)


def test_a_repeated_event_counts_once() -> None:
    """An operation that the log holds twice is one; without an id, its columns tell it apart."""
    twice = [after(DAY), after(DAY)]
    assert [miss.number for miss in misses([signed_in()], twice)] == [1]
    nameless = [after(DAY, event=""), after(DAY, event=""), after(DAY - 1, event="")]
    assert [miss.number for miss in misses([signed_in()], nameless)] == [2]


def test_sign_ins_from_allowlisted_addresses_count_for_nothing() -> None:
    """They neither make a near miss, nor is a change after them close to a sign-in."""
    known, near = "10.0.0.1", sign_in(TimeGenerated=written(END - HOUR - 1), IPAddress=" 10.0.0.1")
    assert misses([signed_in(IPAddress=known)], [after(DAY)], [known]) == []
    assert misses([signed_in(), near], [after(DAY)], []) == []
    assert len(misses([signed_in(), near], [after(DAY)], [known])) == 1


def test_excluded_identities_and_groups_are_left_out() -> None:
    """An exclusion takes an identity and a resource group in lower case."""
    scenario = Scenario([signed_in()], [after(DAY)], [], HOUR, ("Success",))
    counts = late_in_python(scenario)
    for group, left in (("rg", 0), ("rg2", 1)):
        assert len(near_misses(counts, partial(is_of, GUID, group))) == left


@given(day_scenarios())
def test_near_misses_are_those_of_a_naive_reading(drawn: Scenario) -> None:
    """Nested loops find the same changes, with any allowlist, span and statuses."""
    found = near_misses(late_in_python(drawn), included)
    expected = Counter(
        (identity, name)
        for identity, name, *_ in naive_rule.near_misses(*drawn.naive_arguments)
        if is_grave(name)
    )
    assert {(identity, name): number for identity, name, number in found} == expected


@given(day_scenarios(), st.randoms())
def test_order_and_repeats_change_nothing(drawn: Scenario, random: Random) -> None:
    """Shuffled and repeated rows have the same near misses."""
    counts = Counter(late_in_python(drawn))
    sign_ins, operations = [*drawn.sign_ins] * 2, [*drawn.operations] * 2
    random.shuffle(sign_ins)
    random.shuffle(operations)
    again = Scenario(sign_ins, operations, drawn.allowlist, drawn.span, drawn.statuses)
    assert Counter(late_in_python(again)) == counts


@given(day_scenarios())
def test_all_changes_are_counted_alike(drawn: Scenario) -> None:
    """The counts of changes of all classes are those of the nested loops."""
    missed = naive_rule.near_misses(*drawn.naive_arguments)
    names = Counter((identity, name, group) for identity, name, group, _ in missed)
    assert {tuple(each[:3]): each.number for each in late_in_python(drawn)} == names
