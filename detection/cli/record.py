"""`record`: a workspace's rows as a recorded folder."""

import os
from collections.abc import Iterator, Sequence
from itertools import chain
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
    to_option,
    verbose_option,
)
from detection.errors import SourceError, UsageError
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
from detection.rule.ticks import HOUR, format_time
from detection.settings import read_settings
from detection.sources.log_analytics.api_errors import TableMissing
from detection.sources.recorded.pseudonyms import Pseudonyms
from detection.sources.recorded.recorder import Piece, Recorder
from detection.window import Mode, Window

if TYPE_CHECKING:
    from detection.sources.workspace.source import WorkspaceSource


@click.command("record")
@path_option(
    "--out",
    metavar="DIR",
    required=True,
    help="Write the recorded tables into this folder, which must not hold any.",
)
@click.option(
    "--workspace",
    metavar="ID",
    help="Which workspace; needed where WORKSPACE_IDS has more than one.",
)
@now_option
@from_option
@to_option
@click.option(
    "--pseudonymize",
    is_flag=True,
    help="Replace names, ids and addresses, each by the same throughout.",
)
@verbose_option
def record_command(
    *,
    out: Path,
    workspace: str | None,
    now: int | None,
    start: int | None,
    end: int | None,
    pseudonymize: bool,
    verbose: bool,
) -> int:
    """Save what the rule reads of a workspace as a recorded folder, for `run --recorded`.

    Saved are the rows of one window that ends at --now, or those between --from and --to, which
    the rule can use: successful sign-ins to Key Vault and Storage, successful writes and deletes;
    and what corroborates a finding, the allowlist and the exclusions.

    With --pseudonymize the folder can be shared: what names a person, a resource, an address or an
    event is replaced, and the key to it is thrown away. Times, result codes and statuses stay as
    they are, and so do the names of Azure's services and the words of operation names that are
    known to be Azure's.
    """
    del verbose
    settings = read_settings(os.environ, complete=False)
    end_of_all = current_time() if now is None else now
    bounds = backfill_bounds(now, start, end) or (end_of_all - settings.rule.lookback, end_of_all)
    workspace_id = _chosen(workspace, settings.deployment.workspace_ids)
    Recorder(out)  # complains now rather than after the reading
    from detection.azure_clients import AzureClients  # noqa: PLC0415 - half a second that --help need not wait

    source = AzureClients(settings.deployment).source(workspace_id)
    entries = source.allowlist()
    pseudonyms = Pseudonyms(entries or ()) if pseudonymize else None
    _record(source, entries, Recorder(out, pseudonyms), bounds, settings.rule)
    told = f"To look at it: python -m detection run --recorded {out} --now {format_time(bounds[1])}"
    terminal.say(Console(stderr=True, highlight=False), told)
    return 0


def _record(
    source: "WorkspaceSource",
    entries: Sequence[str] | None,
    recording: Recorder,
    bounds: tuple[int, int],
    settings: RuleSettings,
) -> None:
    """Write each table that is there, and say what was written."""
    stderr = Console(stderr=True, highlight=False)
    found = False
    identities: set[str] = set()
    for shape in (SIGN_IN_TABLE, OPERATION_TABLE):
        # Asked first: a table that goes missing while it is read must not look like a short one.
        if source.probe(shape, bounds[1], settings)[0] is SourceState.MISSING:
            terminal.say(stderr, f"{shape.name}: missing, not written; {shape.remedy}")
            continue
        pieces = _read(source, shape, bounds, settings, stderr)
        if shape is SIGN_IN_TABLE:
            pieces = _noting(identities, pieces)
        else:
            pieces = chain(pieces, _actions(source, identities, bounds, settings))
        count = recording.write_rows(shape, pieces)
        terminal.say(stderr, f"{shape.name}: {count} rows")
        found = True
    if not found:
        raise SourceError(
            "the workspace has neither table, so there is nothing to record: check WORKSPACE_IDS"
        )
    if exclusions := source.context.exclusions():
        count = recording.write_exclusions(exclusions)
        terminal.say(stderr, f"{EXCLUSIONS_TABLE.name}: {count} rows")
    if entries is None:
        terminal.say(stderr, f"{ALLOWLIST_TABLE.name}: missing, not written")
        return
    terminal.say(stderr, f"{ALLOWLIST_TABLE.name}: {recording.write_allowlist(entries)} entries")


def _read(
    source: "WorkspaceSource",
    shape: TableShape,
    bounds: tuple[int, int],
    settings: RuleSettings,
    stderr: Console,
) -> Iterator[Piece]:
    """Read hour after hour, with progress on long recordings."""
    start, last = bounds
    ends = [*range(start + HOUR, last, HOUR), last]
    hours = [Window(max(start, end - HOUR), end, Mode.BACKFILL) for end in ends]
    hours[-1] = Window(ends[-2] if len(ends) > 1 else start, last, Mode.BACKFILL)
    for hour in terminal.with_progress(hours, stderr):
        try:
            for table in source.tables(shape, hour, current_time(), settings):
                yield table.rows, table.row_arrivals
        except TableMissing as error:
            raise SourceError(
                f"{shape.name} went missing while it was recorded ({error}): record again"
            ) from None


def _noting(identities: set[str], pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Pass pieces on, and take note of whose sign-ins they hold."""
    for rows, arrivals in pieces:
        identities.update(ascii_lower(row[IDENTITY]) for row in rows)
        yield rows, arrivals


def _actions(
    source: "WorkspaceSource",
    identities: set[str],
    bounds: tuple[int, int],
    settings: RuleSettings,
) -> Iterator[Piece]:
    """Read what corroborates a finding of those who signed in."""
    window = Window(*bounds, Mode.BACKFILL)
    yield source.context.actions(identities - {""}, window, current_time(), settings), ()


def _chosen(given: str | None, ids: Sequence[str]) -> str:
    """Return the workspace to record."""
    if given is None and len(ids) == 1:
        return ids[0]
    if given is None:
        raise UsageError("WORKSPACE_IDS has several workspaces: choose one with --workspace")
    if given.lower() not in ids:
        raise UsageError(f"--workspace {given:.60} is not in WORKSPACE_IDS")
    return given.lower()
