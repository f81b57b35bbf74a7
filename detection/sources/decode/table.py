"""One table, made of batches of decoded values into the rows that the rule takes."""

import contextlib
from array import array
from collections.abc import Collection, Sequence
from itertools import compress
from operator import and_
from typing import Any

import orjson

from detection.errors import SourceError
from detection.rule import ticks
from detection.rule.log_rows import TableShape
from detection.rule.memo import Memo
from detection.sources.prefilter import Candidates

Columns = dict[str, Sequence[Any]]  # the columns that are there, all of one length
INGESTION_TIME = "IngestionTime"  # the column that says when a row came
ROW_LIMIT = 500_000  # rows of one answer; the service cuts off what is more
ALREADY_ARRIVED = 0  # 1970: arrived before any moment, and late at none


class Table:
    """The rows of a table that are candidates, and of one with a column for it, when each arrived.

    Text is as KQL's strings are: null is "", and anything else its text. A row's first columns
    hold few different texts, which are one object each: that makes rows small and quick to
    compare. An absent column reads as all null.

    `times` and `arrivals` are those of all rows, candidates or not; `row_arrivals` are those of
    `rows`. All are in ticks. Where no row says when it came, arrivals are empty.
    """

    def __init__(self, shape: TableShape, arrival: str, where: str, candidates: Candidates) -> None:
        """Name the table `where` in errors; `arrival` is the column that says when rows came."""
        self.rows: list[Any] = []
        self.row_arrivals = array("q")
        self.times = array("q")
        self.arrivals = array("q")
        self.columns: set[str] = set()
        self.nones: list[str] = []  # the columns with the text "None" that may stand for null
        self._shape = shape
        self._arrival = arrival
        self._where = where
        self._read = 0
        self._minutes = ticks.TimeParser()
        self._shared = {name: _InternedTexts() for name in shape.columns[: shape.shared]}
        self._judged = {name: Memo[str, bool](judge) for name, judge in candidates.items()}

    @property
    def length(self) -> int:
        """How many rows were read, candidates or not."""
        return self._read

    def texts(self, name: str) -> Collection[str]:
        """Return the different texts of a shared column, as far as they were told apart."""
        return self._shared[name].values()

    def add(self, batch: Columns, length: int) -> None:
        """Add rows; raises SourceError for a cell that cannot be read."""
        before = self._read
        try:
            self._add(batch, length)
        except TypeError:  # of text_of()
            self._blame(batch, before)
            raise

    def _add(self, batch: Columns, length: int) -> None:
        self.columns.update(batch)
        absent = [""] * length
        columns: Columns = {name: batch.get(name) or absent for name in self._shape.columns}
        if self._shape.timed:
            time = self._shape.columns[0]
            columns[time] = read = self._times(time, columns[time])
            self.times.extend(read)
        arrivals = self._arrivals_of(batch, length)
        self._read += length
        keep = self._candidates_among(columns)
        if keep is not None:
            columns = {name: list(compress(values, keep)) for name, values in columns.items()}
            arrivals = list(compress(arrivals, keep))
        self.rows += zip(*map(self._texts, columns, columns.values()), strict=True)
        self.row_arrivals.extend(arrivals)

    def _candidates_among(self, columns: Columns) -> list[bool] | None:
        """Return which rows to keep; None means all of them."""
        keep: list[bool] | None = None
        for name, judge in self._judged.items():
            columns[name] = self._shared[name].of(columns[name])
            flags = list(map(judge.__getitem__, columns[name]))
            keep = flags if keep is None else list(map(and_, keep, flags))
        return None if keep is None or all(keep) else keep

    def _texts(self, name: str, values: Sequence[Any]) -> Sequence[Any]:
        """Return a column as texts; times are numbers already, and candidates' columns texts."""
        if name in self._judged or (self._shape.timed and name == self._shape.columns[0]):
            return values
        if name in self._shared:
            return self._shared[name].of(values)
        try:
            "".join(values)
        except TypeError:  # they are not all texts
            return list(map(kql_tostring, values))
        return values

    def _arrivals_of(self, batch: Columns, length: int) -> list[int]:
        """Return when the rows came; none while no row has told."""
        if self._arrival in batch:
            values = [value or ticks.format_time(ALREADY_ARRIVED) for value in batch[self._arrival]]
            arrivals = self._times(self._arrival, values)
            if not self.arrivals:
                self.arrivals.extend([ALREADY_ARRIVED] * self._read)
                self.row_arrivals.extend([ALREADY_ARRIVED] * len(self.rows))
        elif self.arrivals:
            arrivals = [ALREADY_ARRIVED] * length
        else:
            return []
        self.arrivals.extend(arrivals)
        return arrivals

    def _times(self, name: str, values: Sequence[Any]) -> list[int]:
        try:
            return self._minutes.parse_column(values)
        except ValueError as error:
            position, reason = error.args
            raise SourceError(
                f"{self._where}: row {self._read + position + 1}: {name} is unreadable: {reason}"
            ) from None

    def _blame(self, batch: Columns, before: int) -> None:
        """Raise SourceError for the first cell that is nested too deeply to be written."""
        for name, values in batch.items():
            for position, value in enumerate(values):
                try:
                    kql_tostring(value)
                except TypeError as error:
                    raise SourceError(
                        f"{self._where}: row {before + position + 1}: {name} is nested too "
                        "deeply to be read: leave that value out"
                    ) from error


def kql_tostring(value: object) -> str:
    """Return a value as KQL's tostring() does; raises TypeError if it is nested too deeply."""
    if isinstance(value, str):
        return value
    return "" if value is None else orjson.dumps(value).decode()


class _InternedTexts(dict[Any, str]):
    """Texts by their values, as long as all values are texts or null."""

    def __init__(self) -> None:
        super().__init__()
        self._plain = True

    def __missing__(self, value: object) -> str:
        """Remember a value met for the first time."""
        # 1, 1.0 and true are equal, so that one would be taken for the other.
        self._plain = self._plain and (value is None or isinstance(value, str))
        text = self[value] = kql_tostring(value)
        return text

    def of(self, values: Sequence[Any]) -> list[str]:
        """Return a column as texts, equal ones as one object."""
        if self._plain:
            with contextlib.suppress(TypeError):  # an array or object cannot be remembered
                texts = list(map(self.__getitem__, values))
                if self._plain:
                    return texts
        return list(map(kql_tostring, values))
