"""Lists of findings as text: nothing is cut, and no value leaves its cell."""

from collections.abc import Callable
from typing import Any

import pytest
from markdown_it import MarkdownIt

from detection.outbox import Outbox
from detection.report.findings import Selection
from detection.sinks.findings_list import FindingsList, FindingsView
from detection.sinks.text_tables import (
    MARKDOWN_COLUMNS,
    TAB_COLUMNS,
    MarkdownTable,
    TabSeparated,
    Write,
    markdown_text,
)
from tests.support.findings import finding, many_findings

HOSTILE = [
    *("a|b", "a\\|b", "a\\\\|b", "`a|b`", "a`b``c", "**a** _b_ ~~c~~", "[a](https://x) ![i](y)"),
    *("<b>a</b> <!-- -->", "&amp; &#124;", "- a", "# a", "| --- |", "*", "\\", "a\\"),
]


def listed(
    view: Callable[[Write, Write], FindingsView], *rows: dict[str, Any], top: int | None = None
) -> tuple[str, list[str]]:
    """Return the text of a list, and the sentences beside it."""
    texts: list[str] = []
    notes: list[str] = []
    shown = FindingsList(view(texts.append, notes.append), Selection(top=top))
    shown.deliver(Outbox(rows))
    shown.finish()
    return "".join(texts), notes


def markdown(write: Write, note: Write) -> MarkdownTable:
    """Return the Markdown list."""
    del note
    return MarkdownTable(write)


def markdown_cells(text: str) -> list[list[str]]:
    """Return the cells of the table as a reader of Markdown sees them; no cell has markup."""
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    rows: list[list[str]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        if token.type == "inline" and rows and len(rows[-1]) < len(MARKDOWN_COLUMNS):
            children = token.children or []
            assert {child.type for child in children} <= {"text", "text_special"}
            rows[-1].append("".join(child.content for child in children))
    return rows


def test_a_line_holds_whole_values() -> None:
    """Each finding is a line by risk, with as many cells as the line of columns, none cut."""
    long = "n" * 5_000
    rows = [*many_findings(30), finding(ServicePrincipalName=long, RiskScore=100)]
    text, notes = listed(TabSeparated, *rows)
    head, *lines = [line.split("\t") for line in text.splitlines()]
    assert head == list(TAB_COLUMNS)
    assert {len(line) for line in lines} == {len(head)}
    assert long in lines[0]
    scores = [int(line[0]) for line in lines]
    assert scores == sorted(scores, reverse=True)
    assert {line[-1] for line in lines} == {row["FindingId"] for row in rows}
    assert notes == []


def test_no_value_leaves_its_cell() -> None:
    """Tabs and line breaks in a value become blanks, and control characters are replaced."""
    text, _ = listed(TabSeparated, finding(ServicePrincipalName="a\tb\nc\x1b[2J"))
    assert text.splitlines()[1].split("\t")[2] == "a b c\ufffd[2J"


def test_a_selection_is_said_beside_the_lines() -> None:
    """The number of findings left out stays off stdout, where every line is a finding."""
    text, notes = listed(TabSeparated, *many_findings(4), top=1)
    assert text.count("\n") == 2
    assert notes == ["3 findings not shown, because of --min-risk or --top."]


@pytest.mark.parametrize("value", HOSTILE)
def test_markdown_shows_a_value_as_it_is(value: str) -> None:
    """Pipes, backslashes, backticks, markup, links and HTML in a value are plain text."""
    text, _ = listed(markdown, finding(ServicePrincipalName=value, ResourceGroup="rg_a_b"))
    head, row = markdown_cells(text)
    assert head == list(MARKDOWN_COLUMNS)
    assert dict(zip(head, row, strict=True))["Identity"] == value
    assert dict(zip(head, row, strict=True))["Resource group"] == "rg_a_b"


def test_a_line_break_does_not_end_a_row() -> None:
    """White space of any kind becomes a blank."""
    assert markdown_text("a\n| b\r\n\u2028c\td") == "a &#124; b c d"


def test_markdown_counts_findings() -> None:
    """After the table stands the number of findings, and of those that are left out."""
    text, _ = listed(markdown, *many_findings(4), top=1)
    assert "not shown, because of --min-risk or --top." in text
    assert len(markdown_cells(text)) == 2


@pytest.mark.parametrize("view", [TabSeparated, markdown])
def test_a_finding_that_cannot_be_shown_is_named(view: Any) -> None:
    """A finding that lacks a column hides no other."""
    lacking = {k: v for k, v in finding(FindingId="f-bad").items() if k != "ServicePrincipalName"}
    text, notes = listed(view, lacking, finding(FindingId="f-1"))
    assert "Finding f-bad cannot be shown (KeyError)" in text + "".join(notes)
    assert "deleted a key vault" in text
