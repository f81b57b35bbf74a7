"""The options that choose what a command shows, and the files that it writes."""

from collections.abc import Callable
from pathlib import Path

import click

from detection.cli.options import path_option
from detection.cli.output.outputs import FORMS, JSON_LINES, OutputChoice
from detection.errors import UsageError
from detection.report.findings import Selection

STANDARD_OUTPUT = Path("-")

_JSON = click.option("--json", "as_json", is_flag=True, help="The same as --format jsonl.")
_FILES = (
    path_option(
        "--output",
        metavar="FILE",
        help="Write findings to FILE: as --format says, or its suffix (.json, .csv, .md), or as "
        "JSON Lines, to which a run with a state appends. - is stdout.",
    ),
    path_option(
        "--runs",
        metavar="FILE",
        help="Write run records, one per window, to FILE as JSON Lines.",
    ),
)
_VIEW = (
    path_option(
        "--report",
        metavar="FILE",
        help="Write an HTML report to FILE; the page needs no network.",
    ),
    click.option(
        "--min-risk",
        type=click.IntRange(0, 100),
        default=0,
        metavar="N",
        help="Show only findings of at least N points, 0 to 100, in table and report.",
    ),
    click.option(
        "--top",
        type=click.IntRange(min=1),
        metavar="N",
        help="Show only the N findings of highest risk in table and report.",
    ),
    click.option("--details", is_flag=True, help="Print the details of all findings in the table."),
)


def output_options(*, files: bool) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Return a decorator that adds the options, with those of files on request.

    `chosen_outputs` makes an OutputChoice of their values.
    """
    form = click.option(
        "--format",
        "form",
        type=click.Choice(FORMS),
        help="Print findings on stdout in this form; default: table"
        + (", or nothing if there is --output FILE." if files else "."),
    )

    def add(command: Callable[..., int]) -> Callable[..., int]:
        for option in reversed((form, _JSON, *(_FILES if files else ()), *_VIEW)):
            command = option(command)
        return command

    return add


def chosen_outputs(
    *,
    form: str | None,
    as_json: bool,
    report: Path | None,
    min_risk: int,
    top: int | None,
    details: bool,
    output: Path | None = None,
    runs: Path | None = None,
) -> OutputChoice:
    """Return the choice; raises UsageError for options that contradict each other."""
    if as_json and form not in {None, JSON_LINES}:
        raise UsageError(f"--json is --format {JSON_LINES}: leave one of --json and --format out")
    for option, path in (("--runs", runs), ("--report", report)):
        if path == STANDARD_OUTPUT:
            raise UsageError(f"{option} - is not possible, as stdout is for findings: name a file")
    if as_json or (output == STANDARD_OUTPUT and form is None):
        form = JSON_LINES
    if output == STANDARD_OUTPUT:
        output = None
    return OutputChoice(form, output, runs, report, Selection(min_risk, top), details)
