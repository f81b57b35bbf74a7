"""The rows that wait for delivery.

The rows to deliver are decided and written down, whole, together with the ledger that counts them
as reported; only then are they delivered. That makes delivery exact.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import eq
from typing import Any, Generic, NamedTuple, TypeVar, overload

import orjson

DICTIONARY_BYTES = 32_768  # that a compressor looks back

T = TypeVar("T", bound=Mapping[str, Any])


@dataclass(frozen=True, slots=True)
class CompressedRow:
    """A row in compressed JSON, most of it references to `model`, which is JSON of a row like it.

    Calling it gives the row. Raises ValueError or zlib.error if it is damaged.
    """

    body: bytes
    model: bytes

    @classmethod
    def of(cls, row: Mapping[str, Any], model: bytes = b"") -> "CompressedRow":
        """Pack a row, by itself if there is no model."""
        text = orjson.dumps(row)
        model = model or text[-DICTIONARY_BYTES:]
        packing = zlib.compressobj(1, zdict=model)
        return cls(packing.compress(text) + packing.flush(), model)

    def __call__(self) -> Any:
        """Return the row."""
        unpacking = zlib.decompressobj(zdict=self.model)
        text = unpacking.decompress(self.body)
        if not unpacking.eof or unpacking.unused_data:
            raise ValueError("a packed row is cut short, or followed by something else")
        return orjson.loads(text)


class PendingRows(Sequence[T], Generic[T]):
    """Rows that are made anew at every access, each time the same.

    Equal to any sequence of equal rows.
    """

    def __init__(self, makers: Sequence[Callable[[], T]] = ()) -> None:
        self._makers = makers

    def __len__(self) -> int:
        return len(self._makers)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]  # as a list has none

    def __iter__(self) -> Iterator[T]:
        # Sequence's own would take an IndexError in a maker for the end.
        return (make() for make in self._makers)

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> "PendingRows[T]": ...
    def __getitem__(self, place: int | slice) -> Any:
        """Return one of them, or several."""
        if isinstance(place, slice):
            return PendingRows(self._makers[place])
        return self._makers[place]()

    def packed(self) -> Iterator[CompressedRow]:
        """Yield all of them by the model of the first; what is packed by it is not packed anew."""
        model = b""
        for make in self._makers:
            if isinstance(make, CompressedRow) and make.model == (model or make.model):
                row = make
            else:
                row = CompressedRow.of(make(), model)
            model = row.model
            yield row

    @classmethod
    def joined(cls, *several: Sequence[T]) -> "PendingRows[T]":
        """Return one after the other, without making a row."""
        makers: list[Callable[[], T]] = []
        for rows in several:
            if isinstance(rows, PendingRows):
                makers += rows._makers  # noqa: SLF001 - of its own kind
            else:
                makers += [partial(_itself, row) for row in rows]
        return cls(makers)


def _itself(row: T) -> T:
    return row


Row = Mapping[str, object]


class OutboxPosition(NamedTuple):
    """How many findings and how many run records came before, since the first of all."""

    findings: int = 0
    runs: int = 0

    def on(self, findings: int, runs: int) -> "OutboxPosition":
        """Return the place so many rows further on."""
        return OutboxPosition(self.findings + findings, self.runs + runs)


@dataclass(slots=True)
class Outbox:
    """The rows that were decided and not yet delivered, oldest first, and the place of the first.

    Rows are added at the end and leave at the beginning, so that a place tells what was delivered
    even where another run has added rows, or has delivered the same, in the meantime.
    """

    findings: Sequence[Row] = field(default_factory=list)
    runs: Sequence[Row] = field(default_factory=list)
    begin: OutboxPosition = field(default_factory=OutboxPosition)

    def __len__(self) -> int:
        """Return how many rows wait."""
        return len(self.findings) + len(self.runs)

    @property
    def end(self) -> OutboxPosition:
        """The place after the last row."""
        return self.begin.on(len(self.findings), len(self.runs))

    def since(self, place: OutboxPosition) -> "Outbox":
        """Return what is left when all rows before a place have been delivered."""
        findings = max(place.findings - self.begin.findings, 0)
        runs = max(place.runs - self.begin.runs, 0)
        return Outbox(self.findings[findings:], self.runs[runs:], self.begin.on(findings, runs))
