"""The whole rule as one query: for the Logs page, and for a rule of Microsoft Sentinel."""

from typing import Final, NamedTuple

from detection.kql.render import Ago, Duration, Name, Query, query
from detection.rule.filters import RuleSettings
from detection.rule.kql_text import ascii_lower
from detection.rule.ticks import HOUR
from detection.schema import SEVERITY
from detection.sentinel.severity import TOP_SEVERITY, exceptions, top_pattern
from detection.window import INTERVAL, VISIBILITY_MARGIN

SCHEDULED_ROWS_ARRIVED: Final = Ago(VISIBILITY_MARGIN)
LAST_RUN: Final = Ago(INTERVAL + VISIBILITY_MARGIN)


class Period(NamedTuple):
    """The time whose rows a query reads: moments in ticks, or relative to the query's own time."""

    start: int | Ago
    end: int | Ago


def logs_page_query(rule: RuleSettings, alias: str, period: Period | None = None) -> str:
    """Return the query for the Logs page; without a period it reads the last `rule.lookback`."""
    chosen = period or Period(Ago(rule.lookback), Ago(0))
    return _impact(rule, alias, chosen, now=Ago(0), reported=Name("Pairs"))


def scheduled_query(rule: RuleSettings, alias: str) -> str:
    """Return the query of a rule that runs every hour, without comments.

    A run reports the operations that no run before could report. It reads rows that arrived until
    VISIBILITY_MARGIN ago, because a newer row may not be visible yet.
    """
    impact = _impact(
        rule,
        alias,
        Period(Ago(query_period(rule)), Ago(0)),
        now=SCHEDULED_ROWS_ARRIVED,
        reported=query("new_pairs", last_run=LAST_RUN),
    )
    return _shortened(query("scheduled_rule", impact=impact))


def query_period(rule: RuleSettings) -> int:
    """Return the time that a scheduled rule reads, in ticks: whole hours.

    A row may arrive `rule.max_lateness` late and be read by the run after that, and needs the
    sign-ins before it.
    """
    needed = rule.max_lateness + INTERVAL + VISIBILITY_MARGIN + rule.span
    return -(-needed // HOUR) * HOUR


def _impact(
    rule: RuleSettings, alias: str, period: Period, *, now: Ago, reported: Name | Query
) -> Query:
    """Return the query from its parts, which the cluster's correlation shares."""
    times = {"start": Name("Start"), "end": Name("End"), "now": Name("Now")}
    return query(
        "impact",
        start=period.start,
        end=period.end,
        now=now,
        span=Duration(rule.span),
        functions=query("functions"),
        excluded=query("excluded_addresses", allowlist=query("allowlist", alias=alias)),
        rows=query(
            "rows",
            sign_ins=query("sign_ins", **times),
            operations=query("operations", **times, statuses=rule.success_statuses),
            folded_statuses=tuple(map(ascii_lower, rule.success_statuses)),
            addresses=Name("Excluded"),
        ),
        reported=reported,
        values=query("group_values", reached=Name("Reported")),
        is_grave=query("is_grave", top_pattern=(top_pattern(),), exceptions=exceptions()),
        top_severity=(TOP_SEVERITY,),
        severity=(SEVERITY,),
    )


def _shortened(text: str) -> str:
    """Return a query without comments, and with one space for each four at a line's beginning."""
    lines = [line for line in text.splitlines(keepends=True) if not line.lstrip().startswith("//")]
    return "".join(" " * ((len(line) - len(line.lstrip())) // 4) + line.lstrip() for line in lines)
