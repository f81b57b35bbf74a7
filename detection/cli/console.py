"""Standard error of a run: progress, findings as they are found, and one line for each window."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from detection.outbox import Outbox
from detection.pipeline.invocation import Outcome
from detection.printable import counted, one_line
from detection.schema import RunRecord
from detection.sinks.terminal import short_time
from detection.window import Window

PROGRESS_FROM = 4  # windows; fewer finish before anyone can read a progress bar


class Messages(NamedTuple):
    """Standard error: `notes`, which --quiet leaves out, and `warnings`."""

    notes: Console
    warnings: Console

    @classmethod
    def of(cls, *, quiet: bool) -> "Messages":
        """Return the consoles of a command."""
        return cls(
            Console(stderr=True, highlight=False, emoji=False, quiet=quiet),
            Console(stderr=True, highlight=False, emoji=False),
        )


class FoundLines:
    """A FindingSink that prints a line for each finding of a long run as soon as it is found.

    `is_wanted`: no other output shows the findings before the end. `is_long`: the run has enough
    windows for a progress bar.
    """

    def __init__(self, notes: Console) -> None:
        self._notes = notes
        self.is_wanted = False
        self.is_long = False

    def deliver(self, outbox: Outbox) -> None:
        """Print the lines by risk, above the progress bar."""
        if not (self.is_wanted and self.is_long):
            return
        for row in sorted(outbox.findings, key=lambda row: -int(row["RiskScore"])):
            verb = "Found" if row["Revision"] == 1 else "Updated"
            print_line(
                self._notes,
                f"{verb} {row['RiskScore']} {row['SuggestedSeverity']}: {row['FindingTitle']} "
                f"({short_time(row['LastEvent'])})",
            )


def print_line(console: Console, text: str, style: str = "") -> None:
    """Print text as one line, without markup and without terminal control characters."""
    console.print(one_line(text), style=style, markup=False, emoji=False, soft_wrap=True)


def print_warning(console: Console, text: str) -> None:
    """Print a warning as one line."""
    print_line(console, f"warning: {text}", "yellow")


def report_outcome(outcome: Outcome, messages: Messages) -> None:
    """Print the result of each window and all failures; of many windows, only notable ones."""
    notes, warnings = messages
    if not (outcome.due or outcome.records or outcome.failures):
        notes.print("No window is due: everything until now has been examined.")
    elif not (outcome.records or outcome.failures):
        notes.print("No window is left: another run has examined the windows that were due.")
    notable = [r for r in outcome.records if r["Status"] != "Success" or r["FindingsNew"]]
    shown = outcome.records if len(outcome.records) < PROGRESS_FROM else notable
    for record in shown:
        console = notes if record["Status"] == "Success" else warnings
        console.print(_run_line(record), soft_wrap=True)
    if len(outcome.records) > 1:
        new = sum(record["FindingsNew"] for record in outcome.records)
        updated = sum(record["FindingsUpdated"] for record in outcome.records)
        missed = sum(record["NearMisses"] for record in outcome.records)
        misses = f"; {counted(missed, 'near miss', 'near misses')} (named in --runs FILE)"
        notes.print(
            f"{len(outcome.records)} windows: {counted(new, 'new finding')}, {updated} updated"
            f"{misses if missed else ''}."
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
    bar = Progress(
        *columns,
        console=console,
        transient=True,
        redirect_stdout=False,  # else what is printed on stdout would go to this console
        disable=not console.is_terminal,
    )
    with bar:
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
