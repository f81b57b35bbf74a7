"""Options, checks and error output that several commands share."""

import contextlib
import logging
import os
import re
import sys
import traceback
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click

from detection.errors import UsageError
from detection.printable import one_line, printable
from detection.rule import ticks
from detection.sources.recorded import RECORDED_TABLES

TABLES = {shape.name for shape in RECORDED_TABLES}


class TimeParam(click.ParamType[int]):
    """An ISO 8601 time, as ticks."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Parse the time; without an offset it is UTC, as in the logs."""
        if isinstance(value, int):
            return value
        try:
            moment = ticks.parse_time(str(value))
        except ValueError as error:
            self.fail(f"{error}: write it like 2026-03-14T10:00:00Z", param, ctx)
        if moment < ticks.parse_time("1970-02-01"):
            self.fail(f"{value!r} is before February 1970: give a later time", param, ctx)
        return moment


class AgoParam(click.ParamType[int]):
    """A number of days, hours or minutes, such as 7d, 36h or 90m, as ticks."""

    name = "ago"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Parse the time span."""
        match = re.fullmatch(r"([1-9]\d{0,6})([dhm])", str(value), re.ASCII)
        if match is None:
            self.fail(f"{value!r} is not a number of d, h or m: write it like 7d", param, ctx)
        return int(match[1]) * {"d": ticks.DAY, "h": ticks.HOUR, "m": ticks.MINUTE}[match[2]]


# An option that takes a path; its metavar says FILE or DIR.
path_option = partial(click.option, type=click.Path(path_type=Path))
now_option = click.option(
    "--now",
    type=TimeParam(),
    metavar="TIME",
    help="End of the last window; default: the current time.",
)
from_option = click.option(
    "--from",
    "start",
    type=TimeParam(),
    metavar="TIME",
    help="Start of a backfill; rows after this time.",
)
to_option = click.option(
    "--to", "end", type=TimeParam(), metavar="TIME", help="End of a backfill; rows up to this time."
)
since_option = click.option(
    "--since",
    type=AgoParam(),
    metavar="AGO",
    help="Backfill from AGO before --now, or before the present: 7d, 36h, 90m.",
)
quiet_option = click.option(
    "-q", "--quiet", is_flag=True, help="Print only warnings and errors on stderr."
)


def _log_token_attempts(context: click.Context, option: click.Parameter, verbose: bool) -> bool:
    """Print all attempts to get a token, with --verbose."""
    del context, option
    if verbose:
        # Imports Azure's SDK, which takes long; commands without --verbose need not wait.
        from detection.credential_errors import AttemptLog  # noqa: PLC0415

        logging.getLogger("azure.identity").addHandler(AttemptLog())
    return verbose


verbose_option = click.option(
    "--verbose",
    is_flag=True,
    callback=_log_token_attempts,
    help="Print a traceback with each error, and every attempt to get a token.",
)


def current_time() -> int:
    """Return the current time in ticks."""
    return ticks.from_datetime(datetime.now(UTC))


def backfill_bounds(
    now: int | None, start: int | None, end: int | None, since: int | None = None
) -> tuple[int, int] | None:
    """Check the options of time against each other; return (from, to), or None without a backfill.

    Raises UsageError.
    """
    if since is not None:
        if start is not None or end is not None:
            raise UsageError("--since is short for --from and --to: give only one kind")
        latest = current_time() if now is None else now
        return latest - since, latest
    if start is None and end is None:
        return None
    if start is None or end is None:
        raise UsageError("--from and --to go together: give both")
    if now is not None:
        raise UsageError(
            "--now is for a scheduled run, --from and --to are for a backfill: give only one kind"
        )
    if start >= end:
        raise UsageError(
            f"--from {ticks.format_time(start)} is not before --to {ticks.format_time(end)}: "
            "swap them"
        )
    return start, end


def check_distinct_files(named: dict[str, Path | None], recorded: Path | None = None) -> None:
    """Refuse two options with the same file, and an option with a table of the recording.

    Raises UsageError.
    """
    taken: dict[Path, str] = {}
    for option, path in named.items():
        if path is None:
            continue
        file = Path(os.path.realpath(path))  # accepts a link to itself
        is_table = file.name.partition(".")[0] in TABLES
        if is_table and recorded and file.parent == Path(os.path.realpath(recorded)):
            raise UsageError(f"{option} {path} is a table of --recorded: give another file")
        if (other := taken.setdefault(file, option)) != option:
            raise UsageError(f"{other} and {option} both name {path}: give two files")


def print_error(message: str, *, verbose: bool) -> None:
    """Print the error on one line of stderr, after the traceback with --verbose."""
    trace = printable(traceback.format_exc()) if verbose else ""
    with contextlib.suppress(OSError):  # nobody reads stderr any more
        if sys.stderr is not None:
            print(f"{trace}error: {one_line(message)}", file=sys.stderr, flush=True)


def describe_error(error: BaseException) -> str:
    """Return the message of an unexpected error, with the remedy."""
    described = f"{type(error).__name__}: {error}"
    if isinstance(error, OSError):
        return (
            f"{described}: free space or give access, and run again; --verbose prints a traceback"
        )
    return f"{described}: this is a bug in the program, please run with --verbose and report it"
