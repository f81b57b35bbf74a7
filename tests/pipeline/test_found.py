"""Findings that are kept small and written out when they are asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.outbox import PendingRows
from detection.pipeline.found import Found
from detection.rule.correlate import detect
from detection.rule.filters import RuleSettings
from detection.schema import Finding
from tests.support.strategies import Scenario, scenarios


def row(number: int) -> Finding:
    """Return something like a finding."""
    return {"FindingId": str(number), "Operations": ["MICROSOFT.KEYVAULT/VAULTS/DELETE"] * number}  # type: ignore[typeddict-item]


@given(scenarios(), st.integers(0, 5))
def test_findings_are_the_same_however_often_and_in_whatever_order_they_are_asked_for(
    scenario: Scenario, settled_after: int
) -> None:
    """Each finding is there once, the earliest first, compressed or not, at every access."""
    groups = detect(scenario.logs(), *scenario.window, RuleSettings(scenario.span)).groups
    expected = [row(number) for number in range(len(groups))]
    found = Found()
    for number in reversed(range(len(groups))):
        found.add(groups[number], lambda number=number: row(number))  # type: ignore[misc]
        if number == settled_after:
            found.settle()
    findings = found.in_order()
    assert len(findings) == len(expected)
    assert list(findings) == list(findings) == expected
    assert list(findings[1:3]) == expected[1:3]
    assert [findings[place] for place in range(len(expected))] == expected


def test_a_finding_that_cannot_be_written_is_not_taken_for_the_last() -> None:
    """What goes wrong in writing a finding down comes out, whatever it is."""

    def broken() -> Finding:
        raise IndexError("a defect")

    with pytest.raises(IndexError, match="a defect"):
        list(PendingRows([lambda: row(1), broken, lambda: row(2)]))
