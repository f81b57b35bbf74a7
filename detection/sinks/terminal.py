"""The list of findings on a terminal: a table by risk, and then details."""

from collections.abc import Sequence
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from detection.outbox import Row
from detection.printable import counted, one_line, printable, shorten_middle
from detection.report.findings import SEVERITIES, gravest
from detection.sinks.findings_list import MAX_VALUE_LENGTH, problem, summary

SHOWN_VALUES: Final = 5
DETAILED: Final = 3  # findings with details, unless all have
# Characters of a name in the table. It is whole in the details, and a long one makes many lines.
MAX_NAME_LENGTH: Final = 120


class FindingsTable:
    """A FindingsView that prints a table of findings, and then the details of some.

    Both are as wide as the terminal at most, and break values into lines instead of cutting them.
    """

    def __init__(self, console: Console, *, has_all_details: bool = False) -> None:
        self._console = console
        self._has_all_details = has_all_details

    def show(self, findings: Sequence[Row], unshown: int) -> None:
        """Print a line for each finding, their number, and the details of the first."""
        listed = [(row, line) for row in findings if (line := self._line(row)) is not None]
        if listed:
            self._console.print(_overview([line for _, line in listed]))
        self._console.print(Text(summary([row for row, _ in listed], unshown)))
        detailed = listed if self._has_all_details else listed[:DETAILED]
        for row, _ in detailed:
            self._console.print()
            self._console.print(_details_or_problem(row))
        if len(detailed) < len(listed):
            more = counted(len(listed) - len(detailed), "more finding")
            self._console.print(f"\n--details prints the details of {more}.", highlight=False)

    def _line(self, row: Row) -> list[Text] | None:
        """Return a finding's cells; None, after a message, if it cannot be shown."""
        try:
            return _cells(row)
        except Exception as error:  # noqa: BLE001 - any error would recur in every run
            self._console.print(_safe_text(problem(row, error)))
            return None


def _overview(lines: Sequence[Sequence[Text]]) -> Table:
    """Return the table of findings, which breaks long names into lines."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("Risk", no_wrap=True)
    for name in ("Identity", "Resource group", "Gravest operation"):
        table.add_column(name, overflow="fold")
    table.add_column("Last event", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    return table


def _cells(row: Row) -> list[Text]:
    """Return the cells of a finding in the table."""
    style = SEVERITIES[row["SuggestedSeverity"]].style
    return [
        Text(f"{row['RiskScore']:>3} {row['SuggestedSeverity']}", style),
        _cell(row["ServicePrincipalName"] or row["ServicePrincipalId"]),
        _cell(row["ResourceGroup"] or "(subscription)"),
        _cell(gravest(row)),
        _cell(short_time(row["LastEvent"])[5:16]),
    ]


def _details_or_problem(row: Row) -> Table | Text:
    """Return a finding's details; a finding that cannot be shown is named and hides no other."""
    try:
        return _details(row)
    except Exception as error:  # noqa: BLE001 - any error would recur in every run
        return _safe_text(problem(row, error))


def _details(row: Row) -> Table:
    """Return one finding's details, which cut no id."""
    table = Table(
        title=_safe_text(
            shorten_middle(str(row["ServicePrincipalName"]), MAX_VALUE_LENGTH),
            " changed ",
            shorten_middle(str(row["ResourceGroup"] or "a subscription"), MAX_VALUE_LENGTH),
        ),
        title_justify="left",
        title_style="bold",
        show_header=False,
    )
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    news = f"revision {row['Revision']}, {counted(row['NewOperations'], 'new operation')}"
    risk = f"{row['RiskScore']} of 100, {row['SuggestedSeverity']}; identity "
    risk += f"{row['IdentityRiskScore']}; {news}"
    table.add_row("Risk", _safe_text(risk))
    table.add_row("Reasons", _safe_text("\n".join(_reason_lines(row["RiskReasons"]))))
    table.add_row(
        "Identity", _safe_text(shorten_middle(str(row["ServicePrincipalId"]), MAX_VALUE_LENGTH))
    )
    table.add_row("Signed in to", _first_values(row["Resources"]))
    table.add_row("Operations", _first_values(row["Operations"]))
    table.add_row("Affected", _first_values(row["AffectedResources"]))
    table.add_row("Addresses", _first_values(row["CallerIpAddresses"]))
    table.add_row(
        "Time",
        _safe_text(short_time(row["FirstEvent"]), " to ", short_time(row["LastEvent"]), " UTC"),
    )
    table.add_row(
        "Events",
        _safe_text(
            f"{counted(row['DistinctSignIns'], 'sign-in')} and "
            f"{counted(row['DistinctOperations'], 'operation')} "
            f"({counted(row['DataPlaneAccesses'], 'pair')})"
        ),
    )
    return table


def _reason_lines(reasons: object) -> list[str]:
    """Return the score's reasons, each after its points."""
    listed = reasons if isinstance(reasons, list) else []
    return [
        f"{reason['Points']:+d} {shorten_middle(str(reason['Reason']), MAX_VALUE_LENGTH)}"
        for reason in listed
    ]


def _first_values(values: object) -> Text:
    """Return the first SHOWN_VALUES of a list, and the number of further ones."""
    texts = (
        [shorten_middle(str(value), MAX_VALUE_LENGTH) for value in values]
        if isinstance(values, list)
        else []
    )
    more = len(texts) - SHOWN_VALUES
    shown = texts[:SHOWN_VALUES] + ([f"and {more} more"] if more > 0 else [])
    return _safe_text("\n".join(shown))


def _cell(value: object) -> Text:
    return Text(one_line(shorten_middle(str(value), MAX_NAME_LENGTH)))


def _safe_text(*parts: object) -> Text:
    """Return log content as text: no markup, and no control characters for the terminal."""
    return Text(printable("".join(map(str, parts))))


def short_time(text: object) -> str:
    """Return the time of a row to the second, with a blank between date and time."""
    return str(text)[:19].replace("T", " ")
