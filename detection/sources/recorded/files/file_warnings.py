"""Warnings of a recorded folder: of files that hide rows or lose some.

Files are exported by hand, so a wrong name or format must be reported rather than read as no rows.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from detection.printable import shortened
from detection.rule.filters import SIGN_IN_SUCCESS
from detection.rule.log_rows import (
    OPERATION_TABLE,
    RESOURCE_ID,
    RESOURCE_IDENTITY,
    SIGN_IN_CORRELATION,
    SIGN_IN_TABLE,
    UNDERSCORE_RESOURCE_ID,
    TableShape,
)
from detection.sources.decode.table import ROW_LIMIT, Table
from detection.sources.recorded.files.activity_log import EVENT
from detection.sources.recorded.files.tables_of_folder import FolderTables, OtherFile, TableFile

RESULT_TYPE: Final = "ResultType"
_RESOURCE_IDS: Final = {
    OPERATION_TABLE.columns[place] for place in (RESOURCE_ID, UNDERSCORE_RESOURCE_ID)
}
# They only tell rows without an id of their own apart.
_FOR_KEYS: Final = (
    SIGN_IN_TABLE.columns[RESOURCE_IDENTITY],
    SIGN_IN_TABLE.columns[SIGN_IN_CORRELATION],
)
# Rows of one query in the portal, by earlier versions of
# github.com/MicrosoftDocs/azure-docs/blob/main/includes/azure-monitor-limits-workspaces.md; by the
# latest, as many as the API returns.
_PORTAL_LIMITS: Final = (10_000, 30_000)
_LISTED_EVENTS: Final = 50
_NAMES_SHOWN: Final = 3
_REASON_LENGTH: Final = 300  # characters


def missing_table_advice(tables: FolderTables, shape: TableShape) -> str:
    """Return advice on a table that no file has: other files of the folder, and its remedy."""
    notable = [other for other in tables.others if other.is_notable]
    unread = f" ({unread_files(notable)})" if notable else ""
    return (
        f"no file in {tables.folder} has its rows{unread}; if the workspace does not have the "
        f"table, {shape.remedy}"
    )


def unread_files(others: Iterable[OtherFile]) -> str:
    """Name the first of these files that are not read."""
    names = [other.path.name for other in others]
    verb = "is" if len(names) == 1 else "are"
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"{', '.join(names[:_NAMES_SHOWN])}{more} {verb} not read"


def folder_warnings(tables: FolderTables) -> Iterator[str]:
    """Yield a sentence for each file that seems to hold logs and is not read, or not whole."""
    for other in tables.others:
        if other.is_notable:
            reason = shortened(other.reason, _REASON_LENGTH)
            yield f"{other.path.name} is not read: {reason}"
    for files in tables.files.values():
        for file in files:
            if file.warning:
                yield file.warning
            if sentence := row_limit_warning(file, tables.row_counts.get(file, 0)):
                yield sentence


def row_limit_warning(file: TableFile, rows: int) -> str:
    """Return a sentence about a file with as many rows as an export can have; else ""."""
    if rows >= ROW_LIMIT:
        limit = "the maximum of one query"
    elif rows in _PORTAL_LIMITS:
        limit = "the maximum of one export from the portal at some time"
    elif rows == _LISTED_EVENTS and file.form.startswith(EVENT):
        limit = "the number that `az monitor activity-log list` prints without --max-events"
    else:
        return ""
    return (
        f"{file.path.name} has {rows:,} rows, {limit}: rows may be missing; export a shorter time "
        "range"
    )


def table_warnings(shape: TableShape, table: Table | None) -> Iterator[str]:
    """Yield a sentence for each column that may hide a finding or cause a false one."""
    if table is None:
        return
    if missing := missing_optional(shape, table.columns) if table.length else []:
        yield (
            f"{shape.name} has no column {', '.join(missing)}: findings may be merged, counted "
            "twice or say less; export the table with all of its columns"
        )
    if table.none_text_columns:
        yield (
            f'{shape.name} has the text "None" in {", ".join(table.none_text_columns)}, which `az` '
            "writes for null: it is read as text, because the rows lack the column TableName that "
            "`az` adds; keep that column, or write null"
        )
    if shape is SIGN_IN_TABLE and (zero := _misspelt_zero(table.texts(RESULT_TYPE))):
        yield (
            f"{shape.name} has no row with {RESULT_TYPE} {SIGN_IN_SUCCESS}, a successful sign-in, "
            f'but has "{zero}": no sign-in matches; write it as {SIGN_IN_SUCCESS}'
        )


def missing_optional(shape: TableShape, columns: Collection[str]) -> list[str]:
    """Return the columns with names, ids and addresses that a log table lacks.

    Either resource id is enough.
    """
    if shape not in {SIGN_IN_TABLE, OPERATION_TABLE}:
        return []
    present = {*columns, *_FOR_KEYS}
    if present & _RESOURCE_IDS:
        present |= _RESOURCE_IDS
    return [name for name in shape.columns[shape.required :] if name not in present]


def _misspelt_zero(texts: Iterable[str]) -> str:
    """Return a result code that equals 0 and is written otherwise; "" if a code is "0", or none."""
    distinct = set(texts)
    if SIGN_IN_SUCCESS in distinct:
        return ""
    return next((text for text in sorted(distinct) if _is_zero(text)), "")


def _is_zero(text: str) -> bool:
    try:
        return float(text) == 0
    except ValueError:
        return False
