"""What a run tells a person at a terminal: each window in a line, and progress."""

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

from detection.pipeline.invocation import Outcome
from detection.printable import one_line
from detection.schema import RunRecord
from detection.sinks.terminal import short_time
from detection.window import Window

PROGRESS_FROM = 4  # windows; fewer are done before a bar can be read


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


def _run_line(record: RunRecord) -> str:
    style = {"Success": "green", "Warning": "yellow"}.get(record["Status"], "red")
    line = (
        f"[{style}]{record['Status']}[/] {short_time(record['WindowStart'])} to "
        f"{short_time(record['WindowEnd'])}: "
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
