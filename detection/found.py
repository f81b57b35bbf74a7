"""The findings of one window, kept small until they are delivered.

A finding's row takes about 8 kB, and a window may have tens of thousands. So none is kept as a row:
it is written anew whenever it is asked for, from what it was found with, or, once further parts
of the window are read and that has to make room, from its compressed JSON.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, overload

import orjson

from detection.rule.correlate import Group, GroupKey
from detection.schema import Finding

MODEL = 32_768  # bytes that a compressor looks back

Write = Callable[[], Finding]


class Findings(Sequence[Finding]):
    """Findings, earliest first as detect() orders the groups of one part.

    Every access writes the row anew, the same as before.
    """

    def __init__(self, writers: Sequence[Write]) -> None:
        self._writers = writers

    def __len__(self) -> int:
        return len(self._writers)

    def __iter__(self) -> Iterator[Finding]:
        # Sequence's own would take an IndexError in a writer for the end.
        return (write() for write in self._writers)

    @overload
    def __getitem__(self, place: int) -> Finding: ...
    @overload
    def __getitem__(self, place: slice) -> "Findings": ...
    def __getitem__(self, place: int | slice) -> Any:
        """Return one of them, or several."""
        if isinstance(place, slice):
            return Findings(self._writers[place])
        return self._writers[place]()


class Found:
    """Takes the findings of one window, part after part."""

    def __init__(self) -> None:
        self._last: list[tuple[int, GroupKey, Write]] = []
        self._settled: list[tuple[int, GroupKey, Write]] = []
        self._model = b""

    def add(self, group: Group, write: Write) -> None:
        """Keep the finding of a group, and all that `write` holds."""
        self._last.append((group.first_event, group.key, write))

    def settle(self) -> None:
        """Compress the findings so far, and let go of what they were found with."""
        for first, key, write in self._last:
            body = orjson.dumps(write())
            # The first is a model: of the others, most is a reference to it.
            self._model = self._model or body[-MODEL:]
            packing = zlib.compressobj(1, zdict=self._model)
            packed = packing.compress(body) + packing.flush()
            self._settled.append((first, key, partial(_unpacked, packed, self._model)))
        self._last = []

    def in_order(self) -> Findings:
        """Return all of them."""
        found = sorted(self._settled + self._last, key=itemgetter(0, 1))
        return Findings([write for *_, write in found])


def _unpacked(packed: bytes, model: bytes) -> Finding:
    row: Finding = orjson.loads(zlib.decompressobj(zdict=model).decompress(packed))
    return row
