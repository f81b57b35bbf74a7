"""The content of a recorded folder, for a person who wants to know what a run would read of it."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from detection.errors import SourceError
from detection.rule.allowlist import Allowlist
from detection.rule.filters import RuleSettings, is_change, is_signed_in, is_target_service
from detection.rule.kql_text import ascii_lower, is_blank
from detection.rule.log_rows import ALLOWLIST_TABLE, OPERATION_TABLE, SIGN_IN_TABLE, TableShape
from detection.sources.decode.formats import read_rows
from detection.sources.decode.row_set import RowSet
from detection.sources.decode.table import kql_tostring
from detection.sources.prefilter import KEEP_ALL
from detection.sources.recorded import RECORDED_TABLES
from detection.sources.recorded.files.columns import TIME
from detection.sources.recorded.files.file_warnings import missing_optional, row_limit_warning
from detection.sources.recorded.files.tables_of_folder import FolderTables, OtherFile, TableFile
from detection.sources.recorded.raw_tables import Row, rows_of_file

REQUIRED_TABLES: Final = (SIGN_IN_TABLE, OPERATION_TABLE)
Reason = Callable[[Row], str]


@dataclass
class FileContent:
    """The rows of one table in one file. Times are ISO 8601; `left_out` counts rows by reason."""

    file: TableFile
    rows: int = 0
    columns: dict[str, None] = field(default_factory=dict)
    first: str = ""
    last: str = ""
    left_out: Counter[str] = field(default_factory=Counter)

    def add(self, rows: list[Row], reason: Reason) -> None:
        """Count rows; `reason` says why the rule does not use one, "" if it does."""
        for row in rows:
            self.columns.update(dict.fromkeys(row))
            if time := row.get(TIME):
                self.first = min(self.first or time, time)
                self.last = max(self.last, time)
            elif TIME in self.columns:
                where = f"{self.file.path}: row {self.rows + 1}"
                raise SourceError(f"{where}: {TIME} is unreadable: it is missing")
            self.rows += 1
            if why := reason(row):
                self.left_out[why] += 1


@dataclass
class TableContent:
    """One table of a folder, from all its files that can be read."""

    shape: TableShape
    files: list[FileContent]

    @property
    def rows(self) -> int:
        """The number of rows in all files."""
        return sum(each.rows for each in self.files)

    @property
    def times(self) -> tuple[str, str] | None:
        """The times of the first and the last row, in ISO 8601; None without a row."""
        dated = [each for each in self.files if each.first]
        if not dated:
            return None
        return min(each.first for each in dated), max(each.last for each in dated)

    @property
    def columns(self) -> set[str]:
        """The names of all columns."""
        return {name for each in self.files for name in each.columns}

    @property
    def missing_required(self) -> list[str]:
        """The required columns that a file with rows lacks."""
        lacking = [each.columns for each in self.files if each.rows]
        required = self.shape.columns[: self.shape.required]
        return [name for name in required if any(name not in columns for columns in lacking)]

    @property
    def missing_optional(self) -> list[str]:
        """The optional columns that matter and that no file has."""
        return missing_optional(self.shape, self.columns) if self.rows else []

    @property
    def left_out(self) -> Counter[str]:
        """The number of rows that the rule does not use, by reason."""
        return sum((each.left_out for each in self.files), Counter[str]())


@dataclass
class FolderContent:
    """The tables of a folder, the files that are not read, and what has to be mended.

    `problems` make a run fail or find nothing; `warnings` may hide rows.
    """

    tables: list[TableContent]
    others: list[OtherFile]
    problems: list[str]
    warnings: list[str]


def inspect_folder(folder: Path, settings: RuleSettings) -> FolderContent:
    """Read all files of a folder; raises UsageError if it is none."""
    tables = FolderTables(folder)
    problems = list(map(str, tables.errors))
    reasons = _reasons(tables, settings, problems)
    found: list[TableContent] = []
    warnings: list[str] = []
    for shape in RECORDED_TABLES:
        contents = []
        for file in tables.files.get(shape.name, ()):
            reason = reasons.get(shape.name, lambda _: "")
            try:
                contents.append(read_rows(file.path, partial(_content, file, reason)))
            except SourceError as error:
                problems.append(str(error))
                continue
            warnings += filter(None, (file.warning, row_limit_warning(file, contents[-1].rows)))
        if shape.name in tables.files:
            found.append(TableContent(shape, contents))
    problems += _missing(found, tables)
    return FolderContent(found, tables.others, list(dict.fromkeys(problems)), warnings)


def _missing(found: list[TableContent], tables: FolderTables) -> Iterator[str]:
    for table in found:
        if table.missing_required:
            names = ", ".join(table.missing_required)
            yield f"{table.shape.name} has no column {names}, which the rule requires"
    for shape in REQUIRED_TABLES:
        if shape.name not in tables.files:
            yield f"no file has rows of {shape.name}"


def _content(file: TableFile, reason: Reason, rows: RowSet) -> FileContent:
    content = FileContent(file)
    content.columns.update(dict.fromkeys(file.rows(rows).names or ()))
    for batch in rows_of_file(file, rows):
        content.add(batch, reason)
    return content


def _reasons(
    tables: FolderTables, settings: RuleSettings, problems: list[str]
) -> dict[str, Reason]:
    """Return a function for each log table that says why the rule does not use a row, or ""."""
    try:
        listed = tables.read(ALLOWLIST_TABLE, KEEP_ALL)
    except SourceError as error:
        problems.append(str(error))
        listed = None
    allowlist = Allowlist.of(entry for (entry,) in (listed.rows if listed else ()))
    accepted = set(map(ascii_lower, settings.success_statuses))

    def why_no_sign_in(row: Row) -> str:
        if not is_signed_in(_text(row, "ResultType")):
            return "not successful (ResultType is not 0)"
        if not is_target_service(_text(row, "ResourceDisplayName")):
            return "to another service than Key Vault and Storage"
        if is_blank(_text(row, "ServicePrincipalId")):
            return "without ServicePrincipalId"
        if allowlist.covers(_text(row, "IPAddress")):
            return "from an address in NetworkAllowlist"
        return ""

    def why_no_operation(row: Row) -> str:
        if not is_change(_text(row, "OperationNameValue")):
            return "no write and no delete (OperationNameValue)"
        if ascii_lower(_text(row, "ActivityStatusValue")) not in accepted:
            statuses = " or ".join(settings.success_statuses)
            return f"not successful (ActivityStatusValue is not {statuses})"
        return "without Caller" if is_blank(_text(row, "Caller")) else ""

    return {SIGN_IN_TABLE.name: why_no_sign_in, OPERATION_TABLE.name: why_no_operation}


def _text(row: Row, name: str) -> str:
    value: Any = row.get(name)
    return kql_tostring(value)
