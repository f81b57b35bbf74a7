"""The rows that wait for delivery.

The rows to deliver are decided and written down, whole, together with the ledger that counts them
as reported; only then are they delivered. That makes delivery exact.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

Row = Mapping[str, object]


class Place(NamedTuple):
    """How many findings and how many run records came before, since the first of all."""

    findings: int = 0
    runs: int = 0

    def on(self, findings: int, runs: int) -> "Place":
        """Return the place so many rows further on."""
        return Place(self.findings + findings, self.runs + runs)


@dataclass(slots=True)
class Outbox:
    """The rows that were decided and not yet delivered, oldest first, and the place of the first.

    Rows are added at the end and leave at the beginning, so that a place tells what was delivered
    even where another run has added rows, or has delivered the same, in the meantime.
    """

    findings: Sequence[Row] = field(default_factory=list)
    runs: Sequence[Row] = field(default_factory=list)
    begin: Place = field(default_factory=Place)

    def __len__(self) -> int:
        """Return how many rows wait."""
        return len(self.findings) + len(self.runs)

    @property
    def end(self) -> Place:
        """The place after the last row."""
        return self.begin.on(len(self.findings), len(self.runs))

    def since(self, place: Place) -> "Outbox":
        """Return what is left when all rows before a place have been delivered."""
        findings = max(place.findings - self.begin.findings, 0)
        runs = max(place.runs - self.begin.runs, 0)
        return Outbox(self.findings[findings:], self.runs[runs:], self.begin.on(findings, runs))
