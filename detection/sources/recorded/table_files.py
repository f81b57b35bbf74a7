"""The files of a recorded folder: reading one, and what is odd about it or about its absence."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from detection.errors import SourceError
from detection.rule.log_rows import SIGN_IN_TABLE, TableShape
from detection.sources.decode.export_hints import HEAD_BYTES, hint_from_bytes
from detection.sources.decode.response import NotJson, decode_table
from detection.sources.decode.table import INGESTION_TIME, ROW_LIMIT, Table
from detection.sources.prefilter import Candidates

RESULT_TYPE = "ResultType"
SIGNED_IN = "0"
NAMES_SHOWN = 3


def table_path(folder: Path, shape: TableShape) -> Path:
    """Return where a table is recorded."""
    return folder / f"{shape.name}.json"


def read_table_file(folder: Path, shape: TableShape, candidates: Candidates) -> Table | None:
    """Read a table; None if it is not there. Raises SourceError if it cannot be read."""
    path = table_path(folder, shape)
    if path.exists() and not path.is_file():  # a pipe would be waited for
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


def remedy(folder: Path, shape: TableShape) -> str:
    """Return what to do about a table that is not there."""
    return misnamed_files(folder, shape) or (
        f"{table_path(folder, shape).name} is not in {folder}; if the workspace has no such table "
        f"either, {shape.remedy}"
    )


def table_warnings(folder: Path, shape: TableShape, table: Table | None) -> Iterator[str]:
    """Yield what may have hidden or made a finding, as sentences."""
    name = table_path(folder, shape).name
    if table is None:
        if not shape.timed and (sentence := misnamed_files(folder, shape)):
            yield sentence  # of the tables of the rule it is told anyway that they are missing
        return
    if table.length >= ROW_LIMIT:
        yield (
            f"{name} has {table.length:,} rows, the most that one answer holds: rows may be "
            "missing; export shorter times"
        )
    if table.none_text_columns:
        yield (
            f'{name} has the text "None" in {", ".join(table.none_text_columns)}, as `az` writes null: it is '
            "taken for text, since the rows have no column TableName as those of `az` have"
        )
    if shape is SIGN_IN_TABLE and (spelt := _zeros(table.texts(RESULT_TYPE))):
        yield (
            f"{name} has no row with the {RESULT_TYPE} {SIGNED_IN} of a sign-in that was let in, "
            f'but has "{spelt}": no sign-in matches; write it as {SIGNED_IN}'
        )


def misnamed_files(folder: Path, shape: TableShape) -> str:
    """Return a sentence about files that seem to be the table under another name."""
    name = table_path(folder, shape).name
    begin = shape.name.lower()
    others = sorted(
        path.name
        for path in folder.iterdir()
        if path.name.lower().startswith(begin) and path.name != name
    )
    if not others:
        return ""
    read = f"{name}, spelt so," if others[0].lower().endswith(".json") else ".json"
    verb = "is" if len(others) == 1 else "are"
    return (
        f"{name} is not in {folder} ({', '.join(others[:NAMES_SHOWN])} {verb} there: only {read} "
        "is read)"
    )


def _zeros(texts: Iterable[str]) -> str:
    """Return a spelling of zero that is not the rule's, if the rule's does not occur."""
    found = set(texts)
    if SIGNED_IN in found:
        return ""
    return next((text for text in sorted(found) if _is_zero(text)), "")


def _is_zero(text: str) -> bool:
    try:
        return float(text) == 0
    except ValueError:
        return False
