"""The details of identities in a recorded folder.

A folder that `record` wrote has them as a table of their own. In another folder they are in
optional columns of both log tables, which are read again when the first finding needs them: most
rows of a large recording are not of identities with findings, and these columns are long.
"""

from array import array
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from typing import Any

from detection.ranking.identity_details import DetailRow
from detection.rule.kql_text import ascii_lower
from detection.rule.log_rows import IDENTITY, TIME, TableShape
from detection.rule.memo import Memo
from detection.sources.decode.table import Table
from detection.sources.identity_columns import (
    DETAILS_TABLE,
    OPERATION_COLUMNS,
    SIGN_IN_COLUMNS,
    rows_of_logs,
)
from detection.sources.prefilter import KEEP_ALL
from detection.sources.recorded.files.tables_of_folder import FolderTables
from detection.window import Window


class RecordedDetails:
    """The details in one folder, of identities that may have findings."""

    def __init__(self, tables: FolderTables, identities: Iterable[str]) -> None:
        """`identities`, in any spelling, are those that may have findings."""
        self._tables = tables
        self._identities = identities

    def select(self, identities: Collection[str], window: Window, now: int) -> list[DetailRow]:
        """Return the details of the identities in the window, of rows that had arrived at `now`.

        `identities` are in ASCII lower case. Raises SourceError for an unreadable file.
        """
        if self._details is not None:
            return [DetailRow(*row) for row in self._details.select(identities, window, now)]
        sign_ins, operations = (rows.select(identities, window, now) for rows in self._logs)
        return list(rows_of_logs(sign_ins, operations))

    @cached_property
    def _details(self) -> "_Rows | None":
        """The table that `record` wrote, if there is one."""
        table = self._tables.read(DETAILS_TABLE, KEEP_ALL)
        return _Rows(table) if table else None

    @cached_property
    def _logs(self) -> "tuple[_Rows, _Rows]":
        """The rows of the identities in both log tables."""
        wanted = set(map(ascii_lower, self._identities))

        def read(shape: TableShape) -> _Rows:
            candidates = {shape.columns[IDENTITY]: lambda name: ascii_lower(name) in wanted}
            return _Rows(self._tables.read(shape, candidates))

        return read(SIGN_IN_COLUMNS), read(OPERATION_COLUMNS)


class _Rows:
    """The rows of a table in order of time."""

    def __init__(self, table: Table | None) -> None:
        rows: list[Any] = table.rows if table else []
        arrivals = (table.row_arrivals if table else None) or array("q", [0]) * len(rows)
        self._arrived = sorted(zip(rows, arrivals, strict=True), key=lambda each: each[0][TIME])
        self._times = [row[TIME] for row, _ in self._arrived]

    def select(self, identities: Collection[str], window: Window, now: int) -> Iterator[Any]:
        """Yield the rows of the identities in the window that had arrived at `now`."""
        low, high = (bisect_right(self._times, time) for time in (window.start, window.end))
        is_wanted = Memo[str, bool](lambda name: ascii_lower(name) in identities)
        for row, arrival in self._arrived[low:high]:
            if arrival <= now and is_wanted[row[IDENTITY]]:
                yield row
