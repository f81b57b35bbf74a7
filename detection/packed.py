"""Rows kept small until somebody asks for them.

A finding's row is 8 kB of JSON, five times that as a dict, and tens of thousands may wait for
delivery. So none is kept as a row: each is made when it is asked for, from what it was found with
or from its compressed JSON.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import eq
from typing import Any, Generic, TypeVar, overload

import orjson

MODEL_BYTES = 32_768  # that a compressor looks back

T = TypeVar("T", bound=Mapping[str, Any])


@dataclass(frozen=True, slots=True)
class Packed:
    """A row in compressed JSON, most of it references to `model`, which is JSON of a row like it.

    Calling it gives the row. Raises ValueError or zlib.error if it is damaged.
    """

    body: bytes
    model: bytes

    @classmethod
    def of(cls, row: Mapping[str, Any], model: bytes = b"") -> "Packed":
        """Pack a row, by itself if there is no model."""
        text = orjson.dumps(row)
        model = model or text[-MODEL_BYTES:]
        packing = zlib.compressobj(1, zdict=model)
        return cls(packing.compress(text) + packing.flush(), model)

    def __call__(self) -> Any:
        """Return the row."""
        unpacking = zlib.decompressobj(zdict=self.model)
        text = unpacking.decompress(self.body)
        if not unpacking.eof or unpacking.unused_data:
            raise ValueError("a packed row is cut short, or followed by something else")
        return orjson.loads(text)


class Rows(Sequence[T], Generic[T]):
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
    def __getitem__(self, place: slice) -> "Rows[T]": ...
    def __getitem__(self, place: int | slice) -> Any:
        """Return one of them, or several."""
        if isinstance(place, slice):
            return Rows(self._makers[place])
        return self._makers[place]()

    def packed(self) -> Iterator[Packed]:
        """Yield all of them by the model of the first; what is packed by it is not packed anew."""
        model = b""
        for make in self._makers:
            if isinstance(make, Packed) and make.model == (model or make.model):
                row = make
            else:
                row = Packed.of(make(), model)
            model = row.model
            yield row

    @classmethod
    def joined(cls, *several: Sequence[T]) -> "Rows[T]":
        """Return one after the other, without making a row."""
        makers: list[Callable[[], T]] = []
        for rows in several:
            if isinstance(rows, Rows):
                makers += rows._makers  # noqa: SLF001 - of its own kind
            else:
                makers += [partial(_itself, row) for row in rows]
        return cls(makers)


def _itself(row: T) -> T:
    return row
