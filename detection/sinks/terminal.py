"""Prints findings for a person at a terminal: a table by risk, then details."""

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from detection.outbox import Outbox, Row
from detection.printable import counted, one_line, printable, shorten_middle
from detection.report.findings import ALL, SEVERITIES, Selection, gravest, united
from detection.sinks.failures import as_delivery_error

SHOWN_VALUES: Final = 5
DETAILED: Final = 3  # findings with details, unless all have
MAX_WIDTH: Final = 110
# Characters of one value: more than any id has. A longer text would hide the other values.
MAX_VALUE_LENGTH: Final = 1_000


class FindingsView(NamedTuple):
    """Which findings are listed, and if all of these have details."""

    selection: Selection = ALL
    has_all_details: bool = False


PLAIN_VIEW: Final = FindingsView()


class FindingsTable:
    """A FindingSink that prints a table of findings by risk, and then the details of some.

    It collects what is delivered, because windows are delivered one by one, and prints at `finish`.
    With `at_once` it prints each delivery: where a state remembers what was delivered, nothing
    must be lost if the program dies before the end.
    """

    def __init__(
        self, console: Console, view: FindingsView = PLAIN_VIEW, *, at_once: bool = False
    ) -> None:
        self._console = console
        self._view = view
        self._at_once = at_once
        self._rows: list[Row] = []

    def deliver(self, outbox: Outbox) -> None:
        """Take the findings, and print them with `at_once`; then raises what `finish` raises."""
        self._rows += outbox.findings
        if self._at_once:
            self.finish()

    def finish(self) -> None:
        """Print the findings taken; raises SystemExit if the pipe is closed, or DeliveryError."""
        rows, self._rows = self._rows, []
        if not rows:
            return
        with as_delivery_error(
            "standard output", "free space or redirect it to another place, and run again"
        ):
            self._print(rows)

    def _print(self, rows: Sequence[Row]) -> None:
        findings, unshown = self._view.selection.of(united(rows))
        listed = [(row, line) for row in findings if (line := self._line(row)) is not None]
        if listed:
            width = min(self._console.width, MAX_WIDTH)
            self._console.print(_overview([line for _, line in listed], width))
        self._console.print(_summary([row for row, _ in listed], unshown))
        detailed = listed if self._view.has_all_details else listed[:DETAILED]
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
            self._console.print(_problem(row, error))
            return None


def _overview(lines: Sequence[Sequence[Text]], width: int) -> Table:
    """Return the table of findings, one line each, which cuts long names."""
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False, width=width
    )
    table.add_column("Risk", no_wrap=True, width=max(len(line[0]) for line in lines))
    for name, share in (("Identity", 16), ("Resource group", 15), ("Gravest operation", 18)):
        table.add_column(name, no_wrap=True, overflow="ellipsis", ratio=share)
    table.add_column("Last event", no_wrap=True, width=11)
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


def _summary(findings: Sequence[Row], unshown: int) -> Text:
    """Return the number of findings, listed by severity, and of those that are not shown."""
    severities = Counter(row["SuggestedSeverity"] for row in findings)
    parts = ", ".join(f"{severities[name]} {name}" for name in SEVERITIES if severities[name])
    text = counted(len(findings), "finding") + (f": {parts}." if parts else ".")
    if unshown:
        text += f" {counted(unshown, 'finding')} not shown, because of --min-risk or --top."
    return Text(text)


def _details_or_problem(row: Row) -> Table | Text:
    """Return a finding's details; a finding that cannot be shown is named and hides no other."""
    try:
        return _details(row)
    except Exception as error:  # noqa: BLE001 - any error would recur in every run
        return _problem(row, error)


def _problem(row: Row, error: Exception) -> Text:
    problem = f"Finding {row.get('FindingId')} cannot be shown ({type(error).__name__}): "
    return _safe_text(problem, "use --json or --output to see all of it")


def _details(row: Row) -> Table:
    """Return one finding's details, which fit 80 columns without cutting an id."""
    table = Table(
        title=_safe_text(
            shorten_middle(str(row["ServicePrincipalName"]), MAX_VALUE_LENGTH),
            " changed ",
            shorten_middle(str(row["ResourceGroup"] or "a subscription"), MAX_VALUE_LENGTH),
        ),
        title_justify="left",
        title_style="bold",
        show_header=False,
        min_width=min(MAX_WIDTH, 78),
    )
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold", max_width=MAX_WIDTH)
    news = f"revision {row['Revision']}, {counted(row['NewOperations'], 'new operation')}"
    risk = f"{row['RiskScore']} of 100, {row['SuggestedSeverity']}; identity "
    risk += f"{row['IdentityRiskScore']}; {news}"
    table.add_row("Risk", _safe_text(risk))
    table.add_row("Reasons", _first_values(_reason_lines(row["RiskReasons"])))
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
    return [f"{reason['Points']:+d} {reason['Reason']}" for reason in listed]


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
    return Text(one_line(shorten_middle(str(value), MAX_VALUE_LENGTH)))


def _safe_text(*parts: object) -> Text:
    """Return log content as text: no markup, and no control characters for the terminal."""
    return Text(printable("".join(map(str, parts))))


def short_time(text: object) -> str:
    """Return the time of a row to the second, with a blank between date and time."""
    return str(text)[:19].replace("T", " ")
