"""The HTML report as a sink."""

from pathlib import Path

from detection.atomic_files import replace_file, resolve_writable
from detection.outbox import Outbox
from detection.report.facts import run_facts
from detection.report.findings import ALL, Row, Selection
from detection.report.page import render
from detection.sinks.failures import as_delivery_error


class ReportFile:
    """A FindingSink that writes one report of all rows it received; a repeated row counts once."""

    def __init__(self, path: Path, selection: Selection = ALL) -> None:
        """Raise UsageError now if the file cannot be written later."""
        self._path = resolve_writable(path)
        self._selection = selection
        self._rows: list[Row] = []
        self._runs: list[Row] = []
        self._failed_ids: set[object] = set()
        self._written_runs = -1  # run records in the file; -1 before there is a file

    def deliver(self, outbox: Outbox) -> None:
        """Rewrite the report if there are new findings or warnings."""
        self._rows += outbox.findings
        self._runs += outbox.runs
        if self._written_runs < 0 or outbox.findings or run_facts(outbox.runs).warnings:
            self._write()

    def finish(self) -> None:
        """Rewrite the report if it lacks facts of the latest runs."""
        if 0 <= self._written_runs < len(self._runs):
            self._write()

    def _write(self) -> None:
        with as_delivery_error(str(self._path), "free space or make it writable, and run again"):
            replace_file(self._path, [self._render().encode("utf-8", "replace")])
        self._written_runs = len(self._runs)

    def _render(self) -> str:
        """Return the page; a finding that cannot be rendered is counted and hides no other."""
        while True:
            try:
                return render(self._rows, self._runs, len(self._failed_ids), self._selection)
            except Exception:
                shown = _renderable(self._rows)
                if len(shown) == len(self._rows):
                    raise
                ids = {row.get("FindingId") for row in shown}
                self._failed_ids |= {row.get("FindingId") for row in self._rows} - ids
                self._rows = shown


def _renderable(rows: list[Row]) -> list[Row]:
    """Return the rows that can be rendered; finds the others by bisection."""
    try:
        render(rows)
    except Exception:  # noqa: BLE001 - any error would recur in every run
        half = len(rows) // 2
        return _renderable(rows[:half]) + _renderable(rows[half:]) if half else []
    return rows
