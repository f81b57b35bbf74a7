"""Decodes the JSON of the Log Analytics API and of `az monitor log-analytics query` into tables.

A body that is damaged, incomplete or of another shape raises an error that says what is wrong and
where, so that it is never mistaken for a table with fewer rows.
"""

import contextlib
import io
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO, Final, TypeVar

from detection.errors import SourceError
from detection.rule.log_rows import TableShape
from detection.sources.decode.json_document import NoTable, excerpt, parse_document
from detection.sources.decode.json_stream import find_rows, row_batches
from detection.sources.decode.row_set import RowSet
from detection.sources.decode.table import Table
from detection.sources.decode.table_reader import TableReader
from detection.sources.prefilter import KEEP_ALL, Candidates

Result = TypeVar("Result")
Shape = Callable[[Any], RowSet | None]

ARRAY: Final = "JSON array of rows"
RESPONSE: Final = "Log Analytics API response"


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

    def fill(rows: RowSet) -> Table:
        return TableReader(shape, where, arrival_column, candidates).read(rows)

    return read_json(stream, where, fill)


def read_json(
    stream: BinaryIO,
    where: str,
    use: Callable[[RowSet], Result],
    other_shape: Shape = lambda _: None,
    *,
    in_pieces: bool = True,
) -> Result:
    """Return the result of `use` for the rows of a body, which is read in pieces if possible.

    `use` is called again, with all rows, if reading in pieces fails. `other_shape` returns the rows
    of a document of a shape that is unknown here, or None. An array of other things than rows must
    not be read in pieces.
    """
    try:
        envelope = find_rows(stream) if in_pieces else None
        if envelope is not None:
            # On an error parse the whole body: it is readable after all, or its error is right.
            with contextlib.suppress(ValueError, SourceError):
                return use(_row_set(envelope.document, row_batches(stream, envelope), where))
        stream.seek(0)
        document = parse_document(stream.read(), where)
        rows = other_shape(document)
        return use(rows or _row_set(document, [_rows_of(document, where)], where))
    except RecursionError:
        raise SourceError(f"{where}: is nested too deeply to be read as a table") from None


def _row_set(document: Any, batches: Iterable[list[Any]], where: str) -> RowSet:
    """Return the rows; `document` is the response around them, or a list."""
    if isinstance(document, list):
        return RowSet(ARRAY, None, batches)
    return RowSet(RESPONSE, _names_of(document, where), batches)


def _rows_of(document: Any, where: str) -> list[Any]:
    if isinstance(document, list):
        return document
    rows = _table_of(document, where).get("rows")
    if not isinstance(rows, list):
        raise SourceError(f'{where}: its table has no "rows" array')
    return rows


def _names_of(document: Any, where: str) -> list[Any]:
    try:
        return [column["name"] for column in _table_of(document, where)["columns"]]
    except (KeyError, TypeError):
        raise SourceError(f'{where}: its table has no "columns" array with names') from None


def _table_of(document: Any, where: str) -> dict[str, Any]:
    """Return the one table of a Log Analytics API response."""
    if not isinstance(document, dict):
        raise NoTable(f"{where}: holds neither an API response nor an array of rows")
    if document.get("error"):
        raise SourceError(
            f"{where}: is the answer to a query that failed or returned only some of its rows "
            f"({excerpt(document['error'])}): query again"
        )
    tables = document.get("tables")
    if not isinstance(tables, list) or not tables:
        raise NoTable(f'{where}: has no table: expected {{"tables": [...]}} or an array of rows')
    tables = [table for table in tables if isinstance(table, dict)]
    if len(tables) > 1:
        tables = [table for table in tables if table.get("name") == "PrimaryResult"]
    if len(tables) != 1:
        raise SourceError(
            f"{where}: must hold exactly one table, or exactly one that is named PrimaryResult"
        )
    return dict(tables[0])
