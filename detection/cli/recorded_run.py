"""The examined hours of a recorded folder, and the warning if rows lie outside of them."""

import shlex
from dataclasses import replace
from pathlib import Path

from detection.cli.shell.program import program_name
from detection.errors import UsageError
from detection.pipeline.invocation import Invocation
from detection.printable import counted
from detection.rule.ticks import format_time
from detection.sources.recorded.folder import RecordedSource
from detection.state import StateStore
from detection.window import LONG_AGO, backfill_windows


def examine_all(
    source: RecordedSource, folder: Path, invocation: Invocation, store: StateStore
) -> tuple[Invocation, str]:
    """Return the invocation with every hour that the folder has rows of, and a sentence about it.

    A state leaves out the hours up to its watermark. Raises UsageError if a run that remembers
    would examine hours after the present.
    """
    limits = source.time_range()
    if limits is None:
        return invocation, f"{folder} has no sign-ins and no operations."
    first, last = limits
    present = invocation.now
    if store.remembers and last > present:
        raise UsageError(
            f"{folder} has rows until {format_time(last)}, later than the present: this run would "
            "remember all hours until then as examined; omit --state-dir, or give --now TIME"
        )
    ends = list(source.hours())
    if last <= present < ends[-1]:
        ends[-1] = present  # the hour has not ended yet
    watermark = store.load()[0].watermark or LONG_AGO
    due = sum(end > watermark for end in ends)
    hours = counted(due, "hour") if due == len(ends) else f"{due} of {counted(len(ends), 'hour')}"
    sentence = f"{folder} has rows from {_short(first)} to {_short(last)}: examining {hours}."
    return replace(invocation, now=max(present, last), ends=tuple(ends)), sentence


def warn_of_rows_outside(
    source: RecordedSource, folder: Path, invocation: Invocation, store: StateStore
) -> None:
    """Give the source a warning if rows lie outside of the time that the invocation examines.

    Rows up to the watermark of a state count as examined.
    """
    limits = source.time_range()
    if limits is None:
        return
    settings = invocation.settings
    if invocation.backfill is not None:
        start = backfill_windows(*invocation.backfill, settings)[0].start
        end = invocation.backfill[1]
    else:
        end = invocation.now
        examined = store.load()[0].watermark is not None
        start = LONG_AGO if examined else end - settings.lookback
    outside = source.rows_outside(start, end)
    if not outside:
        return
    first, last = map(_short, limits)
    place = f"{_short(start)} to {_short(end)}" if start else f"the hours until {_short(end)}"
    source.add_warning(
        f"{counted(outside, 'row')} of {folder} not examined, because of a time outside of "
        f"{place}: its rows are from {first} to {last}; to examine all of them, run "
        f"`{program_name()} run --recorded {shlex.quote(str(folder))}`"
    )


def check_outputs(source: RecordedSource, outputs: dict[str, Path | None]) -> None:
    """Raise UsageError if an option names a file that the source has read."""
    read = {file.resolve() for file in source.files}
    for option, path in outputs.items():
        if path is not None and path.resolve() in read:
            raise UsageError(f"{option} {path} is a table of --recorded: give another file")


def _short(ticks: int) -> str:
    return format_time(ticks)[:19] + "Z"
