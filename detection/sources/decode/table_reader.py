"""Fills one table with the rows of a row set."""

from collections.abc import Sequence
from typing import Any, NoReturn

from detection.errors import SourceError
from detection.rule.log_rows import TableShape
from detection.rule.ticks import TimeParser
from detection.sources.decode.export_hints import hint_from_columns
from detection.sources.decode.row_set import RowSet
from detection.sources.decode.table import Columns, Table
from detection.sources.prefilter import KEEP_ALL, Candidates


class TableReader:
    """Fills one table, from rows of either form: arrays or objects."""

    def __init__(
        self,
        shape: TableShape,
        where: str,
        arrival_column: str = "",
        candidates: Candidates = KEEP_ALL,
        times: TimeParser | None = None,
    ) -> None:
        """`where` names the rows in errors; `times` reads their times, default: ISO 8601."""
        self._shape = shape
        self._required = shape.columns[: shape.required]
        self._wanted = {*shape.columns, arrival_column}
        self._where = where
        self._rows_read = 0
        self._names: list[Any] = []  # of the columns listed, or of the first object's values
        self._null_is_certain = True  # or is "None" a text, or the null of `az`?
        self._table = Table(shape, arrival_column, where, candidates, times)

    def read(self, rows: RowSet) -> Table:
        """Return the table with all rows; raises SourceError if it lacks a required column."""
        if rows.names is None:
            for batch in rows.batches:
                self._add_objects(batch)
                self._rows_read += len(batch)
            if self._rows_read:  # else there is no object that could have a column
                self._require(self._required)
        else:
            self._read_arrays(rows)
        if not self._null_is_certain:
            shared = self._shape.columns[1 : self._shape.shared]
            self._table.none_text_columns = [
                name for name in shared if "None" in self._table.texts(name)
            ]
        return self._table

    def _read_arrays(self, rows: RowSet) -> None:
        names = self._names = list(rows.names or ())
        positions = {name: names.index(name) for name in self._wanted if name in names}
        self._table.columns.update(positions)
        self._require(self._required)
        for batch in rows.batches:
            columns = self._transpose(batch, len(names))
            wanted: Columns = {name: columns[position] for name, position in positions.items()}
            self._table.add(wanted, len(batch))
            self._rows_read += len(batch)

    def _require(self, columns: Sequence[str]) -> None:
        """Raise SourceError, naming all missing columns, if one of `columns` is missing."""
        present = self._table.columns
        if present.issuperset(columns):
            return
        missing = [name for name in self._required if name not in present]
        hint = hint_from_columns([*map(str, self._names)])
        raise SourceError(
            f"{self._where}: has no column {', '.join(missing)}, which the rule requires: "
            f"{hint or 'export the table with all of its columns'}"
        )

    def _add_objects(self, rows: list[Any]) -> None:
        """Add row objects, as `az` prints them."""
        for position, row in enumerate(rows):
            if not isinstance(row, dict):
                number = self._rows_read + position + 1
                raise SourceError(f"{self._where}: row {number} is not an object with named values")
        self._names = self._names or list(rows[0] if rows else ())
        present = [name for name in self._wanted if any(name in row for row in rows)]
        self._table.columns.update(present)
        if rows and self._shape.timed:  # else the error would be about the first row's time
            self._require(self._required[:1])
        batch: Columns = {name: [row.get(name) for row in rows] for name in present}
        if all("TableName" in row for row in rows):  # printed by `az`, which writes null as "None"
            for name, values in batch.items():
                batch[name] = [None if value == "None" else value for value in values]
        else:
            self._null_is_certain = False
        self._table.add(batch, len(rows))

    def _transpose(self, rows: list[Any], width: int) -> list[tuple[Any, ...]]:
        """Return `width` columns, given rows; raises SourceError for a row of another length."""
        if not rows:
            return [()] * width
        try:
            columns = list(zip(*rows, strict=True))
        except (TypeError, ValueError):
            self._raise_for_misfit(rows, width)
        if len(columns) != width or set(map(type, rows)) != {list}:
            self._raise_for_misfit(rows, width)
        return columns

    def _raise_for_misfit(self, rows: list[Any], width: int) -> NoReturn:
        """Raise SourceError for the first row that is not an array of `width` values."""
        position, row = next(
            (position, row)
            for position, row in enumerate(rows)
            if not isinstance(row, list) or len(row) != width
        )
        if isinstance(row, list):
            problem = f"has {len(row)} values for {width} columns"
        else:
            problem = f"is not an array ({row!r:.40})"
        raise SourceError(f"{self._where}: row {self._rows_read + position + 1} {problem}")
