"""JSON as Log Analytics and `az monitor log-analytics query` give it, to tables.

A body that is damaged, incomplete or of another shape is an error that says where and what.
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
from detection.sources.prefilter import (
    KEEP_ALL,
    Candidates,
)


class NotJson(SourceError):
    """A body is no JSON document at all."""


def decode_table(
    body: bytes | BinaryIO,
    shape: TableShape,
    where: str,
    arrival: str = "",
    candidates: Candidates = KEEP_ALL,
) -> Table:
    """Read one table from an API response or an array of row objects, in pieces where it can be.

    `where` names the body in errors; `arrival` names the column that says when a row came; only
    rows that are `candidates` are kept. Raises SourceError if the body is not JSON, not a table,
    incomplete, or lacks a required column.
    """
    stream = io.BytesIO(body) if isinstance(body, bytes) else body
    try:
        return _decode(stream, where, lambda: _Reader(shape, arrival, where, candidates))
    except RecursionError:
        raise SourceError(f"{where}: is nested too deeply to be a table") from None


def _decode(stream: BinaryIO, where: str, new_reader: Callable[[], "_Reader"]) -> Table:
    frame = find_rows(stream)
    if frame is not None:
        reader = new_reader()
        try:
            reader.read(frame.document, row_batches(stream, frame))
            return reader.finished()
        except (ValueError, SourceError):
            pass  # the whole body then, which tells what is wrong with it if anything is
    stream.seek(0)
    document = _parse(stream.read(), where)
    reader = new_reader()
    rows = document if isinstance(document, list) else reader.rows_of(document)
    reader.read(document, [rows])
    return reader.finished()


class _Reader:
    """Fills a table with rows of either form."""

    def __init__(self, shape: TableShape, arrival: str, where: str, candidates: Candidates) -> None:
        self._shape = shape
        self._required = shape.columns[: shape.required]
        self._wanted = {*shape.columns, arrival}
        self._where = where
        self._read = 0
        self._names: list[Any] = []  # of all columns, or of the first row's values
        self._described = False  # by a list of columns, which is there even without rows
        self._null_told = True  # as null, or by a form that is known to write "None" for it
        self._table = Table(shape, arrival, where, candidates)

    def read(self, document: Any, parts: Iterable[list[Any]]) -> None:
        """Add the rows, which come apart from the document that describes them."""
        if isinstance(document, list):
            for rows in parts:
                self._add_objects(rows)
                self._read += len(rows)
            return
        names = self._names = self._names_of(document)
        self._described = True
        places = {name: names.index(name) for name in self._wanted if name in names}
        self._table.columns.update(places)
        self._require(self._required)
        for rows in parts:
            columns = self._columns(rows, len(names))
            self._table.add({name: columns[place] for name, place in places.items()}, len(rows))
            self._read += len(rows)

    def finished(self) -> Table:
        """Return the table, if it has what the rule cannot do without."""
        if self._read or self._described:
            self._require(self._required)
        if not self._null_told:
            shared = self._shape.columns[1 : self._shape.shared]
            self._table.nones = [name for name in shared if "None" in self._table.texts(name)]
        return self._table

    def _require(self, columns: Sequence[str]) -> None:
        """Raise SourceError, naming all that the rule lacks, if one of the columns is not there."""
        there = self._table.columns
        if there.issuperset(columns):
            return
        missing = [name for name in self._required if name not in there]
        likeness = hint_from_columns([*map(str, self._names)], missing)
        raise SourceError(
            f"{self._where}: has no column {', '.join(missing)}, without which the rule cannot be "
            f"applied: {likeness or 'record the table with all of its columns'}"
        )

    def _add_objects(self, rows: list[Any]) -> None:
        """Add what the `az` command prints."""
        for position, row in enumerate(rows):
            if not isinstance(row, dict):
                raise SourceError(
                    f"{self._where}: row {self._read + position + 1} is not an object with named "
                    "values"
                )
        self._names = self._names or list(rows[0] if rows else ())
        present = [name for name in self._wanted if any(name in row for row in rows)]
        self._table.columns.update(present)
        if rows and self._shape.timed:  # or else the first row would be blamed for its time
            self._require(self._required[:1])
        batch: Columns = {name: [row.get(name) for row in rows] for name in present}
        if all("TableName" in row for row in rows):  # printed by `az`, which writes null so
            for name, values in batch.items():
                batch[name] = [None if value == "None" else value for value in values]
        else:
            self._null_told = False
        self._table.add(batch, len(rows))

    def _columns(self, rows: list[Any], width: int) -> list[tuple[Any, ...]]:
        """Turn rows into columns; raises SourceError for a row that does not fit."""
        if not rows:
            return [()] * width
        try:
            columns = list(zip(*rows, strict=True))
        except (TypeError, ValueError):
            self._blame(rows, width)
        if len(columns) != width or set(map(type, rows)) != {list}:
            self._blame(rows, width)
        return columns

    def _blame(self, rows: list[Any], width: int) -> NoReturn:
        """Raise for the first row that does not fit the columns."""
        position, row = next(
            (position, row)
            for position, row in enumerate(rows)
            if not isinstance(row, list) or len(row) != width
        )
        found = f"{len(row)} values" if isinstance(row, list) else f"no array ({row!r:.40})"
        raise SourceError(
            f"{self._where}: row {self._read + position + 1} has {found} for {width} columns"
        )

    def rows_of(self, document: Any) -> list[Any]:
        """Return the rows of an API response."""
        rows = self._table_of(document).get("rows")
        if not isinstance(rows, list):
            raise SourceError(f"{self._where}: its table has no rows, not even none")
        return rows

    def _names_of(self, document: Any) -> list[Any]:
        try:
            return [column["name"] for column in self._table_of(document)["columns"]]
        except (KeyError, TypeError):
            raise SourceError(f"{self._where}: its table has no columns with names") from None

    def _table_of(self, document: Any) -> dict[str, Any]:
        """Return the one table of a Log Analytics API response."""
        where = self._where
        if not isinstance(document, dict):
            raise SourceError(f"{where}: holds neither an API response nor an array of rows")
        if document.get("error"):
            raise SourceError(
                f"{where}: is the answer to a query that failed or was cut short "
                f"({_short(document['error'])}): query again"
            )
        tables = document.get("tables")
        if not isinstance(tables, list) or not tables:
            likeness = hint_from_document(document, self._required)
            raise SourceError(
                f'{where}: has no table: expected {{"tables": [...]}} or an array of rows'
                + (f"; {likeness}" if likeness else "")
            )
        tables = [table for table in tables if isinstance(table, dict)]
        if len(tables) > 1:
            tables = [table for table in tables if table.get("name") == "PrimaryResult"]
        if len(tables) != 1:
            raise SourceError(f"{where}: does not hold one table, or one named PrimaryResult")
        return dict(tables[0])


def _short(value: object) -> str:
    """Return the beginning of a value as text."""
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
    """Parse once more what orjson refuses: half of a surrogate pair is text that logs may hold.

    Each such half becomes U+FFFD, since no UTF-8 can carry it. All else that orjson refuses is
    refused here too, with the line and column.
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
    halves_replaced = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    try:
        return orjson.loads(halves_replaced)
    except ValueError:  # it is JSON, so that only its depth can be too much
        raise RecursionError from None
