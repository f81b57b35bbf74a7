"""Findings as tables for a person at a terminal."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from detection.outbox import Outbox, Row
from detection.printable import (
    printable,
    shorten_middle,
)
from detection.sinks.failures import as_delivery_error

SHOWN_VALUES = 5
MAX_WIDTH = 110
MAX_VALUE_LENGTH = (
    1_000  # characters of one value; an id has fewer, and a longer text would bury the others
)


class FindingsTable:
    """A FindingSink that prints findings for people, a small table each."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def deliver(self, outbox: Outbox) -> None:
        """Print what waited; raises SystemExit where nobody reads any more."""
        with as_delivery_error(
            "standard output", "free space or redirect it elsewhere, and run again"
        ):
            for row in outbox.findings:
                self._console.print(_shown(row))


def _shown(row: Row) -> Table | Text:
    """Lay a finding out; one that cannot be is named, and does not keep others from being shown."""
    try:
        return _table(row)
    except Exception as error:  # noqa: BLE001 - whatever it is, it would come again in every run
        named = f"Finding {row.get('FindingId')} cannot be shown ({type(error).__name__}): "
        return _plain(named, "--json and --output write it whole")


def _table(row: Row) -> Table:
    """Lay one finding out so that 80 columns hold it without cutting an id."""
    table = Table(
        title=_plain(
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
    news = f"revision {row['Revision']}, {row['NewOperations']} operations not reported before"
    table.add_row("Risk", _plain(f"{row['RiskScore']} of 100, {row['SuggestedSeverity']}; {news}"))
    table.add_row("Because", _listed(_sentences(row["RiskReasons"])))
    table.add_row(
        "Identity", _plain(shorten_middle(str(row["ServicePrincipalId"]), MAX_VALUE_LENGTH))
    )
    table.add_row("Signed in to", _listed(row["Resources"]))
    table.add_row("Then changed", _listed(row["Operations"]))
    table.add_row("Affected", _listed(row["AffectedResources"]))
    table.add_row("Called from", _listed(row["CallerIpAddresses"]))
    table.add_row(
        "Between",
        _plain(short_time(row["FirstEvent"]), " and ", short_time(row["LastEvent"]), " UTC"),
    )
    table.add_row(
        "Events",
        _plain(
            f"{row['DistinctSignIns']} sign-ins, {row['DistinctOperations']} operations "
            f"({row['DataPlaneAccesses']} pairs within the hour)"
        ),
    )
    return table


def _sentences(reasons: object) -> list[str]:
    """Write a score's reasons, each after its points."""
    listed = reasons if isinstance(reasons, list) else []
    return [f"{reason['Points']:+d} {reason['Reason']}" for reason in listed]


def _listed(values: object) -> Text:
    """Show the first few of a list and how many more there are."""
    texts = (
        [shorten_middle(str(value), MAX_VALUE_LENGTH) for value in values]
        if isinstance(values, list)
        else []
    )
    more = len(texts) - SHOWN_VALUES
    shown = texts[:SHOWN_VALUES] + ([f"and {more} more"] if more > 0 else [])
    return _plain("\n".join(shown))


def _plain(*parts: object) -> Text:
    """Return log content as text: no markup, and no control characters for the terminal."""
    return Text(printable("".join(map(str, parts))))


def short_time(text: object) -> str:
    """Return a time of a row without its fraction, as people write it."""
    return str(text)[:19].replace("T", " ")
