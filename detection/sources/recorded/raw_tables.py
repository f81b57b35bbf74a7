"""All rows and all columns of the tables in a recorded folder, as objects of JSON values."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from detection.errors import SourceError
from detection.rule.ticks import format_time
from detection.sources.decode.formats import read_rows
from detection.sources.decode.row_set import RowSet
from detection.sources.decode.table import INGESTION_TIME
from detection.sources.decode.times import FileTimeParser
from detection.sources.recorded.files.columns import TIME
from detection.sources.recorded.files.tables_of_folder import FolderTables, TableFile

Row = dict[str, Any]


def raw_tables(folder: Path) -> dict[str, list[Row]]:
    """Return the rows of each table in a folder, by the table's name, whatever its files' formats.

    The columns have the table's names. `TimeGenerated` and `IngestionTime` are ISO 8601 in UTC with
    seven fraction digits, and null is None. A cell of a CSV file is a text, or None if it is empty.

    Raises UsageError if the folder is none, and SourceError for a file that cannot be read.
    """
    tables = FolderTables(folder)
    if tables.errors:
        raise tables.errors[0]
    return {
        table: [row for file in files for row in read_rows(file.path, _all_of(file))]
        for table, files in tables.files.items()
    }


def rows_of_file(file: TableFile, given: RowSet) -> Iterator[list[Row]]:
    """Yield the rows of a table in one file, in batches; raises SourceError for an unread time."""
    number = 0
    times = FileTimeParser()
    for batch in file.rows(given).objects():
        nothing = "" if given.empty_is_null else None
        rows = [
            _with_nulls(row, nothing, f"{file.path}: row {number + place}")
            for place, row in enumerate(batch, 1)
        ]
        for place, row in enumerate(rows, 1):
            for name in (TIME, INGESTION_TIME):
                if name not in row or (name == INGESTION_TIME and row[name] is None):
                    continue
                try:
                    row[name] = format_time(times.parse_column([row[name]])[0])
                except ValueError as error:
                    reason = error.args[1]
                    where = f"{file.path}: row {number + place}"
                    raise SourceError(f"{where}: {name} is unreadable: {reason}") from None
        number += len(rows)
        yield rows


def _all_of(file: TableFile) -> Any:
    return lambda given: [row for rows in rows_of_file(file, given) for row in rows]


def _with_nulls(row: Any, nothing: str | None, where: str) -> Row:
    """Return the row with None for `nothing`, and for the null of `az`."""
    if not isinstance(row, dict):
        raise SourceError(f"{where} is not an object with named values")
    null = "None" if "TableName" in row else nothing
    return {name: None if value == null else value for name, value in row.items()}
