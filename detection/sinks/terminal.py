"""Prints findings as tables for a person at a terminal."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from detection.outbox import Outbox, Row
from detection.printable import counted, printable, shorten_middle
from detection.sinks.failures import as_delivery_error

SHOWN_VALUES = 5
MAX_WIDTH = 110
# Characters of one value: more than any id has. A longer text would hide the other values.
MAX_VALUE_LENGTH = 1_000


class FindingsTable:
    """A FindingSink that prints a small table for each finding."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def deliver(self, outbox: Outbox) -> None:
        """Print the findings; raises SystemExit if the pipe is closed."""
        with as_delivery_error(
            "standard output", "free space or redirect it to another place, and run again"
        ):
            for row in outbox.findings:
                self._console.print(_render(row))


def _render(row: Row) -> Table | Text:
    """Return a finding's table; a finding that cannot be shown is named and hides no other."""
    try:
        return _render_table(row)
    except Exception as error:  # noqa: BLE001 - any error would recur in every run
        problem = f"Finding {row.get('FindingId')} cannot be shown ({type(error).__name__}): "
        return _safe_text(problem, "use --json or --output to see all of it")


def _render_table(row: Row) -> Table:
    """Return one finding's table, which fits 80 columns without cutting an id."""
    table = Table(
        title=_safe_text(
            shorten_middle(str(row["ServicePrincipalName"]), MAX_VALUE_LENGTH),
            " changed ",
            shorten_middle(str(row["ResourceGroup"]), MAX_VALUE_LENGTH),
        ),
        title_justify="left",
        title_style="bold",
        show_header=False,
        min_width=min(MAX_WIDTH, 78),
    )
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold", max_width=MAX_WIDTH)
    news = f"revision {row['Revision']}, {counted(row['NewOperations'], 'new operation')}"
    risk = f"{row['RiskScore']} of 100, {row['SuggestedSeverity']}; {news}"
    table.add_row("Risk", _safe_text(risk))
    table.add_row("Reasons", _first_values(_reason_lines(row["RiskReasons"])))
    table.add_row(
        "Identity", _safe_text(shorten_middle(str(row["ServicePrincipalId"]), MAX_VALUE_LENGTH))
    )
    table.add_row("Signed in to", _first_values(row["Resources"]))
    table.add_row("Operations", _first_values(row["Operations"]))
    table.add_row("Affected resources", _first_values(row["AffectedResources"]))
    table.add_row("Caller addresses", _first_values(row["CallerIpAddresses"]))
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


def _safe_text(*parts: object) -> Text:
    """Return log content as text: no markup, and no control characters for the terminal."""
    return Text(printable("".join(map(str, parts))))


def short_time(text: object) -> str:
    """Return the time of a row to the second, with a blank between date and time."""
    return str(text)[:19].replace("T", " ")
