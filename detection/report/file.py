"""The report as a place where findings go."""

from pathlib import Path

from detection.errors import DeliveryError
from detection.outbox import Outbox
from detection.report import Row, render
from detection.sinks.files import replace, writable


class ReportFile:
    """A FindingSink that keeps a report of all that it was given; a repeated row counts once."""

    def __init__(self, path: Path) -> None:
        """Raise UsageError now if the file cannot be written later."""
        self._path = writable(path)
        self._rows: list[Row] = []
        self._written = False

    def deliver(self, outbox: Outbox) -> None:
        """Write the report anew if there is something new to show."""
        self._rows += outbox.findings
        if self._written and not outbox.findings:
            return
        try:
            replace(self._path, [render(self._rows).encode("utf-8", "replace")])
        except OSError as error:
            raise DeliveryError(f"{self._path} could not be written: {error.strerror}") from error
        self._written = True
