"""The report as a place where findings go."""

from pathlib import Path

from detection.atomic_files import replace, writable
from detection.outbox import Outbox
from detection.report import Row, render
from detection.sinks.failures import as_delivery_error


class ReportFile:
    """A FindingSink that keeps a report of all that it was given; a repeated row counts once."""

    def __init__(self, path: Path) -> None:
        """Raise UsageError now if the file cannot be written later."""
        self._path = writable(path)
        self._rows: list[Row] = []
        self._unshown: set[object] = set()
        self._warnings: dict[str, None] = {}
        self._written = False

    def deliver(self, outbox: Outbox) -> None:
        """Write the report anew if there is something new to show."""
        warnings = [text for row in outbox.runs if (text := _warning(row))]
        if self._written and not outbox.findings and not warnings:
            return
        with as_delivery_error(str(self._path), "free space or make it writable, and run again"):
            self._rows += outbox.findings
            self._warnings |= dict.fromkeys(warnings)
            replace(self._path, [self._page().encode("utf-8", "replace")])
        self._written = True

    def _page(self) -> str:
        """Return the page; a finding that cannot be shown is counted and does not hide others."""
        while True:
            try:
                return render(self._rows, len(self._unshown), list(self._warnings))
            except Exception:
                shown = _showable(self._rows)
                if len(shown) == len(self._rows):
                    raise
                ids = {row.get("FindingId") for row in shown}
                self._unshown |= {row.get("FindingId") for row in self._rows} - ids
                self._rows = shown


def _warning(run: Row) -> str:
    """Return what a run record says that may have hidden a finding; "" if nothing."""
    if run.get("Status") == "Success":
        return ""
    return str(run.get("Error") or run.get("Reason") or "")


def _showable(rows: list[Row]) -> list[Row]:
    """Return the rows without those, searched for by halves, that no page can be made of."""
    try:
        render(rows)
    except Exception:  # noqa: BLE001 - whatever it is, it would come again in every run
        half = len(rows) // 2
        return _showable(rows[:half]) + _showable(rows[half:]) if half else []
    return rows
