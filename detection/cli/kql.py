"""`kql`: prints the rule as one query, or as a scheduled rule of Microsoft Sentinel."""

import os
import sys

import click

from detection.cli.options import TimeParam, backfill_bounds, verbose_option
from detection.cli.shell.help import Command
from detection.errors import UsageError
from detection.sentinel.query import Period, logs_page_query
from detection.sentinel.rule import as_arm, as_yaml
from detection.settings import query_settings
from detection.sinks.failures import standard_output_errors

FORMS = {"yaml": as_yaml, "arm": as_arm}


@click.command(
    "kql",
    cls=Command,
    short_help="Print the rule as a query, or as a scheduled rule of Microsoft Sentinel.",
    examples=(
        "kql",
        "kql --from 2026-03-14T08:00:00Z --to 2026-03-14T10:00:00Z",
        "kql --rule arm >rule.json",
    ),
)
@click.option(
    "--from",
    "start",
    type=TimeParam(),
    metavar="TIME",
    help="Read rows after TIME, up to --to; default: those of the LOOKBACK before the query runs.",
)
@click.option(
    "--to",
    "end",
    type=TimeParam(),
    metavar="TIME",
    help="Read rows up to TIME.",
)
@click.option(
    "--rule",
    "form",
    type=click.Choice(list(FORMS)),
    help="Print a scheduled rule of Microsoft Sentinel: as YAML, or as an ARM template.",
)
@verbose_option
def kql_command(*, start: int | None, end: int | None, form: str | None, verbose: bool) -> int:
    """Print the rule as a query for the Logs page, or as a scheduled rule of Microsoft Sentinel.

    The query gives one row for each finding. It contains the settings LOOKBACK, CORRELATION_SPAN,
    SUCCESS_STATUSES and WATCHLIST_ALIAS; the scheduled rule contains MAX_LATENESS instead of
    LOOKBACK. The command needs no access to Azure.

    Exit status: 0 if it was printed; 1 if the output cannot be written; 2 if an option or a setting
    is wrong.
    """
    del verbose
    rule, alias = query_settings(os.environ)
    bounds = backfill_bounds(None, start, end)
    if form is None:
        text = logs_page_query(rule, alias, Period(*bounds) if bounds else None)
    elif bounds:
        raise UsageError(
            "--from and --to are for the Logs page, and a scheduled rule reads the hours before "
            "each run: leave them out"
        )
    else:
        text = FORMS[form](rule, alias)
    with standard_output_errors():
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
    return 0
