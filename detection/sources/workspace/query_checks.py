"""Tries every query of the product over an empty time range, for the command `check`.

A query that the workspace refuses, or a column that it lacks, is then found at deployment and not
when a window needs the query for the first time.
"""

from collections.abc import Iterator
from concurrent.futures import Executor
from typing import NamedTuple

from detection.errors import SourceError
from detection.kql.constants import BUCKETS
from detection.kql.render import Query, query
from detection.rule.exclusions import EXCLUSIONS_TABLE
from detection.rule.log_rows import ALLOWLIST_TABLE, OPERATION_TABLE, SIGN_IN_TABLE, TableShape
from detection.sources.identity_columns import ANSWER
from detection.sources.log_analytics.api_errors import PartialResult, TableMissing
from detection.sources.log_analytics.client import LogAnalytics, summary_shape
from detection.sources.workspace.context import (
    BASELINE_TABLE,
    LATE_CHANGES_SHAPE,
    actions_query,
    baseline_query,
    details_query,
)
from detection.sources.workspace.counts import COUNT_COLUMNS
from detection.sources.workspace.kusto_correlation import ADDRESS_COLUMNS, GROUP_COLUMNS
from detection.sources.workspace.kusto_pairs import PAIR_COLUMNS
from detection.sources.workspace.queries import WindowQueries
from detection.sources.workspace.window_counts import ARRIVAL_COLUMNS, CLOCK, arrivals_query
from detection.window import Seen

ALL_BUCKETS = range(BUCKETS)
NO_IDENTITY = ("nobody",)


class QueryCheck(NamedTuple):
    """A query to try, and the shape of its answer."""

    name: str
    text: Query
    shape: TableShape


class CheckedQuery(NamedTuple):
    """The result of a query that was tried: its problem, or the missing table it needs, if any."""

    name: str
    problem: str = ""
    missing: str = ""


def all_queries(queries: WindowQueries, alias: str, exclusions_alias: str) -> Iterator[QueryCheck]:
    """Yield every query, over the window of `queries`; an empty window (start = end) has no rows.

    `alias` names the allowlist's watchlist, `exclusions_alias` that of the exclusions.
    """
    now, statuses = queries.now, queries.rule.success_statuses
    yield QueryCheck("clock", query("clock"), CLOCK)
    yield QueryCheck("allowlist", query("allowlist", alias=alias), ALLOWLIST_TABLE)
    yield QueryCheck("exclusions", query("exclusions", alias=exclusions_alias), EXCLUSIONS_TABLE)
    times = {"since": now, "now": now, "examined": now, "too_late": now}
    alone = queries.count(OPERATION_TABLE, signed_in=False)
    columns: tuple[str, ...] = ("Bucket", *COUNT_COLUMNS)
    yield QueryCheck(
        f"count of {OPERATION_TABLE.name} alone", alone, summary_shape(OPERATION_TABLE, *columns)
    )
    count_columns = {SIGN_IN_TABLE: COUNT_COLUMNS[:1], OPERATION_TABLE: COUNT_COLUMNS}
    for shape, counted in count_columns.items():
        for name, text, columns in (
            ("count", queries.count(shape), ("Bucket", *counted)),
            ("latest", queries.latest(shape), ("Latest",)),
            ("arrivals", arrivals_query(shape, times), ARRIVAL_COLUMNS),
        ):
            yield QueryCheck(f"{name} of {shape.name}", text, summary_shape(shape, *columns))
        rows = queries.rows(shape, ALL_BUCKETS, now, now)
        yield QueryCheck(f"read of {shape.name}", rows, shape)
        yield QueryCheck(f"recording of {shape.name}", queries.recording(shape, now, now), shape)
    for name, text, columns in (
        ("addresses", queries.addresses(ALL_BUCKETS), ADDRESS_COLUMNS),
        ("correlate", queries.correlate(ALL_BUCKETS, ()), GROUP_COLUMNS),
        ("pairs", queries.pairs(ALL_BUCKETS, (), ()), PAIR_COLUMNS),
    ):
        yield QueryCheck(name, text, summary_shape(SIGN_IN_TABLE, *columns))
    yield QueryCheck(
        "actions", actions_query(queries.window, statuses, NO_IDENTITY), OPERATION_TABLE
    )
    details = details_query(queries.window, now, NO_IDENTITY)
    yield QueryCheck("identity_details", details, ANSWER)
    nothing_seen = Seen(now, now)
    text = queries.near_misses(ALL_BUCKETS, (), nothing_seen)
    yield QueryCheck("near misses", text, LATE_CHANGES_SHAPE)
    yield QueryCheck("baseline", baseline_query(now, now, statuses), BASELINE_TABLE)


def check_queries(
    workspace: LogAnalytics, checks: Iterator[QueryCheck], threads: Executor
) -> list[CheckedQuery]:
    """Run every query, as many at once as there are threads, and return their results in order."""

    def try_query(check: QueryCheck) -> CheckedQuery:
        try:
            workspace.run_query_retrying_partial(check.text, check.shape)
        except TableMissing as error:
            return CheckedQuery(check.name, missing=error.table)
        except (PartialResult, SourceError) as error:
            return CheckedQuery(check.name, problem=str(error))
        return CheckedQuery(check.name)

    return list(threads.map(try_query, checks))
