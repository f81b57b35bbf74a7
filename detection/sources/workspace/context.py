"""Reads the context of findings from a workspace.

The context are exclusions, corroborating actions, past changes and near misses.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from detection.clouds import PUBLIC
from detection.errors import SourceError
from detection.kql.constants import BUCKETS
from detection.kql.render import Duration, Query, query
from detection.ranking.baseline import PAST_CHANGES_TABLE, PastChange
from detection.ranking.identity_details import DetailRow
from detection.ranking.near_misses import TOKEN_LIFETIME, LateChanges
from detection.rule.allowlist import Allowlist
from detection.rule.exclusions import EXCLUSIONS_TABLE, ExclusionRow
from detection.rule.filters import RuleSettings
from detection.rule.log_rows import OPERATION_TABLE, SIGN_IN_TABLE, Operation, TableShape
from detection.rule.ticks import DAY
from detection.sources.context import corroborating_actions
from detection.sources.decode.table import INGESTION_TIME, Table
from detection.sources.identity_columns import ANSWER, rows_of_answer
from detection.sources.log_analytics.api_errors import PartialResult, TableMissing
from detection.sources.log_analytics.client import summary_shape
from detection.sources.workspace.kusto_correlation import ADDRESS_COLUMNS, MAX_EXCLUDED_ADDRESSES
from detection.sources.workspace.queries import WindowQueries
from detection.window import Seen, Window

if TYPE_CHECKING:
    from detection.sources.log_analytics.client import LogAnalytics

IDENTITIES_PER_QUERY: Final = 1000  # so that the text of a query stays short
BASELINE_TABLE: Final = PAST_CHANGES_TABLE._replace(
    name=OPERATION_TABLE.name, required=OPERATION_TABLE.required
)
LATE_CHANGES_SHAPE: Final = summary_shape(
    OPERATION_TABLE, "Identity", "Operation", "Group", "Number"
)
MAX_PARTITIONS: Final = 16  # queries for near misses


class WorkspaceContext:
    """A ContextSource over one Log Analytics workspace.

    `portal` is the address of the portal of its cloud: the public cloud, unless it is set.
    """

    portal: str = PUBLIC.portal

    def __init__(self, workspace: "LogAnalytics", *, alias: str) -> None:
        """`alias` names the exclusions' watchlist; raises ValueError if no query can hold it."""
        self._workspace = workspace
        self._exclusions = query("exclusions", alias=alias)

    def exclusions(self) -> list[ExclusionRow]:
        """Return the rows of the exclusions' watchlist; empty if the watchlist is missing."""
        try:
            return self._rows(self._exclusions, EXCLUSIONS_TABLE)
        except PartialResult as error:
            raise _incomplete(EXCLUSIONS_TABLE.name, error) from None

    def actions(
        self, identities: Collection[str], window: Window, now: int, settings: RuleSettings
    ) -> list[Operation]:
        """Query the corroborating actions of the identities, some identities at a time."""
        actions: list[Operation] = []

        def text_of(batch: tuple[str, ...]) -> Query:
            return actions_query(window, settings.success_statuses, batch)

        for table in self._tables(identities, text_of, OPERATION_TABLE, INGESTION_TIME):
            arrivals = table.row_arrivals or [now] * len(table.rows)
            rows = zip(table.rows, arrivals, strict=True)
            actions += corroborating_actions(
                [row for row, arrival in rows if arrival <= now], identities
            )
        return actions

    def identity_details(
        self, identities: Collection[str], window: Window, now: int
    ) -> list[DetailRow]:
        """Query the details of the identities, some identities at a time."""
        tables = self._tables(identities, partial(details_query, window, now), ANSWER)
        return [row for table in tables for row in rows_of_answer(table.rows)]

    def _tables(
        self,
        identities: Collection[str],
        text_of: Callable[[tuple[str, ...]], Query],
        shape: TableShape,
        arrival_column: str = "",
    ) -> Iterator[Table]:
        """Yield the answers about some identities at a time, about fewer if an answer is cut."""
        batches = deque(_batches(identities))
        while batches:
            batch = batches.popleft()
            run = self._workspace.run_query
            if len(batch) == 1:  # which cannot be divided
                run = self._workspace.run_query_retrying_partial
            try:
                yield run(text_of(batch), shape, arrival_column).table
            except TableMissing:
                return
            except PartialResult as error:
                if len(batch) == 1:
                    raise _incomplete(shape.name, error) from None
                middle = len(batch) // 2
                batches.extendleft((batch[middle:], batch[:middle]))

    def past_changes(self, start: int, end: int, settings: RuleSettings) -> list[PastChange]:
        """Query each day on which an identity made a change, by name and resource group."""
        text = baseline_query(start, end, settings.success_statuses)
        try:
            rows = self._rows(text, BASELINE_TABLE)
        except PartialResult as error:
            raise _incomplete(OPERATION_TABLE.name, error) from None
        return [PastChange(*row) for row in rows]

    def late_changes(
        self, window: Window, seen: Seen, now: int, settings: RuleSettings, allowlist: Allowlist
    ) -> list[LateChanges]:
        """Query the counts of all identities at once; in halves, if one answer is too small."""
        queries = WindowQueries(window, now, settings)
        excluded = self._covered_addresses(queries, allowlist) if allowlist.entries else ()
        changes: list[LateChanges] = []
        partitions = [range(BUCKETS)]
        for partition in partitions:  # which grows in the loop
            text = queries.near_misses(partition, excluded, seen)
            try:
                changes += map(_late_changes, self._rows(text, LATE_CHANGES_SHAPE))
            except PartialResult as error:
                if len(partitions) > MAX_PARTITIONS:
                    raise _incomplete(OPERATION_TABLE.name, error) from None
                middle = len(partition) // 2
                partitions += partition[:middle], partition[middle:]
        return changes

    def _covered_addresses(self, queries: WindowQueries, allowlist: Allowlist) -> tuple[str, ...]:
        """Query the addresses of sign-ins before the window's changes; return those covered."""
        window = queries.window
        whole = Window(window.start - TOKEN_LIFETIME, window.end, window.mode)
        text = replace(queries, window=whole).addresses(range(BUCKETS))
        try:
            rows = self._rows(text, summary_shape(SIGN_IN_TABLE, *ADDRESS_COLUMNS))
        except PartialResult as error:
            raise _incomplete(SIGN_IN_TABLE.name, error) from None
        covered = sorted(address for address, _ in rows if allowlist.covers(address))
        if len(covered) > MAX_EXCLUDED_ADDRESSES:
            raise SourceError(
                f"sign-ins came from {len(covered)} addresses in the allowlist, and one query can "
                f"exclude {MAX_EXCLUDED_ADDRESSES}"
            )
        return tuple(covered)

    def _rows(self, text: Query, shape: TableShape) -> list[Any]:
        """Return the rows of an answer, none if a table is missing; may raise PartialResult."""
        try:
            return self._workspace.run_query_retrying_partial(text, shape).table.rows
        except TableMissing:
            return []


