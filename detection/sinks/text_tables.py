"""The list of findings as text: lines with tabs for a pipe, and a Markdown table for a ticket."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from detection.outbox import Row
from detection.printable import counted, one_line
from detection.report.findings import gravest
from detection.sinks.findings_list import problem, summary

# Columns of findings, and GravestOperation: the deed in words, as the table shows it.
TAB_COLUMNS: Final = (
    *("RiskScore", "SuggestedSeverity", "ServicePrincipalName", "ServicePrincipalId"),
    *("ResourceGroup", "GravestOperation", "NewOperations", "FirstEvent", "LastEvent"),
    "FindingId",
)
MARKDOWN_COLUMNS: Final = {
    "Risk": "RiskScore",
    "Severity": "SuggestedSeverity",
    "Identity": "ServicePrincipalName",
    "Identity id": "ServicePrincipalId",
    "Resource group": "ResourceGroup",
    "Gravest operation": "GravestOperation",
    "First event": "FirstEvent",
    "Last event": "LastEvent",
}
# Characters that Markdown or HTML would obey. The first ones could end a cell or a code span even
# after a backslash, so they become entities.
_MARKDOWN: Final = str.maketrans(
    {each: f"&#{ord(each)};" for each in "|\\`<>&"} | {each: f"\\{each}" for each in "*_[]~"}
)

Write = Callable[[str], object]


class TabSeparated:
    """A FindingsView of one line a finding, after a line of columns; no value is shortened."""

    def __init__(self, write: Write, note: Write) -> None:
        """`note` takes the sentences about findings that are not listed."""
        self._write = write
        self._note = note

    def show(self, findings: Sequence[Row], unshown: int) -> None:
        """Print the lines; blanks stand for tabs and line breaks in values."""
        lines = ["\t".join(TAB_COLUMNS)]
        for row in findings:
            try:
                lines.append("\t".join(one_line(_value(row, name)) for name in TAB_COLUMNS))
            except Exception as error:  # noqa: BLE001 - any error would recur in every run
                self._note(problem(row, error))
        self._write("\n".join(lines) + "\n")
        if unshown:
            self._note(f"{counted(unshown, 'finding')} not shown, because of --min-risk or --top.")


class MarkdownTable:
    """A FindingsView of one table in GitHub's Markdown, and a line with the number of findings."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def show(self, findings: Sequence[Row], unshown: int) -> None:
        """Print the table, in which every value is plain text on one line."""
        lines = [_markdown_row(MARKDOWN_COLUMNS), f"|{' --- |' * len(MARKDOWN_COLUMNS)}"]
        problems = []
        for row in findings:
            try:
                values = [_value(row, name) for name in MARKDOWN_COLUMNS.values()]
            except Exception as error:  # noqa: BLE001 - any error would recur in every run
                problems.append(problem(row, error))
            else:
                lines.append(_markdown_row(map(markdown_text, values)))
        for text in (summary(findings, unshown), *problems):
            lines += ["", markdown_text(text)]
        self._write("\n".join(lines) + "\n\n")  # another table may follow


def markdown_text(text: str) -> str:
    """Return a text as one line of Markdown that is shown as it is, without its white space."""
    return one_line(text).translate(_MARKDOWN)


def _markdown_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _value(row: Row, name: str) -> str:
    return gravest(row) if name == "GravestOperation" else str(row[name])
