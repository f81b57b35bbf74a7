"""`record`: saves a workspace's rows as a recorded folder."""

import os
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from detection.cli import console as terminal
from detection.cli.options import (
    backfill_bounds,
    current_time,
    from_option,
    now_option,
    path_option,
    quiet_option,
    since_option,
    to_option,
    verbose_option,
)
from detection.cli.shell.help import Command
from detection.cli.shell.program import program_name
from detection.cli.shell.settings_file import settings_option
from detection.cli.shell.stops import explain_stop
from detection.errors import SourceError, UsageError
from detection.misspelt import misspelt_settings
from detection.printable import counted
from detection.ranking.baseline import PAST_CHANGES_TABLE, first_time_read
from detection.rule.exclusions import EXCLUSIONS_TABLE
from detection.rule.filters import RuleSettings
from detection.rule.kql_text import ascii_lower
from detection.rule.log_rows import (
    ALLOWLIST_TABLE,
    IDENTITY,
    OPERATION_TABLE,
    SIGN_IN_TABLE,
    SourceState,
    TableShape,
)
from detection.rule.ticks import DAY, HOUR, format_time
from detection.settings import read_settings
from detection.sources.identity_columns import DETAILS_TABLE
from detection.sources.log_analytics.api_errors import TableMissing
from detection.sources.recorded.pseudonyms import Pseudonyms
from detection.sources.recorded.recorder import Piece, Recorder
from detection.window import Mode, Window

if TYPE_CHECKING:
    from detection.sources.workspace.source import WorkspaceSource


@click.command(
    "record",
    cls=Command,
    short_help="Save a workspace's rows as a recorded folder.",
    examples=(
        "record --out my-logs",
        "record --out my-logs --since 2d",
        "record --out to-share --pseudonymize --settings local.settings.json",
    ),
)
@path_option(
    "--out",
    metavar="DIR",
    required=True,
    help="Write the tables to this folder; it must not hold recorded tables.",
)
@click.option(
    "--workspace",
    metavar="ID",
    help="The workspace to record; required if WORKSPACE_IDS has more than one.",
)
@now_option
@from_option
@to_option
@since_option
@click.option(
    "--pseudonymize",
    is_flag=True,
    help="Replace names, ids and addresses by pseudonyms, the same in all tables.",
)
@settings_option
@quiet_option
@verbose_option
def record_command(
    *,
    out: Path,
    workspace: str | None,
    now: int | None,
    start: int | None,
    end: int | None,
    since: int | None,
    pseudonymize: bool,
    quiet: bool,
    verbose: bool,
) -> int:
    """Save a workspace's rows as a recorded folder.

    `run --recorded` examines the folder. It holds the rows that the rule can use, of one window
    that ends at --now, or of the time between --from and --to, or of --since: successful sign-ins
    to Key Vault and Storage, successful writes and deletes, corroborating actions, details of the
    identities, the allowlist and the exclusions. Unless NOVELTY is false, it also holds the changes
    of the 14 days before, summed up by day.

    With --pseudonymize the folder can be shared: names and ids of persons, resources, addresses
    and events are replaced, and the key is not stored. Times, result codes, statuses, the names of
    Azure's services and the known words of Azure's operation names stay.
    """
    del verbose
    messages = terminal.Messages.of(quiet=quiet)
    for sentence in misspelt_settings(os.environ):
        terminal.print_warning(messages.warnings, sentence)
    settings = read_settings(os.environ, complete=False)
    latest = current_time() if now is None else now
    bounds = backfill_bounds(now, start, end, since) or (latest - settings.rule.lookback, latest)
    workspace_id = _choose_workspace(workspace, settings.deployment.workspace_ids)
    Recorder(out)  # refuses a folder that cannot be written, before any row is read
    from detection.azure_clients import AzureClients  # noqa: PLC0415 - half a second that --help need not wait

    source = AzureClients(settings.deployment).source(workspace_id)
    entries = source.allowlist()
    pseudonyms = Pseudonyms(entries or ()) if pseudonymize else None
    kept = f"the recording in {out} is incomplete: remove it before you record again"
    with explain_stop(kept):
        _record(source, entries, Recorder(out, pseudonyms), bounds, settings.rule, messages.notes)
    hint = f"{program_name()} run --recorded {out} --now {format_time(bounds[1])}"
    terminal.print_line(messages.notes, f"To examine it: {hint}")
    return 0


