"""One table, made of batches of decoded values into the rows that the rule takes."""

import contextlib
from collections.abc import Sequence
from typing import Any

import orjson

from detection.errors import SourceError
from detection.rule import ticks
from detection.rule.memo import Memo
from detection.rule.rows import TableShape

Batch = dict[str, Sequence[Any]]  # the columns that are there, all of one length
INGESTION_TIME = "IngestionTime"  # the column that says when a row came
ALWAYS_THERE = 0  # 1970: arrived before any moment, and late at none


class Table:
    """The rows of a table, and of one with a column for it, when each arrived (both in ticks).

    Text is as KQL's strings are: null is "", and anything else its text. A row's first columns
    hold few different texts, which are one object each: that makes rows small and quick to
    compare. An absent column reads as all null.
    """

    def __init__(self, shape: TableShape, arrival: str, where: str) -> None:
        """Name the table `where` in errors; `arrival` is the column that says when rows came."""
        self.rows: list[Any] = []
        self.arrivals: list[int] = []
        self.columns: set[str] = set()
        self._shape = shape
        self._arrival = arrival
        self._where = where
        self._seconds = ticks.Seconds()
        self._shared = [_Texts() for _ in shape.columns[: shape.shared]]

    def add(self, batch: Batch, length: int) -> None:
        """Add rows; raises SourceError for a time that cannot be read."""
        self.columns.update(batch)
        place = len(self.rows)
        columns: list[Sequence[Any]] = []
        for number, name in enumerate(self._shape.columns):
            values = batch.get(name) or [""] * length
            if number == 0 and self._shape.timed:
                columns.append(self._times(name, values, place))
            elif number < self._shape.shared:
                columns.append(self._shared[number].of(values))
            elif set(map(type, values)) <= {str}:
                columns.append(values)
            else:
                columns.append(list(map(text_of, values)))
        self.rows += zip(*columns, strict=True)
        if self._arrival in batch:
            values = [value or ticks.text_of(ALWAYS_THERE) for value in batch[self._arrival]]
            self.arrivals += [ALWAYS_THERE] * (place - len(self.arrivals))
            self.arrivals += self._times(self._arrival, values, place)
        elif self.arrivals:
            self.arrivals += [ALWAYS_THERE] * length

    def _times(self, name: str, values: Sequence[Any], place: int) -> list[int]:
        try:
            return self._seconds.parse_column(values)
        except ValueError as error:
            position, reason = error.args
            raise SourceError(
                f"{self._where}: row {place + position + 1}: {name} is unreadable: {reason}"
            ) from None


def text_of(value: object) -> str:
    """Return a value as KQL's tostring() does."""
    if isinstance(value, str):
        return value
    return "" if value is None else orjson.dumps(value).decode()


class _Texts(Memo[Any, str]):
    """Texts by their values, as long as all values are texts or null."""

    def __init__(self) -> None:
        super().__init__(self._text_of)
        self._plain = True

    def of(self, values: Sequence[Any]) -> list[str]:
        """Return a column as texts, equal ones as one object."""
        if self._plain:
            with contextlib.suppress(TypeError):  # an array or object cannot be remembered
                texts = list(map(self.__getitem__, values))
                if self._plain:
                    return texts
        return list(map(text_of, values))

    def _text_of(self, value: object) -> str:
        # 1, 1.0 and true are equal, so that one would be taken for the other.
        self._plain = self._plain and (value is None or isinstance(value, str))
        return text_of(value)
