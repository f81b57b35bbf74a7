"""What a Log Analytics workspace knows about findings besides the logs of a window."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from detection.errors import SourceError
from detection.kql.render import Duration, Query, query
from detection.ranking.baseline import BASELINE_BIN, PastChange
from detection.rule.exclusions import EXCLUSIONS_TABLE, ExclusionRow
from detection.rule.filters import RuleSettings
from detection.rule.log_rows import OPERATION_TABLE, Operation
from detection.sources.context import corroborating_actions
from detection.sources.decode.table import INGESTION_TIME
from detection.sources.log_analytics.api_errors import PartialResult, TableMissing
from detection.window import Window

if TYPE_CHECKING:
    from detection.sources.log_analytics.client import LogAnalytics

IDENTITIES_PER_QUERY: Final = 1000  # identities in one query
BASELINE_TABLE: Final = OPERATION_TABLE._replace(
    columns=("TimeGenerated", "Caller", "OperationNameValue", "ResourceGroup"), shared=4
)


class WorkspaceContext:
    """A Background over one Log Analytics workspace."""

    def __init__(self, workspace: "LogAnalytics", *, alias: str) -> None:
        """`alias` names the watchlist; raises ValueError for one that no query can hold."""
        self._workspace = workspace
        self._exclusions = query("exclusions", alias=alias)

    def exclusions(self) -> list[ExclusionRow]:
        """Read the watchlist."""
        try:
            return self._workspace.ask_once_more_if_partial(
                self._exclusions, EXCLUSIONS_TABLE
            ).table.rows
        except TableMissing:
            return []
        except PartialResult as error:
            raise self._failed(EXCLUSIONS_TABLE.name, error) from None

    def actions(
        self, identities: Collection[str], window: Window, now: int, settings: RuleSettings
    ) -> list[Operation]:
        """Ask for the actions of some identities at a time."""
        found: list[Operation] = []
        asked = sorted(filter(str.isprintable, identities))  # no other name fits into a query
        for start in range(0, len(asked), IDENTITIES_PER_QUERY):
            some = tuple(asked[start : start + IDENTITIES_PER_QUERY])
            text = actions_query(window, settings.success_statuses, some)
            try:
                table = self._workspace.ask_once_more_if_partial(
                    text, OPERATION_TABLE, INGESTION_TIME
                ).table
            except TableMissing:
                return []
            except PartialResult as error:
                raise self._failed(OPERATION_TABLE.name, error) from None
            arrivals = table.row_arrivals or [now] * len(table.rows)
            rows = zip(table.rows, arrivals, strict=True)
            found += corroborating_actions(
                [row for row, moment in rows if moment <= now], identities
            )
        return found

    def past_changes(self, start: int, end: int, settings: RuleSettings) -> list[PastChange]:
        """Ask for the days of each identity, operation name and resource group."""
        text = baseline_query(start, end, settings.success_statuses)
        try:
            return self._workspace.ask_once_more_if_partial(text, BASELINE_TABLE).table.rows
        except TableMissing:
            return []
        except PartialResult as error:
            raise self._failed(OPERATION_TABLE.name, error) from None

    @staticmethod
    def _failed(what: str, error: PartialResult) -> SourceError:
        return SourceError(f"{what} cannot be read whole ({error})")


def actions_query(window: Window, statuses: tuple[str, ...], identities: tuple[str, ...]) -> Query:
    """Ask what these identities did in a window besides writing and deleting."""
    return query(
        "actions",
        start=window.start,
        end=window.end,
        statuses=statuses,
        identities=identities,
    )


def baseline_query(start: int, end: int, statuses: tuple[str, ...]) -> Query:
    """Ask on which days of (start, end] which changes were made."""
    length = Duration(BASELINE_BIN)
    return query("baseline", start=start, end=end, statuses=statuses, bin=length)