def _late_changes(row: Sequence[str]) -> LateChanges:
    """Return a row of LATE_CHANGES_SHAPE; raises SourceError for a malformed one."""
    identity, operation, resource_group, number = row
    try:
        return LateChanges(identity, operation, resource_group, int(number))
    except ValueError:
        raise SourceError("the number of near misses in the answer is unreadable") from None


def _batches(identities: Collection[str]) -> Iterator[tuple[str, ...]]:
    """Yield the identities in groups that a query can name."""
    printable = sorted(filter(str.isprintable, identities))  # no query can hold others
    for start in range(0, len(printable), IDENTITIES_PER_QUERY):
        yield tuple(printable[start : start + IDENTITIES_PER_QUERY])


def _incomplete(table: str, error: PartialResult) -> SourceError:
    return SourceError(f"{table} could not be read completely ({error})")


def actions_query(window: Window, statuses: tuple[str, ...], identities: tuple[str, ...]) -> Query:
    """Return the query for the corroborating actions of these identities in a window."""
    return query(
        "actions",
        start=window.start,
        end=window.end,
        statuses=statuses,
        identities=identities,
    )


def details_query(window: Window, now: int, identities: tuple[str, ...]) -> Query:
    """Return the query for the details of these identities in a window, at `now` (ticks)."""
    return query(
        "identity_details",
        functions=query("functions"),
        start=window.start,
        end=window.end,
        now=now,
        identities=identities,
    )


def baseline_query(start: int, end: int, statuses: tuple[str, ...]) -> Query:
    """Return the query for the changes of each day in (start, end] (ticks)."""
    length = Duration(DAY)
    return query("baseline", start=start, end=end, statuses=statuses, bin=length)
