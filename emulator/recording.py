"""A recorded folder as the tables of a workspace."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from detection.errors import UsageError
from detection.ranking.baseline import PAST_CHANGES_TABLE
from detection.rule.ticks import HOUR, parse_time
from detection.sources.identity_columns import DETAILS_TABLE
from detection.sources.recorded.raw_tables import raw_tables
from emulator.kusto.tables import LOGS, Row

SUMMARIES = {PAST_CHANGES_TABLE.name, DETAILS_TABLE.name}  # no tables of a workspace


@dataclass(frozen=True)
class Recording:
    """The rows of each table, values of JSON by column, and the times (ticks) of the log rows."""

    tables: Mapping[str, list[Row]]
    times: list[int]

    @property
    def last_hour(self) -> int:
        """Return the end (ticks) of the last hour with rows."""
        return -(-max(self.times) // HOUR) * HOUR


def read_recording(folder: Path) -> Recording:
    """Read a folder; raises UsageError if it has no row of the two logs, SourceError otherwise."""
    found = raw_tables(folder)
    tables = {name: list[Row](rows) for name, rows in found.items() if name not in SUMMARIES}
    times = [parse_time(row["TimeGenerated"]) for log in LOGS for row in tables.get(log, [])]
    if not times:
        raise UsageError(f"{folder} has no row of {' or '.join(LOGS)}: name a folder that has some")
    return Recording(tables, times)
