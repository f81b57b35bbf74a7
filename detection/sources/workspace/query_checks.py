"""Every query that the product asks, tried over a time without rows.

A cluster that refuses one of them, or a column that none of the rows has, is seen by `check`
then, and not when a window needs that query for the first time.
"""

from collections.abc import Iterator
from concurrent.futures import Executor
from typing import NamedTuple

from detection.errors import SourceError
from detection.kql.constants import BUCKETS
from detection.kql.render import Query, query
from detection.rule.exclusions import EXCLUSIONS_TABLE
from detection.rule.log_rows import ALLOWLIST_TABLE, OPERATION_TABLE, SIGN_IN_TABLE, TableShape
from detection.sources.log_analytics.api_errors import PartialResult, TableMissing
from detection.sources.log_analytics.client import LogAnalytics, summary_shape
from detection.sources.workspace import counts as counting
from detection.sources.workspace import kusto_correlation as cluster
from detection.sources.workspace import kusto_pairs as tracing
from detection.sources.workspace import window_counts as survey
from detection.sources.workspace.context import BASELINE_TABLE, actions_query, baseline_query
from detection.sources.workspace.queries import WindowQueries

ALL_BUCKETS = range(BUCKETS)
NO_IDENTITY = ("nobody",)


class QueryCheck(NamedTuple):
    """A query, and the shape of its answer."""

    name: str
    text: Query
    shape: TableShape


class CheckedQuery(NamedTuple):
    """How a query went: what is wrong with it, and which table it would need that is missing."""

    name: str
    problem: str = ""
    missing: str = ""


def all_queries(queries: WindowQueries, alias: str, exclusions_alias: str) -> Iterator[QueryCheck]:
    """Yield every query; the watchlists' aliases are given, all else is of the window asked about.

    Its start is its end, so that no row is in it.
    """
    now, statuses = queries.now, queries.rule.success_statuses
    yield QueryCheck("clock", query("clock"), survey.CLOCK)
    yield QueryCheck("allowlist", query("allowlist", alias=alias), ALLOWLIST_TABLE)
    yield QueryCheck("exclusions", query("exclusions", alias=exclusions_alias), EXCLUSIONS_TABLE)
    moments = {"since": now, "now": now, "examined": now, "too_late": now}
    alone = queries.count(OPERATION_TABLE, signed_in=False)
    wanted: tuple[str, ...] = ("Bucket", *counting.COUNT_COLUMNS)
    yield QueryCheck(
        f"count of {OPERATION_TABLE.name} alone", alone, summary_shape(OPERATION_TABLE, *wanted)
    )
    counts = {SIGN_IN_TABLE: counting.COUNT_COLUMNS[:1], OPERATION_TABLE: counting.COUNT_COLUMNS}
    for shape, columns in counts.items():
        for name, text, wanted in (
            ("count", queries.count(shape), ("Bucket", *columns)),
            ("latest", queries.latest(shape), ("Latest",)),
            ("arrivals", survey.arrivals_query(shape, moments), survey.ARRIVAL_COLUMNS),
        ):
            yield QueryCheck(f"{name} of {shape.name}", text, summary_shape(shape, *wanted))
        rows = queries.rows(shape, ALL_BUCKETS, now, now)
        yield QueryCheck(f"read of {shape.name}", rows, shape)
        yield QueryCheck(f"recording of {shape.name}", queries.recording(shape, now, now), shape)
    for name, text, wanted in (
        ("addresses", queries.addresses(ALL_BUCKETS), cluster.ADDRESS_COLUMNS),
        ("correlate", queries.correlate(ALL_BUCKETS, ()), cluster.GROUP_COLUMNS),
        ("pairs", queries.pairs(ALL_BUCKETS, ()), tracing.PAIR_COLUMNS),
    ):
        yield QueryCheck(name, text, summary_shape(SIGN_IN_TABLE, *wanted))
    yield QueryCheck(
        "actions", actions_query(queries.window, statuses, NO_IDENTITY), OPERATION_TABLE
    )
    yield QueryCheck("baseline", baseline_query(now, now, statuses), BASELINE_TABLE)


def check_queries(
    workspace: LogAnalytics, all_of_them: Iterator[QueryCheck], threads: Executor
) -> list[CheckedQuery]:
    """Ask every query, as many at once as there are threads, and return how each went."""

    def ask(trial: QueryCheck) -> CheckedQuery:
        try:
            workspace.ask_once_more_if_partial(trial.text, trial.shape)
        except TableMissing as error:
            return CheckedQuery(trial.name, missing=error.table)
        except (PartialResult, SourceError) as error:
            return CheckedQuery(trial.name, problem=str(error))
        return CheckedQuery(trial.name)

    return list(threads.map(ask, all_of_them))
