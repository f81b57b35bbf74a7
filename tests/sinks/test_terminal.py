"""The terminal shows findings by risk: a row each, and then the details of the gravest."""

import io
import re
from typing import Any

import pytest
from rich.console import Console

from detection.outbox import Outbox
from detection.report.findings import ALL, SEVERITIES, Selection
from detection.sinks.findings_list import FindingsList
from detection.sinks.terminal import DETAILED, FindingsTable
from tests.support.findings import evidence_item, finding, many_findings

WIDTHS = (60, 80, 120, 240)


def printed(
    *rows: dict[str, Any],
    selection: Selection = ALL,
    details: bool = True,
    width: int = 80,
    colours: Any = None,
) -> str:
    """Return what the table prints for some rows, delivered one by one."""
    file = io.StringIO()
    console = Console(
        file=file, width=width, color_system=colours, force_terminal=True, highlight=False
    )
    shown = FindingsList(FindingsTable(console, has_all_details=details), selection)
    for row in rows:
        shown.deliver(Outbox([row]))
    shown.finish()
    return file.getvalue()


def scored(*scores: int) -> list[dict[str, Any]]:
    """Return findings with these scores, each of a resource group that is named after it."""
    return [
        finding(FindingId=f"f-{score}", RiskScore=score, ResourceGroup=f"rg-{score}")
        for score in scores
    ]


def test_findings_are_listed_by_risk() -> None:
    """Findings of any deliveries are one list, the highest score first, then their number."""
    lines = printed(*scored(10, 90, 51, 70), details=False).splitlines()
    assert [line.split()[0] for line in lines[2:6]] == ["90", "70", "51", "10"]
    assert lines[6] == "4 findings: 4 Medium."
    assert "deleted a key vault" in lines[2]
    assert "03-14 09:24" in lines[2]


def cells(text: str) -> str:
    """Return a printed table without frames, blanks and line breaks, which may divide a value."""
    return re.sub(r"[\s│─┌┐└┘┬┴]", "", text)


def columns_of(text: str) -> list[str]:
    """Return the texts of the columns of a table without frames, each without its blanks."""
    head, rule, *lines = text.splitlines()
    del rule
    starts = [match.start() for match in re.finditer(r"\S+( \S+)*", head)]
    ends = [*starts[1:], None]
    return [
        "".join(line[start:end].replace(" ", "") for line in lines)
        for start, end in zip(starts, ends, strict=True)
    ]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_table_fits_any_width_and_loses_nothing(width: int) -> None:
    """From 60 to 240 columns no line is wider than the terminal, and every name is whole."""
    rows = [
        *many_findings(40),
        finding(
            SuggestedSeverity="Informational",
            RiskScore=3,
            ServicePrincipalName="id-github-actions-deploy-production-westeurope-001",
            ResourceGroup="rg-" + "very-" * 15 + "long",
        ),
    ]
    text = printed(*rows, details=False, width=width)
    table = text.partition("\n41 findings: ")[0]
    assert max(map(len, text.splitlines())) <= width
    whole = printed(*rows, details=False, width=400).partition("\n41 findings: ")[0]
    assert sorted(cells(table)) == sorted(cells(whole))
    for row in rows:
        for name in ("ServicePrincipalName", "ResourceGroup"):
            assert row[name] in whole
    if width >= 120:  # else the head takes two lines, too
        identities, groups = columns_of(table)[1:3]
        for row in rows:
            assert row["ServicePrincipalName"] in identities
            assert row["ResourceGroup"] in groups


@pytest.mark.parametrize("width", WIDTHS)
def test_details_fit_any_width_and_cut_no_id(width: int) -> None:
    """From 60 to 240 columns the details are no wider than the terminal and hold whole ids."""
    id_of_resource = (
        "/subscriptions/3baa586e-f753-4231-9584-adf5f0eedd8f/resourcegroups/rg-orders-prod"
        "/providers/microsoft.keyvault/vaults/kv-orders-prod/providers/microsoft.insights"
        "/diagnosticsettings/to-sentinel"
    )
    row = finding(AffectedResources=[id_of_resource], Evidence=[evidence_item()])
    text = printed(row, width=width)
    assert max(map(len, text.splitlines())) <= width
    details = text.partition("finding: ")[2]
    assert id_of_resource in cells(details)
    assert (id_of_resource in details) == (width == max(WIDTHS))


def test_a_table_is_no_wider_than_its_names() -> None:
    """On a wide terminal the columns stay beside each other."""
    lines = printed(finding(), details=False, width=240).splitlines()
    assert max(map(len, lines)) < 80


def test_the_gravest_findings_have_details() -> None:
    """The first findings have details, all of them on request; the rest is counted."""
    rows = scored(10, 90, 51, 70, 30)
    few, every = printed(*rows, details=False), printed(*rows)
    assert [f"changed rg-{score}" in few for score in (90, 70, 51, 30)] == [True] * DETAILED + [
        False
    ]
    assert "--details prints the details of 2 more findings." in few
    assert all(f"changed rg-{row['RiskScore']}" in every for row in rows)
    assert "--details" not in every
    assert "1 more finding." in printed(*rows[:4], details=False)


def test_a_selection_is_counted() -> None:
    """The list says how many findings are not shown, also if it shows none."""
    rows = scored(10, 90, 51)
    some = printed(*rows, selection=Selection(min_risk=20, top=1))
    assert "1 finding: 1 Medium. 2 findings not shown, because of --min-risk or --top." in some
    assert "rg-51" not in some
    none = printed(*rows, selection=Selection(min_risk=95))
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
    table = FindingsList(FindingsTable(Console(file=file, width=80)), at_once=True)
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


def test_every_reason_is_shown() -> None:
    """The reasons are complete, so that their points add up to the score."""
    reasons = [{"Points": 6, "Reason": f"Reason {number}"} for number in range(8)]
    text = printed(finding(RiskReasons=reasons))
    assert all(f"+6 Reason {number}" in text for number in range(8))


def test_a_long_text_hides_no_other_finding() -> None:
    """A name of a hundred thousand characters is shown with both ends, and an id is shown whole."""
    long = {"ServicePrincipalName": "n" * 100_000, "AffectedResources": ["/" + "~" * 500]}
    text = printed(finding(**long))
    assert len(text) < 10_000
    assert text.count("~") == 500
