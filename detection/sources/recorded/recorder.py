"""Writes a workspace's rows as a recorded folder, which RecordedSource reads back."""

import os
from collections.abc import Iterable, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any, Final

import orjson

from detection.atomic_files import move_finished, remove_leftovers, unfinished
from detection.atomic_files.system import sync_folder
from detection.errors import DeliveryError, UsageError
from detection.rule.exclusions import EXCLUSIONS_TABLE
from detection.rule.log_rows import ALLOWLIST_TABLE, TableShape
from detection.rule.ticks import format_time
from detection.sources.decode.table import INGESTION_TIME
from detection.sources.recorded.files.columns import KNOWN
from detection.sources.recorded.files.table_kinds import table_by_name
from detection.sources.recorded.pseudonyms import Pseudonyms

# Rows of a table, and the ingestion time (ticks) of each; no times at all if they are unknown.
Piece = tuple[Sequence[Any], Sequence[int]]
_UNFINISHED: Final = ".unfinished-"


class Recorder:
    """Writes tables into a folder; each file appears complete or not at all."""

    def __init__(self, folder: Path, pseudonyms: Pseudonyms | None = None) -> None:
        """Raise UsageError if the folder cannot be written, or holds a recording already."""
        self._pseudonyms = pseudonyms
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            existing = [
                path.name for path in sorted(folder.iterdir()) if table_by_name(path) in KNOWN
            ]
            if existing:
                names = ", ".join(existing)
                raise UsageError(f"{folder} holds {names} already: name another folder")
            remove_leftovers(folder, _UNFINISHED)
            with unfinished(folder, _UNFINISHED):
                pass
        except OSError as error:
            raise UsageError(f"{folder} cannot be written: {error.strerror}") from error

    def write_rows(self, shape: TableShape, pieces: Iterable[Piece]) -> int:
        """Write the rows of all pieces as one table; return their number.

        Raises DeliveryError if the file cannot be written, as the other methods do.
        """
        return self._write(shape, [*shape.columns, INGESTION_TIME], self._rows(shape, pieces))

    def write_exclusions(self, rows: Sequence[Sequence[str]]) -> int:
        """Write the watchlist of exclusions; return the number of rows."""
        shape = EXCLUSIONS_TABLE
        replaced = (
            self._pseudonyms.replace(shape, row) if self._pseudonyms else row for row in rows
        )
        return self._write(shape, list(shape.columns), replaced)

    def write_allowlist(self, entries: Sequence[str]) -> int:
        """Write the allowlist's watchlist; return the number of entries."""
        replaced = self._pseudonyms.replace_allowlist(entries) if self._pseudonyms else entries
        shape = ALLOWLIST_TABLE
        return self._write(shape, list(shape.columns), ([entry] for entry in replaced))

    def _rows(self, shape: TableShape, pieces: Iterable[Piece]) -> Iterable[list[Any]]:
        for rows, arrivals in pieces:
            for row, arrival in zip(rows, arrivals or repeat(None, len(rows)), strict=True):
                values = self._pseudonyms.replace(shape, row) if self._pseudonyms else list(row)
                yield [
                    format_time(values[0]),
                    *values[1:],
                    format_time(arrival) if arrival else None,
                ]

    def _write(self, shape: TableShape, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
        """Write an API response row by row, so that a long table is never in memory twice."""
        columns = [
            {
                "name": name,
                "type": "datetime" if name in {"TimeGenerated", INGESTION_TIME} else "string",
            }
            for name in names
        ]
        head = orjson.dumps({"tables": [{"name": "PrimaryResult", "columns": columns, "rows": []}]})
        start, end = head[:-4], head[-4:]  # the response up to the rows, and after them
        count = 0
        path = self._path(shape)
        try:
            with unfinished(self._folder, _UNFINISHED) as (file, unfinished_path):
                file.write(start)
                for row in rows:
                    file.write((b",\n" if count else b"\n") + orjson.dumps(row))
                    count += 1
                file.write(end + b"\n")
                file.flush()
                os.fsync(file.fileno())
                move_finished(file, unfinished_path, path)
            sync_folder(self._folder)
        except OSError as error:
            raise DeliveryError(
                f"{path} could not be written: {error.strerror}: free some space, remove the "
                "folder and record again"
            ) from error
        return count

    def _path(self, shape: TableShape) -> Path:
        return self._folder / f"{shape.name}.json"
