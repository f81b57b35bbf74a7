"""What several commands share: how a time is given, and how an error is told."""

import contextlib
import logging
import os
import sys
import traceback
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click

from detection.errors import UsageError
from detection.printable import one_line, printable
from detection.rule import ticks
from detection.rule.exclusions import EXCLUSIONS_TABLE
from detection.rule.log_rows import ALLOWLIST_TABLE, OPERATION_TABLE, SIGN_IN_TABLE

TABLES = {
    shape.name for shape in (SIGN_IN_TABLE, OPERATION_TABLE, ALLOWLIST_TABLE, EXCLUSIONS_TABLE)
}


class Moment(click.ParamType[int]):
    """An ISO 8601 moment, as ticks."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Read it; without an offset it is UTC, as in the logs."""
        if isinstance(value, int):
            return value
        try:
            moment = ticks.parse_time(str(value))
        except ValueError as error:
            self.fail(f"{error}; write it like 2026-03-14T10:00:00Z", param, ctx)
        if moment < ticks.parse_time("1970-02-01"):
            self.fail(f"{value!r} is before there were logs", param, ctx)
        return moment


# An option that takes a path; its metavar says whether to a file or a folder.
path_option = partial(click.option, type=click.Path(path_type=Path))
now_option = click.option(
    "--now", type=Moment(), metavar="TIME", help="End of the window; default: now."
)
from_option = click.option(
    "--from", "start", type=Moment(), metavar="TIME", help="After this time."
)
to_option = click.option("--to", "end", type=Moment(), metavar="TIME", help="Up to this time.")


def _tell_attempts(context: click.Context, option: click.Parameter, verbose: bool) -> bool:
    """Have all told that is tried for a token, if it is asked for."""
    del context, option
    if verbose:
        # Azure is imported for it, which others need not wait for.
        from detection.credential_errors import AttemptLog  # noqa: PLC0415

        logging.getLogger("azure.identity").addHandler(AttemptLog())
    return verbose


verbose_option = click.option(
    "--verbose",
    is_flag=True,
    callback=_tell_attempts,
    help="Show a traceback with an error, and all that was tried for a token.",
)


def current_time() -> int:
    """Return the present moment in ticks."""
    return ticks.from_datetime(datetime.now(UTC))


def backfill_bounds(now: int | None, start: int | None, end: int | None) -> tuple[int, int] | None:
    """Check --now, --from and --to against each other; return the bounds, if they are given."""
    if start is None and end is None:
        return None
    if start is None or end is None:
        raise UsageError("--from and --to go together: give both")
    if now is not None:
        raise UsageError(
            "--now asks for one window, --from and --to for many: give one or the other"
        )
    if start >= end:
        raise UsageError(
            f"--from {ticks.format_time(start)} is not before --to {ticks.format_time(end)}: "
            "swap them?"
        )
    return start, end


def check_distinct_files(named: dict[str, Path | None], recorded: Path | None = None) -> None:
    """Refuse two options that name one file, and one that names a table of a recording."""
    taken: dict[Path, str] = {}
    for option, path in named.items():
        if path is None:
            continue
        file = Path(os.path.realpath(path))  # which a link that leads to itself does not upset
        is_table = file.name.partition(".")[0] in TABLES
        if is_table and recorded and file.parent == Path(os.path.realpath(recorded)):
            raise UsageError(f"{option} {path} is a table that is read: name another file")
        if (other := taken.setdefault(file, option)) != option:
            raise UsageError(f"{other} and {option} both name {path}: name two files")


def print_error(message: str, *, verbose: bool) -> None:
    """Say on one line of stderr what went wrong, after the traceback if it is asked for."""
    told = printable(traceback.format_exc()) if verbose else ""
    with contextlib.suppress(OSError):  # nobody is there to be told
        if sys.stderr is not None:
            print(f"{told}error: {one_line(message)}", file=sys.stderr, flush=True)


def describe_error(error: Exception) -> str:
    """Return what to say of an error that nobody foresaw."""
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, OSError):
        return f"{said}: free space or give access, and run again; --verbose shows where it was"
    return f"{said}: this is a mistake in the program; run again with --verbose and report it"
