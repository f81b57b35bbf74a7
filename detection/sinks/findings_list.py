"""Shows findings to a person: those of all windows together, the highest risk first."""

from collections import Counter
from collections.abc import Sequence
from typing import Final, Protocol

from detection.outbox import Outbox, Row
from detection.printable import counted
from detection.report.findings import ALL, SEVERITIES, Selection, united
from detection.sinks.failures import standard_output_errors

# Characters of one value: more than any id has. A longer text would hide the other values.
MAX_VALUE_LENGTH: Final = 1_000


class FindingsView(Protocol):
    """One form of the list of findings."""

    def show(self, findings: Sequence[Row], unshown: int) -> None:
        """Print the findings, which are in order; `unshown`: the number of those left out."""
        ...


class FindingsList:
    """A FindingSink that shows one list of findings, each with its revisions united.

    It collects what is delivered, because windows are delivered one by one, and shows it at
    `finish`. With `at_once` it shows each delivery: where a state remembers what was delivered,
    nothing must be lost if the program dies before the end.
    """

    def __init__(
        self, view: FindingsView, selection: Selection = ALL, *, at_once: bool = False
    ) -> None:
        self._view = view
        self._selection = selection
        self._at_once = at_once
        self._rows: list[Row] = []

    def deliver(self, outbox: Outbox) -> None:
        """Take the findings, and show them with `at_once`; then raises what `finish` raises."""
        self._rows += outbox.findings
        if self._at_once:
            self.finish()

    def finish(self) -> None:
        """Show the findings taken; raises SystemExit if the pipe is closed, or DeliveryError."""
        rows, self._rows = self._rows, []
        if not rows:
            return
        with standard_output_errors():
            self._view.show(*self._selection.of(united(rows)))


def summary(findings: Sequence[Row], unshown: int) -> str:
    """Return the number of findings, also by severity, and of those that are not shown."""
    severities = Counter(row["SuggestedSeverity"] for row in findings)
    parts = ", ".join(f"{severities[name]} {name}" for name in SEVERITIES if severities[name])
    text = counted(len(findings), "finding") + (f": {parts}." if parts else ".")
    if unshown:
        text += f" {counted(unshown, 'finding')} not shown, because of --min-risk or --top."
    return text


def problem(row: Row, error: Exception) -> str:
    """Return the sentence that stands for a finding that cannot be shown."""
    return (
        f"Finding {row.get('FindingId')} cannot be shown ({type(error).__name__}): "
        "use --format json or --output to see all of it"
    )
