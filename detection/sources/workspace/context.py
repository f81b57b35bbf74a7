"""Reads the context of findings from a workspace: exclusions, actions, details, baseline."""

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Final

from detection.clouds import PUBLIC
from detection.errors import SourceError
from detection.kql.render import Duration, Query, query
from detection.ranking.baseline import PAST_CHANGES_TABLE, PastChange
from detection.ranking.identity_details import DetailRow
from detection.rule.exclusions import EXCLUSIONS_TABLE, ExclusionRow
from detection.rule.filters import RuleSettings
from detection.rule.log_rows import OPERATION_TABLE, Operation
from detection.rule.ticks import DAY
from detection.sources.context import corroborating_actions
from detection.sources.decode.table import INGESTION_TIME
from detection.sources.identity_columns import ANSWER, rows_of_answer
from detection.sources.log_analytics.api_errors import PartialResult, TableMissing
from detection.window import Window

if TYPE_CHECKING:
    from detection.sources.log_analytics.client import LogAnalytics

IDENTITIES_PER_QUERY: Final = 1000  # so that the text of a query stays short
BASELINE_TABLE: Final = PAST_CHANGES_TABLE._replace(
    name=OPERATION_TABLE.name, required=OPERATION_TABLE.required
)


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
            return self._workspace.run_query_retrying_partial(
                self._exclusions, EXCLUSIONS_TABLE
            ).table.rows
        except TableMissing:
            return []
        except PartialResult as error:
            raise _incomplete(EXCLUSIONS_TABLE.name, error) from None

    def actions(
        self, identities: Collection[str], window: Window, now: int, settings: RuleSettings
    ) -> list[Operation]:
        """Query the corroborating actions of the identities, some identities at a time."""
        actions: list[Operation] = []
        for batch in _batches(identities):
            text = actions_query(window, settings.success_statuses, batch)
            try:
                table = self._workspace.run_query_retrying_partial(
                    text, OPERATION_TABLE, INGESTION_TIME
                ).table
            except TableMissing:
                return []
            except PartialResult as error:
                raise _incomplete(OPERATION_TABLE.name, error) from None
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
        details: list[DetailRow] = []
        for batch in _batches(identities):
            text = details_query(window, now, batch)
            try:
                table = self._workspace.run_query_retrying_partial(text, ANSWER).table
            except TableMissing:
                return []
            except PartialResult as error:
                raise _incomplete(OPERATION_TABLE.name, error) from None
            details += rows_of_answer(table.rows)
        return details

    def past_changes(self, start: int, end: int, settings: RuleSettings) -> list[PastChange]:
        """Query each day on which an identity made a change, by name and resource group."""
        text = baseline_query(start, end, settings.success_statuses)
        try:
            rows = self._workspace.run_query_retrying_partial(text, BASELINE_TABLE).table.rows
        except TableMissing:
            return []
        except PartialResult as error:
            raise _incomplete(OPERATION_TABLE.name, error) from None
        return [PastChange(*row) for row in rows]


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
