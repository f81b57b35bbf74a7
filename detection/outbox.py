"""The outbox: rows that were written down with the state and wait for delivery.

Each row is made once: the state and every sink get the same row. Findings are kept compressed,
because a finding takes 8 kB as JSON and five times as much as a dict, and tens of thousands may
wait.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import eq
from typing import Any, Generic, NamedTuple, TypeVar, overload

import orjson

DICTIONARY_BYTES = 32_768  # the longest preset dictionary that DEFLATE uses

Row = Mapping[str, Any]
T = TypeVar("T", bound=Row)


class RowCompressor:
    """Compresses rows with the first row as zlib's preset dictionary: rows are mostly equal."""

    def __init__(self, dictionary: bytes = b"") -> None:
        self.dictionary = dictionary

    def compress(self, row: Row) -> bytes:
        """Return the compressed JSON of a row; raises TypeError if it cannot be JSON."""
        text = orjson.dumps(row)
        self.dictionary = self.dictionary or text[-DICTIONARY_BYTES:]
        compressor = zlib.compressobj(1, zdict=self.dictionary)
        return compressor.compress(text) + compressor.flush()


class PendingRows(Sequence[T], Generic[T]):
    """Rows that are decompressed at every access; equal to any sequence of equal rows.

    Raises ValueError or zlib.error at the access to a damaged row.
    """

    def __init__(self, dictionary: bytes = b"", bodies: Sequence[bytes] = ()) -> None:
        """`bodies` are the rows, compressed by a RowCompressor with this dictionary."""
        self.dictionary = dictionary if bodies else b""  # an empty outbox needs none in the state
        self.bodies = bodies

    @classmethod
    def of(cls, rows: Iterable[T], dictionary: bytes = b"") -> "PendingRows[T]":
        """Compress rows."""
        compressor = RowCompressor(dictionary)
        bodies = list(map(compressor.compress, rows))
        return cls(compressor.dictionary, bodies)

    def __len__(self) -> int:
        return len(self.bodies)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]  # like a list

    def __iter__(self) -> Iterator[T]:
        return map(self._row, self.bodies)

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> "PendingRows[T]": ...
    def __getitem__(self, place: int | slice) -> Any:
        """Return one row, or several still compressed."""
        if isinstance(place, slice):
            return PendingRows[T](self.dictionary, self.bodies[place])
        return self._row(self.bodies[place])

    def followed_by(self, rows: "PendingRows[T]") -> "PendingRows[T]":
        """Return these rows and then the given ones, all with one dictionary."""
        if not self:
            return rows
        if rows.dictionary != self.dictionary:
            rows = PendingRows.of(rows, self.dictionary)
        return PendingRows(self.dictionary, [*self.bodies, *rows.bodies])

    def sorted(self, key: Callable[[T], int]) -> "PendingRows[T]":
        """Return the rows by a key, the smallest first; rows of equal keys keep their order."""
        keys = list(map(key, self))
        order = sorted(range(len(self)), key=keys.__getitem__)
        return PendingRows(self.dictionary, [self.bodies[place] for place in order])

    def _row(self, body: bytes) -> Any:
        decompressor = zlib.decompressobj(zdict=self.dictionary)
        text = decompressor.decompress(body)
        if not decompressor.eof or decompressor.unused_data:
            raise ValueError("a compressed row is cut short, or followed by something else")
        return orjson.loads(text)


class OutboxPosition(NamedTuple):
    """A position in the rows that were ever put into the outbox: the numbers of rows before it."""

    findings: int = 0
    runs: int = 0

    def advanced(self, findings: int, runs: int) -> "OutboxPosition":
        """Return the position some rows further on."""
        return OutboxPosition(self.findings + findings, self.runs + runs)


@dataclass(slots=True)
class Outbox:
    """The rows that wait for delivery, oldest first, and the position of the first.

    Rows are added at the end and leave at the beginning. So a position says which rows were
    delivered even if another run has added or delivered rows in the meantime.
    """

    findings: Sequence[Row] = field(default_factory=PendingRows)
    runs: Sequence[Row] = field(default_factory=list)
    begin: OutboxPosition = field(default_factory=OutboxPosition)

    def __len__(self) -> int:
        """Return the number of rows that wait."""
        return len(self.findings) + len(self.runs)

    @property
    def end(self) -> OutboxPosition:
        """The position after the last row."""
        return self.begin.advanced(len(self.findings), len(self.runs))

    def after(self, position: OutboxPosition) -> "Outbox":
        """Return the rows that are left once all rows before a position were delivered."""
        findings = max(position.findings - self.begin.findings, 0)
        runs = max(position.runs - self.begin.runs, 0)
        return Outbox(
            self.findings[findings:], self.runs[runs:], self.begin.advanced(findings, runs)
        )

    def with_rows(self, findings: Sequence[Row], run: Row) -> "Outbox":
        """Return the outbox with the findings of a window and its run record added."""
        waiting = pending(self.findings).followed_by(pending(findings))
        return Outbox(waiting, [*self.runs, run], self.begin)


def pending(rows: Sequence[Row]) -> PendingRows[Row]:
    """Return rows compressed; those that are compressed already as they are."""
    return rows if isinstance(rows, PendingRows) else PendingRows.of(rows)
