"""The HTML report as a sink."""

from pathlib import Path

from detection.atomic_files import replace_file, resolve_writable
from detection.outbox import Outbox
from detection.report import Row, render
from detection.sinks.failures import as_delivery_error


class ReportFile:
    """A FindingSink that writes one report of all rows it received; a repeated row counts once."""

    def __init__(self, path: Path) -> None:
        """Raise UsageError now if the file cannot be written later."""
        self._path = resolve_writable(path)
        self._rows: list[Row] = []
        self._failed_ids: set[object] = set()
        self._warnings: dict[str, None] = {}
        self._written = False

    def deliver(self, outbox: Outbox) -> None:
        """Rewrite the report if there are new findings or warnings."""
        warnings = [text for row in outbox.runs if (text := _warning_of(row))]
        if self._written and not outbox.findings and not warnings:
            return
        with as_delivery_error(str(self._path), "free space or make it writable, and run again"):
            self._rows += outbox.findings
            self._warnings |= dict.fromkeys(warnings)
            replace_file(self._path, [self._render().encode("utf-8", "replace")])
        self._written = True

    def _render(self) -> str:
        """Return the page; a finding that cannot be rendered is counted and hides no other."""
        while True:
            try:
                return render(self._rows, len(self._failed_ids), list(self._warnings))
            except Exception:
                shown = _renderable(self._rows)
                if len(shown) == len(self._rows):
                    raise
                ids = {row.get("FindingId") for row in shown}
                self._failed_ids |= {row.get("FindingId") for row in self._rows} - ids
                self._rows = shown


def _warning_of(run: Row) -> str:
    """Return the error or reason of a run that may have missed findings; "" if it succeeded."""
    if run.get("Status") == "Success":
        return ""
    return str(run.get("Error") or run.get("Reason") or "")


def _renderable(rows: list[Row]) -> list[Row]:
    """Return the rows that can be rendered; finds the others by bisection."""
    try:
        render(rows)
    except Exception:  # noqa: BLE001 - any error would recur in every run
        half = len(rows) // 2
        return _renderable(rows[:half]) + _renderable(rows[half:]) if half else []
    return rows
