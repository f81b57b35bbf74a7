"""A recorded folder as the tables of a workspace."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detection.errors import UsageError
from detection.rule.log_rows import OPERATION_TABLE, SIGN_IN_TABLE
from detection.rule.ticks import HOUR, parse_time
from emulator.kusto.tables import LOGS, WATCHLISTS, Row


@dataclass(frozen=True)
class Recording:
    """The rows of each table, values of JSON by column, and the times (ticks) of the log rows."""

    tables: dict[str, list[Row]]
    times: list[int]

    @property
    def last_hour(self) -> int:
        """Return the end (ticks) of the last hour with rows."""
        return -(-max(self.times) // HOUR) * HOUR


def read_recording(folder: Path) -> Recording:
    """Read a folder; raises UsageError if it has no row of the two logs, SourceError otherwise."""
    tables = {name: _read(folder / f"{name}.json") for name in (*LOGS, *WATCHLISTS)}
    found: dict[str, list[Row]] = {name: rows for name, rows in tables.items() if rows is not None}
    times = [
        parse_time(row["TimeGenerated"])
        for shape in (SIGN_IN_TABLE, OPERATION_TABLE)
        for row in found.get(shape.name, [])
    ]
    if not times:
        raise UsageError(f"{folder} has no row of {' or '.join(LOGS)}: name a folder that has some")
    return Recording(found, times)


def _read(path: Path) -> list[Row] | None:
    if not path.exists():
        return None
    document: Any = json.loads(path.read_text("utf-8-sig"))
    if isinstance(document, list):
        return [
            {name: None if value == "None" else value for name, value in row.items()}
            for row in document
        ]
    (table,) = document["tables"]
    names = [column["name"] for column in table["columns"]]
    return [dict(zip(names, row, strict=True)) for row in table["rows"]]
