"""Terminal output of a run: progress, and one line for each window."""

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
from detection.printable import counted, one_line
from detection.schema import RunRecord
from detection.sinks.terminal import short_time
from detection.window import Window

PROGRESS_FROM = 4  # windows; fewer finish before anyone can read a progress bar


def print_line(console: Console, text: str, style: str = "") -> None:
    """Print text as one line, without markup and without terminal control characters."""
    console.print(one_line(text), style=style, markup=False, emoji=False, soft_wrap=True)


def report_outcome(outcome: Outcome, console: Console) -> None:
    """Print the result of each window and all failures; of many windows, only notable ones."""
    if not (outcome.due or outcome.records or outcome.failures):
        console.print("No window is due: everything until now has been examined.")
    elif not (outcome.records or outcome.failures):
        console.print("No window is left: another run has examined the windows that were due.")
    notable = [r for r in outcome.records if r["Status"] != "Success" or r["FindingsNew"]]
    shown = outcome.records if len(outcome.records) < PROGRESS_FROM else notable
    for record in shown:
        console.print(_run_line(record), soft_wrap=True)
    if len(outcome.records) > 1:
        new = sum(record["FindingsNew"] for record in outcome.records)
        updated = sum(record["FindingsUpdated"] for record in outcome.records)
        missed = sum(record["NearMisses"] for record in outcome.records)
        misses = f"; {counted(missed, 'near miss', 'near misses')} (named in --runs FILE)"
        console.print(
            f"{len(outcome.records)} windows: {counted(new, 'new finding')}, {updated} updated"
            f"{misses if missed else ''}.",
            highlight=False,
        )


def with_progress(windows: Sequence[Window], console: Console) -> Iterator[Window]:
    """Yield the windows, with a progress bar if there are many."""
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
    sign_ins = matched_text("sign-in", record["SignInsMatched"], record["SignInsRead"])
    operations = matched_text("operation", record["OperationsMatched"], record["OperationsRead"])
    line += (
        f"{sign_ins} and {operations} matched, "
        f"{counted(record['FindingsNew'], 'new finding')}, {record['FindingsUpdated']} updated, "
        f"{record['FindingsUnchanged']} unchanged."
    )
    return line + (" " + escape(one_line(record["Reason"])) + "." if record["Reason"] else "")


def matched_text(noun: str, matched: int, read: int) -> str:
    """Return the numbers of matching and read rows; a workspace may count matches unread."""
    if read < matched:
        return f"{counted(matched, noun)} ({read} of them read)"
    return f"{matched} of {counted(read, noun)}"
