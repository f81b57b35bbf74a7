"""The findings of one window, while it is read part by part."""

from collections.abc import Callable
from operator import itemgetter

from detection.outbox import (
    CompressedRow,
    PendingRows,
)
from detection.rule.correlate import Group, GroupKey
from detection.schema import Finding

Write = Callable[[], Finding]


class Found:
    """Takes findings as what writes them down, and keeps them small."""

    def __init__(self) -> None:
        self._last: list[tuple[int, GroupKey, Write]] = []
        self._settled: list[tuple[int, GroupKey, Write]] = []
        self._model = b""  # what the settled ones are packed by

    def add(self, group: Group, write: Write) -> None:
        """Keep the finding of a group, and all that `write` holds."""
        self._last.append((group.first_event, group.key, write))

    def settle(self) -> None:
        """Pack the findings so far, and let go of what they were found with."""
        for first, key, write in self._last:
            packed = CompressedRow.of(write(), self._model)
            self._settled.append((first, key, packed))
            self._model = packed.model
        self._last = []

    def in_order(self) -> PendingRows[Finding]:
        """Return all of them, earliest first, as detect() orders the groups of one part."""
        found = sorted(self._settled + self._last, key=itemgetter(0, 1))
        return PendingRows([write for *_, write in found])
