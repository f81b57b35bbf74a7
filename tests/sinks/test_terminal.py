"""The terminal shows findings by risk: a line each, and then the details of the gravest."""

import io
from typing import Any

import pytest
from rich.console import Console

from detection.outbox import Outbox
from detection.report.findings import SEVERITIES, Selection
from detection.sinks.terminal import DETAILED, FindingsTable, FindingsView
from tests.support.findings import finding, many_findings

ALL_DETAILS = FindingsView(has_all_details=True)


def printed(
    *rows: dict[str, Any], view: FindingsView = ALL_DETAILS, width: int = 80, colours: Any = None
) -> str:
    """Return what the table prints for some rows, delivered one by one."""
    file = io.StringIO()
    console = Console(
        file=file, width=width, color_system=colours, force_terminal=True, highlight=False
    )
    table = FindingsTable(console, view)
    for row in rows:
        table.deliver(Outbox([row]))
    table.finish()
    return file.getvalue()


def scored(*scores: int) -> list[dict[str, Any]]:
    """Return findings with these scores, each of a resource group that is named after it."""
    return [
        finding(FindingId=f"f-{score}", RiskScore=score, ResourceGroup=f"rg-{score}")
        for score in scores
    ]


def test_findings_are_listed_by_risk() -> None:
    """Findings of any deliveries are one list, the highest score first, then their number."""
    lines = printed(*scored(10, 90, 51, 70), view=FindingsView()).splitlines()
    assert [line.split()[0] for line in lines[2:6]] == ["90", "70", "51", "10"]
    assert lines[6] == "4 findings: 4 Medium."
    assert "deleted a key va" in lines[2]
    assert "03-14 09:24" in lines[2]


def test_each_finding_is_one_line_of_eighty_columns() -> None:
    """However long the names and the severities are, the list has one line a finding."""
    rows = [*many_findings(40), finding(ServicePrincipalName="n" * 300, ResourceGroup="g\n" * 90)]
    lines = printed(*rows, view=FindingsView()).splitlines()
    assert lines[len(rows) + 2].startswith("41 findings: ")
    assert max(map(len, lines)) <= 80


def test_the_gravest_findings_have_details() -> None:
    """The first findings have details, all of them on request; the rest is counted."""
    rows = scored(10, 90, 51, 70, 30)
    few, every = printed(*rows, view=FindingsView()), printed(*rows)
    assert [f"changed rg-{score}" in few for score in (90, 70, 51, 30)] == [True] * DETAILED + [
        False
    ]
    assert "--details prints the details of 2 more findings." in few
    assert all(f"changed rg-{row['RiskScore']}" in every for row in rows)
    assert "--details" not in every
    assert "1 more finding." in printed(*rows[:4], view=FindingsView())


def test_a_selection_is_counted() -> None:
    """The list says how many findings are not shown, also if it shows none."""
    rows = scored(10, 90, 51)
    some = printed(*rows, view=FindingsView(Selection(min_risk=20, top=1)))
    assert "1 finding: 1 Medium. 2 findings not shown, because of --min-risk or --top." in some
    assert "rg-51" not in some
    none = printed(*rows, view=FindingsView(Selection(min_risk=95)))
    assert none == "0 findings. 3 findings not shown, because of --min-risk or --top.\n"


def test_revisions_are_one_finding() -> None:
    """A finding that was delivered in two revisions is listed once, with all its values."""
    later = finding(Revision=2, RiskScore=60, Operations=["b/write"], NewOperations=4)
    text = printed(finding(Operations=["a/write"]), later)
    assert "1 finding: 1 Medium." in text
    assert "60 of 100, Medium; identity 60; revision 2, 5 new operations" in text
    assert "a/write" in text
    assert "b/write" in text


@pytest.mark.parametrize("severity", SEVERITIES)
def test_severities_have_colours(severity: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A severity is coloured on a terminal, and plain if NO_COLOR is set."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    row = finding(SuggestedSeverity=severity)
    start = f"m 44 {severity}\x1b[0m"
    assert start in printed(row, colours="standard")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in printed(row, colours="standard")


def test_a_table_at_once_waits_for_no_end() -> None:
    """With a state each delivery is printed when it is made, and not again at the end."""
    file = io.StringIO()
    table = FindingsTable(Console(file=file, width=80), at_once=True)
    table.deliver(Outbox([finding()]))
    text = file.getvalue()
    assert "1 finding: " in text
    table.deliver(Outbox())
    table.finish()
    assert file.getvalue() == text


@pytest.mark.parametrize("column", ["RiskReasons", "FirstEvent", "ServicePrincipalName"])
def test_a_finding_that_cannot_be_shown_is_named(column: str) -> None:
    """A finding that cannot be shown hides no other."""
    lacking = {name: value for name, value in finding(FindingId="f-bad").items() if name != column}
    text = printed(lacking, finding())
    assert text.count("Finding f-bad cannot be shown (KeyError): ") == 1
    assert "44 of 100" in text


def test_a_long_text_hides_no_other_finding() -> None:
    """A name of a hundred thousand characters is shown with both ends, and an id is shown whole."""
    long = {"ServicePrincipalName": "n" * 100_000, "AffectedResources": ["/" + "~" * 500]}
    text = printed(finding(**long))
    assert len(text) < 10_000
    assert text.count("~") == 500
