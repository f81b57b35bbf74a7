"""What a person at a terminal sees: findings as tables, each run in a line, progress."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from detection.bounded import cut
from detection.invocation import Outcome
from detection.outbox import Outbox, Row
from detection.printable import one_line, printable
from detection.schema import RunRecord
from detection.sinks.failing import delivering
from detection.window import Window

PROGRESS_FROM = 4  # windows; fewer are done before a bar can be read
SHOWN_VALUES = 5
MAX_WIDTH = 110
MOST = 1_000  # characters of one value; an id has fewer, and a longer text would bury the others


class FindingsTable:
    """A FindingSink that prints findings for people, a small table each."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def deliver(self, outbox: Outbox) -> None:
        """Print what waited; raises SystemExit where nobody reads any more."""
        with delivering("standard output", "free space or redirect it elsewhere, and run again"):
            for row in outbox.findings:
                self._console.print(_shown(row))


def say(console: Console, text: str, style: str = "") -> None:
    """Print one line of text as it is, without markup and with nothing that a terminal obeys."""
    console.print(one_line(text), style=style, markup=False, emoji=False, soft_wrap=True)


def report_outcome(outcome: Outcome, console: Console) -> None:
    """Say what each window came to and what failed; quiet windows of many are left out."""
    if not (outcome.due or outcome.records or outcome.failures):
        console.print("Nothing is due: everything up to this moment has been examined.")
    elif not (outcome.records or outcome.failures):
        console.print("Another run has examined what was due meanwhile.")
    telling = [r for r in outcome.records if r["Status"] != "Success" or r["FindingsNew"]]
    shown = outcome.records if len(outcome.records) < PROGRESS_FROM else telling
    for record in shown:
        console.print(_run_line(record), soft_wrap=True)
    if len(outcome.records) > 1:
        new = sum(record["FindingsNew"] for record in outcome.records)
        updated = sum(record["FindingsUpdated"] for record in outcome.records)
        console.print(
            f"{len(outcome.records)} windows: {new} new findings, {updated} updated.",
            highlight=False,
        )


def with_progress(windows: Sequence[Window], console: Console) -> Iterator[Window]:
    """Yield the windows, with a progress bar while there are more than a few."""
    if len(windows) < PROGRESS_FROM:
        yield from windows
        return
    columns = (
        TextColumn("Windows"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield from bar.track(windows)


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
            cut(str(row["ServicePrincipalName"]), MOST),
            " changed ",
            cut(str(row["ResourceGroup"]), MOST),
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
    table.add_row("Identity", _plain(cut(str(row["ServicePrincipalId"]), MOST)))
    table.add_row("Signed in to", _listed(row["Resources"]))
    table.add_row("Then changed", _listed(row["Operations"]))
    table.add_row("Affected", _listed(row["AffectedResources"]))
    table.add_row("Called from", _listed(row["CallerIpAddresses"]))
    table.add_row(
        "Between",
        _plain(_moment(row["FirstEvent"]), " and ", _moment(row["LastEvent"]), " UTC"),
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
    texts = [cut(str(value), MOST) for value in values] if isinstance(values, list) else []
    more = len(texts) - SHOWN_VALUES
    shown = texts[:SHOWN_VALUES] + ([f"and {more} more"] if more > 0 else [])
    return _plain("\n".join(shown))


def _plain(*parts: object) -> Text:
    """Return log content as text: no markup, and no control characters for the terminal."""
    return Text(printable("".join(map(str, parts))))


def _moment(text: object) -> str:
    return str(text)[:19].replace("T", " ")


def _run_line(record: RunRecord) -> str:
    style = {"Success": "green", "Warning": "yellow"}.get(record["Status"], "red")
    line = (
        f"[{style}]{record['Status']}[/] {_moment(record['WindowStart'])} to "
        f"{_moment(record['WindowEnd'])}: "
    )
    if record["Error"]:
        return line + escape(one_line(record["Error"]))
    sign_ins = _matched("sign-ins", record["SignInsMatched"], record["SignInsRead"])
    operations = _matched("operations", record["OperationsMatched"], record["OperationsRead"])
    line += (
        f"{sign_ins} and {operations} matched, "
        f"{record['FindingsNew']} new findings, {record['FindingsUpdated']} updated, "
        f"{record['FindingsUnchanged']} unchanged."
    )
    return line + (" " + escape(one_line(record["Reason"])) + "." if record["Reason"] else "")


def _matched(rows: str, matched: int, read: int) -> str:
    """Say how many rows matched; of a workspace more may match than have to be read."""
    if read < matched:
        return f"{matched} {rows} ({read} had to be read)"
    return f"{matched} of {read} {rows}"
