"""The outputs of a run at a terminal: files, report and standard output."""

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from detection.errors import UsageError
from detection.outbox import Outbox, PendingRows, Row, pending
from detection.report.findings import Selection
from detection.sinks import FindingSink
from detection.sinks.jsonl import JsonLinesFile, JsonLinesStream
from detection.sinks.terminal import PLAIN_VIEW, FindingsTable, FindingsView


class OutputFiles(NamedTuple):
    """The output files; None for a file that is not requested."""

    output: Path | None
    runs: Path | None
    report: Path | None


class Outputs:
    """The sinks of files and terminal, some of which write only when a run has finished."""

    def __init__(self, sinks: Iterable[FindingSink] = ()) -> None:
        self.sinks = list(sinks)
        self._at_end: list[Callable[[], None]] = []

    def add_report(self, path: Path, selection: Selection) -> None:
        """Add the HTML report; raises UsageError if it cannot be written."""
        # Takes a quarter of a second to import, which only a report needs.
        from detection.sinks.html_report import ReportFile  # noqa: PLC0415

        report = ReportFile(path, selection)
        self.sinks.append(report)
        self._at_end.append(report.finish)

    def add_json(self) -> None:
        """Add JSON Lines on stdout; raises UsageError if it is closed."""
        _check_stdout()
        self.sinks.append(JsonLinesStream(sys.stdout.buffer, _findings))

    def add_table(self, view: FindingsView, *, at_once: bool = False) -> None:
        """Add the table of findings on stdout; raises UsageError if it is closed."""
        _check_stdout()
        table = FindingsTable(Console(), view, at_once=at_once)
        self.sinks.append(table)
        self._at_end.append(table.finish)

    def finish(self) -> None:
        """Write what waits for the end of a run; raises what a delivery raises."""
        for write in self._at_end:
            write()


def outputs_of(
    files: OutputFiles, view: FindingsView, *, as_json: bool, dry_run: bool, append: bool
) -> Outputs:
    """Return the outputs; `append` is True if a state remembers what they were given.

    Raises UsageError for a view that nothing shows.
    """
    outputs = Outputs(
        JsonLinesFile(path, select, append=append)
        for path, select in ((files.output, _findings), (files.runs, _runs))
        if path is not None and not dry_run
    )
    if files.report is not None and not dry_run:
        outputs.add_report(files.report, view.selection)
    has_table = not as_json and (files.output is None or dry_run)
    if view.has_all_details and not has_table:
        raise UsageError(
            "--details is for the table: leave it out, or leave out --json or --output"
        )
    if view != PLAIN_VIEW and not has_table and files.report is None:
        raise UsageError(
            "--min-risk and --top are for the table and the report, and --json and --output hold "
            "every finding: leave them out, or add --report FILE"
        )
    if has_table:
        outputs.add_table(view, at_once=append)
    elif as_json:
        outputs.add_json()
    return outputs


def _check_stdout() -> None:
    if sys.stdout is None:  # closed by the shell with >&-
        raise UsageError("standard output is closed: open it, or redirect it to a file")


def _findings(outbox: Outbox) -> PendingRows[Row]:
    """Return the findings of a delivery, highest score first."""
    return pending(outbox.findings).sorted(lambda row: -int(row["RiskScore"]))


def _runs(outbox: Outbox) -> Sequence[Row]:
    return outbox.runs