def _record(
    source: "WorkspaceSource",
    entries: Sequence[str] | None,
    recording: Recorder,
    bounds: tuple[int, int],
    settings: RuleSettings,
    stderr: Console,
) -> None:
    """Write each existing table, and print the number of its rows."""
    found = False
    identities: set[str] = set()
    for shape in (SIGN_IN_TABLE, OPERATION_TABLE):
        # Checked first: a table that is removed while it is read must not look like a small one.
        if source.probe(shape, bounds[1], settings)[0] is SourceState.MISSING:
            terminal.print_line(stderr, f"{shape.name}: missing, not recorded; {shape.remedy}")
            continue
        pieces = _read_by_hour(source, shape, bounds, settings, stderr)
        if shape is SIGN_IN_TABLE:
            pieces = _collect_identities(identities, pieces)
        else:
            pieces = chain(pieces, _read_actions(source, identities, bounds, settings))
        count = recording.write_rows(shape, pieces)
        terminal.print_line(stderr, f"{shape.name}: {counted(count, 'row')}")
        found = True
    if found and settings.novelty:
        first_day, last_day = (bound // DAY for bound in bounds)
        past = source.context.past_changes(first_time_read(first_day), last_day * DAY - 1, settings)
        if past:
            count = recording.write_rows(PAST_CHANGES_TABLE, [(past, ())])
            terminal.print_line(stderr, f"{PAST_CHANGES_TABLE.name}: {counted(count, 'row')}")
    if not found:
        raise SourceError(
            "nothing was recorded, because the workspace has neither table: check WORKSPACE_IDS"
        )
    if identities:
        count = recording.write_rows(DETAILS_TABLE, _read_details(source, identities, bounds))
        terminal.print_line(stderr, f"{DETAILS_TABLE.name}: {counted(count, 'row')}")
    if exclusions := source.context.exclusions():
        count = recording.write_exclusions(exclusions)
        terminal.print_line(stderr, f"{EXCLUSIONS_TABLE.name}: {counted(count, 'row')}")
    if entries is None:
        terminal.print_line(stderr, f"{ALLOWLIST_TABLE.name}: missing, not recorded")
        return
    count = recording.write_allowlist(entries)
    terminal.print_line(stderr, f"{ALLOWLIST_TABLE.name}: {counted(count, 'entry', 'entries')}")


def _read_by_hour(
    source: "WorkspaceSource",
    shape: TableShape,
    bounds: tuple[int, int],
    settings: RuleSettings,
    stderr: Console,
) -> Iterator[Piece]:
    """Read one hour after another; shows progress for many hours."""
    for hour in terminal.with_progress(_hours(bounds), stderr):
        try:
            for table in source.tables(shape, hour, current_time(), settings):
                yield table.rows, table.row_arrivals
        except TableMissing as error:
            raise SourceError(
                f"{shape.name} was removed while it was recorded ({error}): record again"
            ) from None


def _hours(bounds: tuple[int, int]) -> list[Window]:
    """Return the hours between the bounds (ticks); the last one may be shorter."""
    start, last = bounds
    ends = [start, *range(start + HOUR, last, HOUR), last]
    return [Window(begin, end, Mode.BACKFILL) for begin, end in pairwise(ends)]


def _collect_identities(identities: set[str], pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Yield the pieces unchanged, and add the identities of their sign-ins to `identities`."""
    for rows, arrivals in pieces:
        identities.update(ascii_lower(row[IDENTITY]) for row in rows)
        yield rows, arrivals


def _read_actions(
    source: "WorkspaceSource",
    identities: set[str],
    bounds: tuple[int, int],
    settings: RuleSettings,
) -> Iterator[Piece]:
    """Read the corroborating actions of the identities that signed in."""
    window = Window(*bounds, Mode.BACKFILL)
    yield source.context.actions(identities - {""}, window, current_time(), settings), ()


def _read_details(
    source: "WorkspaceSource", identities: set[str], bounds: tuple[int, int]
) -> Iterator[Piece]:
    """Read the details of the identities that signed in, one hour after another.

    Windows of `run` begin and end with these hours, so each has its own details.
    """
    for hour in _hours(bounds):
        yield source.context.identity_details(identities - {""}, hour, current_time()), ()


def _choose_workspace(given: str | None, ids: Sequence[str]) -> str:
    """Return the workspace to record; raises UsageError."""
    if given is None and len(ids) == 1:
        return ids[0]
    if given is None:
        raise UsageError("WORKSPACE_IDS has several workspaces: give one with --workspace")
    if given.lower() not in ids:
        raise UsageError(f"--workspace {given:.60} is not in WORKSPACE_IDS: give one of those")
    return given.lower()
