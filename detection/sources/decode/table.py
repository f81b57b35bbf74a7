"""Turns batches of decoded values into the rows of one table, as the rule reads them."""

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

Columns = dict[str, Sequence[Any]]  # the present columns by name, all of one length
INGESTION_TIME = "IngestionTime"  # the column with the time when a row arrived
ROW_LIMIT = 500_000  # rows; Log Analytics truncates a longer answer
ALREADY_ARRIVED = 0  # ticks: in 1970, so the row is always there and never late


class Table:
    """The candidate rows of a table, and their ingestion times if the table has that column.

    `rows` are tuples in the order of the shape's columns: the time in ticks if the table is timed,
    then texts. Texts are those of KQL's tostring(), and null is "". An absent column is all null.
    Equal texts of the shape's `shared` columns are one object, so that rows are small and quick to
    compare.

    `times` and `arrivals` (ticks) have an item for each row that was read, candidate or not, and
    `row_arrivals` one for each of `rows`. Both kinds of arrivals are empty if no row has an
    ingestion time. `columns` names the present columns.
    """

    def __init__(
        self,
        shape: TableShape,
        arrival_column: str,
        where: str,
        candidates: Candidates,
        times: ticks.TimeParser | None = None,
    ) -> None:
        """`where` names the table in errors; `arrival_column` holds the ingestion times.

        `times` reads all times; default: those of ISO 8601.
        """
        self.rows: list[Any] = []
        self.row_arrivals = array("q")
        self.times = array("q")
        self.arrivals = array("q")
        self.columns: set[str] = set()
        self.none_text_columns: list[str] = []  # columns whose text "None" may be a null
        self._shape = shape
        self._arrival_column = arrival_column
        self._where = where
        self._row_count = 0
        self._time_parser = times or ticks.TimeParser()
        self._shared = {name: _InternedTexts() for name in shape.columns[: shape.shared]}
        self._filters = {name: Memo[str, bool](accepts) for name, accepts in candidates.items()}

    @property
    def length(self) -> int:
        """The number of rows read, candidates or not."""
        return self._row_count

    def texts(self, name: str) -> Collection[str]:
        """Return the distinct texts of a shared column; incomplete if some cells are not texts."""
        return self._shared[name].values()

    def extend(self, other: "Table") -> None:
        """Add the rows of another part of the table, which has the same shape."""
        if self.arrivals or other.arrivals:
            for table in (self, other):
                table.complete_arrivals()
        self.rows += other.rows
        self.row_arrivals += other.row_arrivals
        self.times += other.times
        self.arrivals += other.arrivals
        self.columns |= other.columns
        self.none_text_columns = sorted({*self.none_text_columns, *other.none_text_columns})
        self._row_count += other.length
        for name, known in self._shared.items():
            known.update((text, text) for text in other.texts(name))

    def complete_arrivals(self) -> None:
        """Note for all rows that they were always there, if none has an ingestion time."""
        if not self.arrivals:
            self.arrivals.extend([ALREADY_ARRIVED] * self._row_count)
            self.row_arrivals.extend([ALREADY_ARRIVED] * len(self.rows))

    def add(self, batch: Columns, length: int) -> None:
        """Add `length` rows, given by column; raises SourceError for an unreadable cell."""
        rows_before = self._row_count
        try:
            self._add(batch, length)
        except TypeError:  # raised by kql_tostring()
            self._raise_for_nested_cell(batch, rows_before)
            raise

    def _add(self, batch: Columns, length: int) -> None:
        self.columns.update(batch)
        absent = [""] * length
        columns: Columns = {name: batch.get(name) or absent for name in self._shape.columns}
        if self._shape.timed:
            time = self._shape.columns[0]
            columns[time] = read = self._parse_times(time, columns[time])
            self.times.extend(read)
        arrivals = self._arrivals_of(batch, length)
        self._row_count += length
        keep = self._rows_to_keep(columns)
        if keep is not None:
            columns = {name: list(compress(values, keep)) for name, values in columns.items()}
            arrivals = list(compress(arrivals, keep))
        self.rows += zip(*map(self._as_texts, columns, columns.values()), strict=True)
        self.row_arrivals.extend(arrivals)

    def _rows_to_keep(self, columns: Columns) -> list[bool] | None:
        """Return a flag for each row, True to keep it; None to keep all of them."""
        keep: list[bool] | None = None
        for name, accepts in self._filters.items():
            columns[name] = self._shared[name].texts_of(columns[name])
            flags = list(map(accepts.__getitem__, columns[name]))
            keep = flags if keep is None else list(map(and_, keep, flags))
        return None if keep is None or all(keep) else keep

    def _as_texts(self, name: str, values: Sequence[Any]) -> Sequence[Any]:
        """Return a column as texts, unless it is the time or the filters made it texts already."""
        if name in self._filters or (self._shape.timed and name == self._shape.columns[0]):
            return values
        if name in self._shared:
            return self._shared[name].texts_of(values)
        try:
            "".join(values)
        except TypeError:  # some are not texts
            return list(map(kql_tostring, values))
        return values

    def _arrivals_of(self, batch: Columns, length: int) -> list[int]:
        """Return the ingestion times (ticks) of a batch; empty until a row has one."""
        if self._arrival_column in batch:
            values = [
                value or ticks.format_time(ALREADY_ARRIVED) for value in batch[self._arrival_column]
            ]
            arrivals = self._parse_times(self._arrival_column, values)
            self.complete_arrivals()
        elif self.arrivals:
            arrivals = [ALREADY_ARRIVED] * length
        else:
            return []
        self.arrivals.extend(arrivals)
        return arrivals

    def _parse_times(self, name: str, values: Sequence[Any]) -> list[int]:
        try:
            return self._time_parser.parse_column(values)
        except ValueError as error:
            position, reason = error.args
            row = self._row_count + position + 1
            raise SourceError(f"{self._where}: row {row}: {name} is unreadable: {reason}") from None

    def _raise_for_nested_cell(self, batch: Columns, rows_before: int) -> None:
        """Raise SourceError for the first cell that is nested too deeply to become a text."""
        for name, values in batch.items():
            for position, value in enumerate(values):
                try:
                    kql_tostring(value)
                except TypeError as error:
                    raise SourceError(
                        f"{self._where}: row {rows_before + position + 1}: {name} is nested too "
                        "deeply to be read: remove that value"
                    ) from error


def kql_tostring(value: object) -> str:
    """Return a value as KQL's tostring() does; raises TypeError if it is nested too deeply."""
    if isinstance(value, str):
        return value
    return "" if value is None else orjson.dumps(value).decode()


class _InternedTexts(dict[Any, str]):
    """Maps a column's values to their texts, one object for equal texts.

    It serves only while all values are texts or null: 1, 1.0 and true are equal keys of a dict,
    but have different texts.
    """

    def __init__(self) -> None:
        super().__init__()
        self._is_text_only = True

    def __missing__(self, value: object) -> str:
        """Return the text of a new value, and remember it."""
        self._is_text_only = self._is_text_only and (value is None or isinstance(value, str))
        text = self[value] = kql_tostring(value)
        return text

    def texts_of(self, values: Sequence[Any]) -> list[str]:
        """Return the texts of a column's values."""
        if self._is_text_only:
            with contextlib.suppress(TypeError):  # an array or object cannot be a key
                texts = list(map(self.__getitem__, values))
                if self._is_text_only:
                    return texts
        return list(map(kql_tostring, values))
