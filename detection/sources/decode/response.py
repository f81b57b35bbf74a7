"""Decodes the JSON of the Log Analytics API and of `az monitor log-analytics query` into tables.

A body that is damaged, incomplete or of another shape raises an error that says what is wrong and
where, so that it is never mistaken for a table with fewer rows.
"""

import io
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, BinaryIO, NoReturn

import orjson

from detection.errors import SourceError
from detection.rule.log_rows import TableShape
from detection.sources.decode.export_hints import hint_from_columns, hint_from_document
from detection.sources.decode.json_stream import BYTE_ORDER_MARK, find_rows, row_batches
from detection.sources.decode.table import Columns, Table, kql_tostring
from detection.sources.prefilter import KEEP_ALL, Candidates


class NotJson(SourceError):
    """A body is not a JSON document."""


def decode_table(
    body: bytes | BinaryIO,
    shape: TableShape,
    where: str,
    arrival_column: str = "",
    candidates: Candidates = KEEP_ALL,
) -> Table:
    """Return the table in an API response, or in an array of row objects as `az` prints it.

    `body` is UTF-8 JSON, read in pieces if possible. `where` names it in errors. `arrival_column`
    names the column with the ingestion times, if any. Only rows whose texts all `candidates`
    accept are kept.

    Raises SourceError if the body is not JSON (then NotJson), is not a table, is incomplete, or
    lacks a column that `shape` requires.
    """
    stream = io.BytesIO(body) if isinstance(body, bytes) else body
    try:
        return _decode(stream, where, lambda: _Reader(shape, arrival_column, where, candidates))
    except RecursionError:
        raise SourceError(f"{where}: is nested too deeply to be read as a table") from None


def _decode(stream: BinaryIO, where: str, new_reader: Callable[[], "_Reader"]) -> Table:
    envelope = find_rows(stream)
    if envelope is not None:
        reader = new_reader()
        try:
            reader.read(envelope.document, row_batches(stream, envelope))
            return reader.finish()
        except (ValueError, SourceError):
            pass  # parse the whole body: it is readable after all, or its error is the right one
    stream.seek(0)
    document = _parse(stream.read(), where)
    reader = new_reader()
    rows = document if isinstance(document, list) else reader.rows_of(document)
    reader.read(document, [rows])
    return reader.finish()


class _Reader:
    """Fills one table, from rows of either form: arrays or objects."""

    def __init__(
        self, shape: TableShape, arrival_column: str, where: str, candidates: Candidates
    ) -> None:
        self._shape = shape
        self._required = shape.columns[: shape.required]
        self._wanted = {*shape.columns, arrival_column}
        self._where = where
        self._rows_read = 0
        self._names: list[Any] = []  # of the columns listed, or of the first object's values
        self._has_column_list = False  # then an empty table has columns too
        self._null_is_certain = True  # or is "None" a text, or the null of `az`?
        self._table = Table(shape, arrival_column, where, candidates)

    def read(self, document: Any, batches: Iterable[list[Any]]) -> None:
        """Add the rows of all batches; `document` is the response around them, or a list."""
        if isinstance(document, list):
            for rows in batches:
                self._add_objects(rows)
                self._rows_read += len(rows)
            return
        names = self._names = self._names_of(document)
        self._has_column_list = True
        positions = {name: names.index(name) for name in self._wanted if name in names}
        self._table.columns.update(positions)
        self._require(self._required)
        for rows in batches:
            columns = self._transpose(rows, len(names))
            wanted: Columns = {name: columns[position] for name, position in positions.items()}
            self._table.add(wanted, len(rows))
            self._rows_read += len(rows)

    def finish(self) -> Table:
        """Return the table; raises SourceError if it lacks a required column."""
        if self._rows_read or self._has_column_list:
            self._require(self._required)
        if not self._null_is_certain:
            shared = self._shape.columns[1 : self._shape.shared]
            self._table.none_text_columns = [
                name for name in shared if "None" in self._table.texts(name)
            ]
        return self._table

    def _require(self, columns: Sequence[str]) -> None:
        """Raise SourceError, naming all missing columns, if one of `columns` is missing."""
        present = self._table.columns
        if present.issuperset(columns):
            return
        missing = [name for name in self._required if name not in present]
        hint = hint_from_columns([*map(str, self._names)], missing)
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

    def rows_of(self, document: Any) -> list[Any]:
        """Return the rows of an API response."""
        rows = self._table_of(document).get("rows")
        if not isinstance(rows, list):
            raise SourceError(f'{self._where}: its table has no "rows" array')
        return rows

    def _names_of(self, document: Any) -> list[Any]:
        try:
            return [column["name"] for column in self._table_of(document)["columns"]]
        except (KeyError, TypeError):
            problem = 'its table has no "columns" array with names'
            raise SourceError(f"{self._where}: {problem}") from None

    def _table_of(self, document: Any) -> dict[str, Any]:
        """Return the one table of a Log Analytics API response."""
        where = self._where
        if not isinstance(document, dict):
            raise SourceError(f"{where}: holds neither an API response nor an array of rows")
        if document.get("error"):
            raise SourceError(
                f"{where}: is the answer to a query that failed or returned only some of its rows "
                f"({_excerpt(document['error'])}): query again"
            )
        tables = document.get("tables")
        if not isinstance(tables, list) or not tables:
            hint = hint_from_document(document, self._required)
            raise SourceError(
                f'{where}: has no table: expected {{"tables": [...]}} or an array of rows'
                + (f"; {hint}" if hint else "")
            )
        tables = [table for table in tables if isinstance(table, dict)]
        if len(tables) > 1:
            tables = [table for table in tables if table.get("name") == "PrimaryResult"]
        if len(tables) != 1:
            raise SourceError(
                f"{where}: must hold exactly one table, or exactly one that is named PrimaryResult"
            )
        return dict(tables[0])


def _excerpt(value: object) -> str:
    """Return the first 200 characters of a value's text."""
    try:
        return f"{kql_tostring(value):.200}"
    except TypeError:
        return "nested too deeply to be shown"


def _parse(body: bytes, where: str) -> Any:
    """Parse UTF-8 JSON, with or without a byte order mark."""
    if body[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise SourceError(f"{where}: is UTF-16, as some shells write it: save it as UTF-8")
    body = body.removeprefix(BYTE_ORDER_MARK)
    try:
        return orjson.loads(body)
    except ValueError:
        return _parse_leniently(body, where)


def _parse_leniently(body: bytes, where: str) -> Any:
    """Parse a body that orjson rejects, since logs may hold half of a surrogate pair.

    Each such half becomes U+FFFD, because UTF-8 cannot encode it. Everything else that orjson
    rejects raises NotJson, with the line and column.
    """

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    try:
        document = json.loads(body.decode("utf-8"), parse_constant=refuse)
        text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    except UnicodeDecodeError as error:
        raise NotJson(f"{where}: is not UTF-8 at byte {error.start}") from None
    except ValueError as error:
        raise NotJson(f"{where}: is not JSON: {error}") from None
    well_formed = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    try:
        return orjson.loads(well_formed)
    except ValueError:  # it is JSON, so only its depth can be the reason
        raise RecursionError from None
