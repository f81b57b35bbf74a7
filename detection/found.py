"""The findings of one window, kept small while further parts of it are read."""

import zlib
from collections.abc import Iterator, Sequence
from typing import Any, overload

import orjson

from detection.rule.correlate import Group, GroupKey
from detection.schema import Finding

MODEL = 32_768  # bytes that a compressor looks back


class Written(Sequence[Finding]):
    """Findings in compressed JSON, read one at a time: they take a tenth of the room.

    `model` is a finding's JSON, which others resemble: most of each is a reference to it.
    """

    def __init__(self, lines: Sequence[bytes], model: bytes) -> None:
        self._lines = lines
        self._model = model

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[Finding]:
        return (_read(line, self._model) for line in self._lines)

    @overload
    def __getitem__(self, place: int) -> Finding: ...
    @overload
    def __getitem__(self, place: slice) -> "Written": ...
    def __getitem__(self, place: int | slice) -> Any:
        """Return one of them, or several."""
        if isinstance(place, slice):
            return Written(self._lines[place], self._model)
        return _read(self._lines[place], self._model)


def _written(row: Finding, model: bytes) -> bytes:
    packing = zlib.compressobj(1, zdict=model)
    return packing.compress(orjson.dumps(row)) + packing.flush()


def _read(line: bytes, model: bytes) -> Finding:
    row: Finding = orjson.loads(zlib.decompressobj(zdict=model).decompress(line))
    return row


class Found:
    """Findings, in the order of their groups in the end."""

    def __init__(self) -> None:
        self._last: list[tuple[int, GroupKey, Finding]] = []
        self._written: list[tuple[int, GroupKey, bytes]] = []
        self._model = b""

    def add(self, group: Group, finding: Finding) -> None:
        """Keep a finding."""
        self._last.append((group.first_event, group.key, finding))

    def settle(self) -> None:
        """Write the findings so far down, before another part is read."""
        if self._last and not self._model:
            self._model = orjson.dumps(self._last[0][2])[-MODEL:]
        for first, key, row in self._last:
            self._written.append((first, key, _written(row, self._model)))
        self._last = []

    def in_order(self) -> Sequence[Finding]:
        """Return all findings, earliest first, as detect() orders the groups of one part."""
        if not self._written:
            return [row for *_, row in self._last]
        self.settle()
        self._written.sort(key=lambda item: item[:2])
        return Written([line for *_, line in self._written], self._model)
