"""The outputs of a run at a terminal: files, report and standard output."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from detection.errors import UsageError
from detection.outbox import Outbox, Row
from detection.sinks import FindingSink
from detection.sinks.jsonl import JsonLinesFile, JsonLinesStream
from detection.sinks.terminal import FindingsTable


class OutputFiles(NamedTuple):
    """The output files; None for a file that is not requested."""

    output: Path | None
    runs: Path | None
    report: Path | None


def sinks_of(
    files: OutputFiles, *, as_json: bool, dry_run: bool, append: bool
) -> list[FindingSink]:
    """Return the sinks for files and terminal."""
    sinks: list[FindingSink] = []
    for path, select in ((files.output, _findings), (files.runs, _runs)):
        if path is not None and not dry_run:
            sinks.append(JsonLinesFile(path, select, append=append))
    if files.report is not None and not dry_run:
        sinks.append(report_sink(files.report))
    if as_json or files.output is None or dry_run:
        sinks.append(stdout(as_json=as_json))
    return sinks


def report_sink(path: Path) -> FindingSink:
    """Return the sink that writes the HTML report."""
    # Takes a quarter of a second to import, which only a report needs.
    from detection.sinks.html_report import ReportFile  # noqa: PLC0415

    return ReportFile(path)


def stdout(*, as_json: bool) -> FindingSink:
    """Return the sink that prints findings on stdout; raises UsageError if it is closed."""
    if sys.stdout is None:  # closed by the shell with >&-
        raise UsageError("standard output is closed: open it, or redirect it to a file")
    if as_json:
        return JsonLinesStream(sys.stdout.buffer, _findings)
    return FindingsTable(Console())


def _findings(outbox: Outbox) -> Sequence[Row]:
    return outbox.findings


def _runs(outbox: Outbox) -> Sequence[Row]:
    return outbox.runs
