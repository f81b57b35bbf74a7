"""The names of columns in exported files, brought to those of the workspace's tables."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from detection.errors import SourceError
from detection.ranking.baseline import PAST_CHANGES_TABLE
from detection.rule.exclusions import EXCLUSIONS_TABLE
from detection.rule.log_rows import ALLOWLIST_TABLE, OPERATION_TABLE, SIGN_IN_TABLE, TableShape
from detection.rule.memo import Memo
from detection.sources.decode.row_set import RowSet
from detection.sources.decode.table import INGESTION_TIME
from detection.sources.identity_columns import (
    DETAILS_TABLE,
    OPERATION_COLUMNS,
    SIGN_IN_COLUMNS,
)

TABLE: Final = "Type"  # a standard column with the table's name
TIME: Final = "TimeGenerated"
CATEGORY: Final = "Category"  # of the sign-in tables, which differ in little else
_UTC: Final = " [UTC]"  # the portal adds it to the name of a column with times


def _known(*shapes: TableShape) -> dict[str, str]:
    names = [TABLE, "TableName", CATEGORY, INGESTION_TIME]
    for shape in shapes:
        names += shape.columns
    return {name.lower(): name for name in names}


# The columns that are read of each table, by their name in lower case. Those of a watchlist are
# people's own: they are read as they are, as the workspace's query reads them with their case.
KNOWN: Final[Mapping[str, Mapping[str, str]]] = {
    SIGN_IN_TABLE.name: _known(SIGN_IN_TABLE, SIGN_IN_COLUMNS),
    OPERATION_TABLE.name: _known(OPERATION_TABLE, OPERATION_COLUMNS),
    **{shape.name: _known(shape) for shape in (DETAILS_TABLE, PAST_CHANGES_TABLE)},
    **{shape.name: _known() for shape in (ALLOWLIST_TABLE, EXCLUSIONS_TABLE)},
}


def with_known_names(rows: RowSet, table: str, where: str) -> RowSet:
    """Return the rows with the table's spelling of each column.

    Raises SourceError if the name of a column says that its times are of another zone than UTC.
    """
    known = KNOWN[table]
    if rows.names is not None:
        names = list(map(str, rows.names))
        changed = _renamed(names, known, where)
        return rows._replace(names=[changed.get(name, name) for name in names])
    return rows._replace(batches=_objects(rows.batches, known, where))


def _objects(
    batches: Iterable[list[Any]], known: Mapping[str, str], where: str
) -> Iterator[list[Any]]:
    changed_names = Memo[frozenset[str], dict[str, str]](
        lambda names: _renamed(names, known, where)
    )
    for rows in batches:
        if not all(isinstance(row, dict) for row in rows):
            yield rows  # the reader says which row is none
            continue
        changed = changed_names[frozenset().union(*rows)]
        if changed:
            yield [{changed.get(name, name): row[name] for name in row} for row in rows]
        else:
            yield rows


def _renamed(names: Collection[str], known: Mapping[str, str], where: str) -> dict[str, str]:
    """Return the new name of each column that gets one; a column in the right spelling wins."""
    changed = {}
    for name in names:
        plain = name.strip().removesuffix(_UTC)
        column, _, zone = plain.partition(" [")
        if zone and column.lower() == TIME.lower():
            raise SourceError(
                f"{where}: its column {name!r} has times of an unknown zone: set the time zone of "
                "the portal to UTC, and export again"
            )
        right = known.get(plain.lower(), plain)
        if right != name and right not in names:
            changed[name] = right
    return changed
