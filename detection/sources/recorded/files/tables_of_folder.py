"""The files of a recorded folder, each assigned to its table, and the tables read from them.

A file may have any name and any format that can be recognised, and several files may hold one
table. A file with a table's name that cannot be read is an error. Other files are listed with the
reason why they are not read.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from detection.errors import SourceError, UsageError
from detection.rule.log_rows import TableShape
from detection.sources.decode.formats import read_rows
from detection.sources.decode.json_document import NoTable
from detection.sources.decode.row_set import RowSet
from detection.sources.decode.table import INGESTION_TIME, Table
from detection.sources.decode.table_reader import TableReader
from detection.sources.decode.times import FileTimeParser
from detection.sources.prefilter import Candidates
from detection.sources.recorded.files.activity_log import row_of, table_of
from detection.sources.recorded.files.columns import KNOWN, with_known_names
from detection.sources.recorded.files.table_kinds import (
    OTHER_TABLES,
    table_by_content,
    table_by_name,
    why_unknown,
)

# How Azure names the folders of blobs: of a data export, and of a diagnostic setting.
_BLOB_FOLDERS: Final = ("workspaceresourceid=", "resourceid=")
_VERBS: Final = ("is ", "has ", "holds ", "must ", "cannot ")  # of a message about a file
_OF_LOGS: Final = {
    *(".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".gz", ".parquet", ".xlsx", ".xls", ".zip"),
}


class TableFile(NamedTuple):
    """A file with rows of a table; `converted` are rows of another form than the table's own."""

    path: Path
    table: str
    form: str
    warning: str = ""
    converted: bool = False

    def rows(self, given: RowSet) -> RowSet:
        """Return the rows of this table in the file, with the table's columns."""
        if not self.converted:
            return with_known_names(given, self.table, str(self.path))
        return given._replace(batches=map(self._convert, given.batches))

    def _convert(self, rows: list[Any]) -> list[Any]:
        return [row_of(row) for row in rows if (table_of(row) or ("",))[0] == self.table]


class OtherFile(NamedTuple):
    """A file that is not read, and why; `is_notable` if it seems to hold logs."""

    path: Path
    reason: str
    is_notable: bool


class FolderTables:
    """The tables of one folder. `errors` are of files with a table's name."""

    def __init__(self, folder: Path) -> None:
        """Look into each file; raises UsageError if the folder is none."""
        if not folder.is_dir():
            raise UsageError(f"{folder} is not a folder: name one that holds recorded tables")
        self.folder = folder
        self.files: dict[str, list[TableFile]] = {}
        self.others: list[OtherFile] = []
        self.errors: list[SourceError] = []
        self.row_counts: dict[TableFile, int] = {}  # of the files that were read
        for path in _paths(folder):
            self._add(path)

    def paths(self) -> list[Path]:
        """Return the files with rows of a table."""
        return list(dict.fromkeys(each.path for files in self.files.values() for each in files))

    def read(self, shape: TableShape, candidates: Candidates) -> Table | None:
        """Return the table with only its candidate rows; None if no file has rows of it.

        Raises SourceError if a file cannot be read or decoded.
        """
        whole: Table | None = None
        for file in self.files.get(shape.name, ()):

            def fill(rows: RowSet, file: TableFile = file) -> Table:
                where, times = str(file.path), FileTimeParser()
                reader = TableReader(shape, where, INGESTION_TIME, candidates, times)
                return reader.read(file.rows(rows))

            table = read_rows(file.path, fill)
            self.row_counts[file] = table.length
            if whole is None:
                whole = table
            else:
                whole.extend(table)
        return whole

    def _add(self, path: Path) -> None:
        named = table_by_name(path)
        if path.is_dir():
            if named in KNOWN and path.suffix:
                self.errors.append(SourceError(f"{path}: cannot be read: it is not a file"))
            return
        try:
            found = read_rows(path, partial(_identify, path, named))
        except SourceError as error:
            if named in KNOWN:
                self.errors.append(error)
            else:
                reason = str(error).removeprefix(f"{path}: ")
                if reason.startswith(_VERBS):
                    reason = f"it {reason}"
                is_named_so = bool({suffix.lower() for suffix in path.suffixes} & _OF_LOGS)
                is_notable = is_named_so and not isinstance(error, NoTable)
                self.others.append(OtherFile(path, reason, is_notable))
            return
        for each in found:
            if isinstance(each, OtherFile):
                self.others.append(each)
            else:
                self.files.setdefault(each.table, []).append(each)


def _paths(folder: Path) -> Iterator[Path]:
    """Yield the entries of a folder, and the files of blobs in folders as Azure names them."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir() and path.name.lower().startswith(_BLOB_FOLDERS):
            yield from (each for each in sorted(path.rglob("*")) if each.is_file())
        else:
            yield path


def _identify(path: Path, named: str, rows: RowSet) -> list[TableFile | OtherFile]:
    """Return a file for each table in it; `named` is the table that its name says, or ""."""
    batches = iter(rows.batches)
    first = next(batches, [])
    row = first[0] if first else {}
    if rows.names is None:
        columns = list(row) if isinstance(row, dict) else []
        if isinstance(row, dict) and table_of(row):
            return _converted(path, rows, [first, *batches])
    else:
        columns = list(map(str, rows.names))
        row = dict(zip(columns, row, strict=False)) if isinstance(row, list) else {}
    table = named or table_by_content(columns, row if isinstance(row, dict) else {})
    if table in KNOWN:
        return [TableFile(path, table, rows.form, rows.warning)]
    if table:
        return [OtherFile(path, f"it is {table}, {OTHER_TABLES[table]}", is_notable=True)]
    return [OtherFile(path, *why_unknown(columns))]


def _converted(path: Path, rows: RowSet, batches: list[list[Any]]) -> list[TableFile | OtherFile]:
    """Return a file for each table whose events or records are in it."""
    kinds = dict.fromkeys(
        table_of(row) or ("", "") for batch in batches for row in batch if isinstance(row, dict)
    )
    found: list[TableFile | OtherFile] = [
        TableFile(path, table, f"{kind}: {rows.form}", rows.warning, converted=True)
        for table, kind in kinds
        if table
    ]
    if any(not table for table, _ in kinds):
        reason = "some of its records are of other categories than the rule reads"
        found.append(OtherFile(path, reason, is_notable=True))
    return found
