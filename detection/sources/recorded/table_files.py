"""The files of a recorded folder: reads them, and warns of those that hide or lose rows.

Files are exported by hand, so a wrong name or format must be reported rather than read as no rows.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from detection.errors import SourceError
from detection.rule.filters import SIGN_IN_SUCCESS
from detection.rule.log_rows import SIGN_IN_TABLE, TableShape
from detection.sources.decode.export_hints import HEAD_BYTES, hint_from_bytes
from detection.sources.decode.response import NotJson, decode_table
from detection.sources.decode.table import INGESTION_TIME, ROW_LIMIT, Table
from detection.sources.prefilter import Candidates

RESULT_TYPE = "ResultType"
NAMES_SHOWN = 3


def table_path(folder: Path, shape: TableShape) -> Path:
    """Return the path of the file that records a table."""
    return folder / f"{shape.name}.json"


def read_table_file(folder: Path, shape: TableShape, candidates: Candidates) -> Table | None:
    """Return the table, with only its candidate rows; None if there is no such file.

    Raises SourceError if the file cannot be read or decoded.
    """
    path = table_path(folder, shape)
    if path.exists() and not path.is_file():  # reading a pipe would never end
        raise SourceError(f"{path}: cannot be read: it is not a file")
    try:
        with path.open("rb") as body:
            try:
                return decode_table(body, shape, str(path), INGESTION_TIME, candidates)
            except NotJson as error:
                body.seek(0)
                raise SourceError(f"{error}; {hint_from_bytes(body.read(HEAD_BYTES))}") from error
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error


def missing_table_advice(folder: Path, shape: TableShape) -> str:
    """Return advice on a table whose file is missing: a wrong name, or the table's own remedy."""
    return misnamed_files(folder, shape) or (
        f"{table_path(folder, shape).name} is not in {folder}; if the workspace does not have "
        f"the table, {shape.remedy}"
    )


def table_warnings(folder: Path, shape: TableShape, table: Table | None) -> Iterator[str]:
    """Yield a sentence for each problem of a file that may hide a finding or cause a false one."""
    name = table_path(folder, shape).name
    if table is None:
        if not shape.timed and (sentence := misnamed_files(folder, shape)):
            yield sentence  # a missing log table is in the run record anyway
        return
    if table.length >= ROW_LIMIT:
        yield (
            f"{name} has {table.length:,} rows, the maximum of one query: rows may be missing; "
            "export a shorter time range"
        )
    if table.none_text_columns:
        yield (
            f'{name} has the text "None" in {", ".join(table.none_text_columns)}, which `az` '
            "writes for null: it is read as text, because the rows lack the column TableName that "
            "`az` adds; keep that column, or write null"
        )
    if shape is SIGN_IN_TABLE and (zero := _misspelt_zero(table.texts(RESULT_TYPE))):
        yield (
            f"{name} has no row with {RESULT_TYPE} {SIGN_IN_SUCCESS}, a successful sign-in, but "
            f'has "{zero}": no sign-in matches; write it as {SIGN_IN_SUCCESS}'
        )


def misnamed_files(folder: Path, shape: TableShape) -> str:
    """Return a sentence about files that seem to be the table under another name; "" if none."""
    name = table_path(folder, shape).name
    prefix = shape.name.lower()
    misnamed = sorted(
        path.name
        for path in folder.iterdir()
        if path.name.lower().startswith(prefix) and path.name != name
    )
    if not misnamed:
        return ""
    expected = f"the exact name {name}" if misnamed[0].lower().endswith(".json") else ".json"
    verb = "is" if len(misnamed) == 1 else "are"
    return (
        f"{name} is not in {folder} ({', '.join(misnamed[:NAMES_SHOWN])} {verb} there, but only "
        f"{expected} is read)"
    )


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
