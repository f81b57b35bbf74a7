"""The ledger decides which operations are new, which finding they join and what is forgotten."""

import pytest

from detection.rule.correlate import Group, GroupKey
from detection.rule.ledger import Emission, Ledger, Review
from detection.rule.ticks import DAY, HOUR, MINUTE

NOON = 500_000 * HOUR


def group(operations: dict[str, int], *, resource_group: str = "rg") -> Group:
    """Return a group of one identity with these operations, by key and time."""
    return Group(
        key=GroupKey("identity", "name", resource_group),
        service_principal_name="name",
        service_principal_id="identity",
        resource_group=resource_group,
        pairs=len(operations),
        distinct_sign_ins=1,
        resources=["Azure Key Vault"],
        operations=["a/write"],
        affected_resources=[],
        subscription_ids=[],
        caller_addresses=[],
        first_event=min(operations.values()),
        last_event=max(operations.values()),
        operations_at=dict(operations.items()),
        read_pairs=lambda _: [],
    )


def review(
    ledger: Ledger, *groups: Group, end: int, start: int | None = None, scope: str = "here"
) -> list[Emission]:
    """Review one window, of two hours by default, at the moment it ends."""
    begin = end - 2 * HOUR if start is None else start
    reviewed = Review(ledger, scope, begin, end, now=end)
    emissions = reviewed.register(groups)
    reviewed.commit(ledger)
    return emissions


def revisions(emissions: list[Emission]) -> list[tuple[int, int]]:
    """Return revision and number of new operations of each emission."""
    return [(emission.finding.revision, len(emission.new)) for emission in emissions]


def test_new_operations_open_a_finding() -> None:
    """A group with operations never reported is revision 1, and all of them are new."""
    assert revisions(review(Ledger(), group({"a": NOON, "b": NOON}), end=NOON)) == [(1, 2)]


def test_reported_operations_are_not_reported_again() -> None:
    """A group whose operations were all reported is not emitted."""
    ledger = Ledger()
    review(ledger, group({"a": NOON}), end=NOON)
    assert review(ledger, group({"a": NOON}), end=NOON + HOUR) == []


def test_a_new_operation_revises_the_finding_in_the_window() -> None:
    """A new operation joins the finding that has a reported operation in the window."""
    ledger = Ledger()
    (first,) = review(ledger, group({"a": NOON}), end=NOON)
    (second,) = review(ledger, group({"a": NOON, "b": NOON + 1}), end=NOON + HOUR)
    assert (second.finding.finding_id, second.finding.revision, len(second.new)) == (
        first.finding.finding_id,
        2,
        1,
    )


def test_a_finding_with_nothing_in_the_window_is_not_revised() -> None:
    """New operations open a finding if no reported operation is in the window."""
    ledger = Ledger()
    (first,) = review(ledger, group({"a": NOON}), end=NOON)
    (second,) = review(ledger, group({"b": NOON + 3 * HOUR}), end=NOON + 3 * HOUR)
    assert second.finding.finding_id != first.finding.finding_id
    assert second.finding.revision == 1


@pytest.mark.parametrize(("age", "revision"), [(DAY - 1, 2), (DAY, 1)])
def test_a_finding_is_revised_for_a_day(age: int, revision: int) -> None:
    """A finding takes new operations until a day after it was opened."""
    ledger = Ledger()
    review(ledger, group({"a": NOON}), end=NOON)
    late = group({"a": NOON, "b": NOON + 1})
    assert revisions(review(ledger, late, end=NOON + age, start=NOON - HOUR)) == [(revision, 1)]


def test_the_latest_of_several_findings_is_revised() -> None:
    """Where two findings of a group have an operation in the window, the later one is revised."""
    ledger = Ledger()
    review(ledger, group({"a": NOON}), end=NOON)
    (younger,) = review(ledger, group({"b": NOON + 3 * HOUR}), end=NOON + 3 * HOUR)
    both = group({"a": NOON, "b": NOON + 3 * HOUR, "c": NOON + 4 * HOUR})
    (third,) = review(ledger, both, end=NOON + 4 * HOUR, start=NOON - HOUR)
    assert (third.finding.finding_id, third.finding.revision) == (younger.finding.finding_id, 2)


def test_groups_and_workspaces_are_separate() -> None:
    """The same operation in two groups or workspaces is reported in each, under different ids."""
    ledger = Ledger()
    pair = review(ledger, group({"a": NOON}), group({"a": NOON}, resource_group="b"), end=NOON)
    other = review(Ledger(), group({"a": NOON}), end=NOON, scope="there")
    assert len({emission.finding.finding_id for emission in [*pair, *other]}) == 3


def test_an_id_follows_from_the_first_operation() -> None:
    """The same logs give the same ids in a new ledger, whatever came with the first operation."""
    (once,) = review(Ledger(), group({"a": NOON}), end=NOON)
    (again,) = review(Ledger(), group({"a": NOON, "b": NOON + 1}), end=NOON + HOUR)
    assert once.finding.finding_id == again.finding.finding_id


def test_a_later_repeat_moves_an_operation_in_time() -> None:
    """An operation whose row repeats at a later time belongs to the windows of that time."""
    ledger = Ledger()
    (first,) = review(ledger, group({"a": NOON}), end=NOON)
    assert review(ledger, group({"a": NOON + 3 * HOUR}), end=NOON + 3 * HOUR) == []
    (second,) = review(
        ledger, group({"a": NOON + 3 * HOUR, "b": NOON + 4 * HOUR}), end=NOON + 4 * HOUR
    )
    assert (second.finding.finding_id, second.finding.revision) == (first.finding.finding_id, 2)


def test_findings_before_the_horizon_are_forgotten() -> None:
    """A finding last seen at or before the horizon is forgotten; one seen after it stays."""
    ledger = Ledger()
    review(ledger, group({"a": NOON}), end=NOON)
    review(ledger, group({"b": NOON}, resource_group="other"), end=NOON + MINUTE)
    ledger.forget(NOON)
    assert [key.resource_group for key in ledger.groups] == ["other"]
    ledger.forget(NOON + MINUTE)
    assert ledger.groups == {}
