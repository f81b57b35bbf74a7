"""Every query that the product asks, tried over a time without rows.

A cluster that refuses one of them, or a column that none of the rows has, is seen by `check`
then, and not when a window needs that query for the first time.
"""

from collections.abc import Iterator
from concurrent.futures import Executor
from typing import NamedTuple

from detection.errors import SourceError
from detection.kql.render import Query, query
from detection.rule.exclusions import EXCLUSIONS_TABLE
from detection.rule.log_rows import ALLOWLIST_TABLE, OPERATION_TABLE, SIGN_IN_TABLE, TableShape
from detection.sources.log_analytics.api_errors import CutShort, NotThere
from detection.sources.log_analytics.client import LogAnalytics, summary
from detection.sources.workspace import counts as counting
from detection.sources.workspace import kusto_correlation as cluster
from detection.sources.workspace import kusto_pairs as tracing
from detection.sources.workspace import window_counts as survey
from detection.sources.workspace.context import HISTORY_TABLE, actions_query, history_query
from detection.sources.workspace.partitions import BUCKETS
from detection.sources.workspace.queries import Asking

EVERYBODY = range(BUCKETS)
NOBODY = ("nobody",)


class Trial(NamedTuple):
    """A query, and the shape of its answer."""

    name: str
    text: Query
    shape: TableShape


class Tried(NamedTuple):
    """How a query went: what is wrong with it, and which table it would need that is missing."""

    name: str
    problem: str = ""
    missing: str = ""


def trials(asking: Asking, alias: str, exclusions_alias: str) -> Iterator[Trial]:
    """Yield every query; the watchlists' aliases are given, all else is of the window asked about.

    Its start is its end, so that no row is in it.
    """
    now, statuses = asking.now, asking.rule.success_statuses
    yield Trial("clock", query("clock"), survey.CLOCK)
    yield Trial("allowlist", query("allowlist", alias=alias), ALLOWLIST_TABLE)
    yield Trial("exclusions", query("exclusions", alias=exclusions_alias), EXCLUSIONS_TABLE)
    moments = {"since": now, "now": now, "examined": now, "too_late": now}
    alone = asking.count(OPERATION_TABLE, signed_in=False)
    wanted: tuple[str, ...] = ("Bucket", *counting.COLUMNS)
    yield Trial(f"count of {OPERATION_TABLE.name} alone", alone, summary(OPERATION_TABLE, *wanted))
    counts = {SIGN_IN_TABLE: counting.COLUMNS[:1], OPERATION_TABLE: counting.COLUMNS}
    for shape, columns in counts.items():
        for name, text, wanted in (
            ("count", asking.count(shape), ("Bucket", *columns)),
            ("latest", asking.latest(shape), ("Latest",)),
            ("arrivals", survey.arrivals_query(shape, moments), survey.ARRIVED),
        ):
            yield Trial(f"{name} of {shape.name}", text, summary(shape, *wanted))
        rows = asking.rows(shape, EVERYBODY, now, now)
        yield Trial(f"read of {shape.name}", rows, shape)
        yield Trial(f"recording of {shape.name}", asking.recording(shape, now, now), shape)
    for name, text, wanted in (
        ("addresses", asking.addresses(EVERYBODY), cluster.ADDRESSES),
        ("correlate", asking.correlate(EVERYBODY, ()), cluster.COLUMNS),
        ("pairs", asking.pairs(EVERYBODY, ()), tracing.COLUMNS),
    ):
        yield Trial(name, text, summary(SIGN_IN_TABLE, *wanted))
    yield Trial("actions", actions_query(asking.window, statuses, NOBODY), OPERATION_TABLE)
    yield Trial("baseline", history_query(now, now, statuses), HISTORY_TABLE)


def tried(workspace: LogAnalytics, all_of_them: Iterator[Trial], threads: Executor) -> list[Tried]:
    """Ask every query, as many at once as there are threads, and return how each went."""

    def ask(trial: Trial) -> Tried:
        try:
            workspace.undivided(trial.text, trial.shape)
        except NotThere as error:
            return Tried(trial.name, missing=error.table)
        except (CutShort, SourceError) as error:
            return Tried(trial.name, problem=str(error))
        return Tried(trial.name)

    return list(threads.map(ask, all_of_them))
