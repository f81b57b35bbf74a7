"""`run`: one invocation, on recorded logs or on the workspaces in the settings."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from detection.cli import console as terminal
from detection.cli.guards import check_times, separate_from_app
from detection.cli.options import (
    TimeParam,
    backfill_bounds,
    check_distinct_files,
    current_time,
    from_option,
    now_option,
    path_option,
    quiet_option,
    since_option,
    to_option,
    verbose_option,
)
from detection.cli.output.options import chosen_outputs, output_options
from detection.cli.output.outcome import RECORDED_WORKSPACE, run_and_report, run_each, run_one
from detection.cli.output.outputs import Outputs, outputs_of
from detection.cli.recorded_run import check_outputs, examine_all, warn_of_rows_outside
from detection.cli.shell.help import Command
from detection.cli.shell.settings_file import settings_option
from detection.cli.shell.stops import explain_stop
from detection.errors import SettingsError
from detection.misspelt import misspelt_settings
from detection.pipeline.invocation import Invocation
from detection.pipeline.workspaces import Connections
from detection.settings import DeploymentSettings, read_settings, rule_settings
from detection.sinks import FanOutSink
from detection.sources.recorded.folder import RecordedSource
from detection.state import ReadOnlyStore, StateStore
from detection.state.folder import FolderStore

KEPT: Final = (
    "the windows examined so far are remembered, with their findings; run again to go on with the "
    "others"
)
NOT_KEPT: Final = (
    "nothing is remembered; findings that were printed or written stand, and the next run begins "
    "at the start"
)


@click.command(
    "run",
    cls=Command,
    short_help="Examine the windows that are due, or the hours of a backfill.",
    examples=(
        "run --recorded my-logs --from 2026-03-14T00:00:00Z --to 2026-03-15T00:00:00Z",
        "run --recorded my-logs --now 2026-03-14T10:00:00Z --report report.html",
        "run --since 7d --output findings.csv",
        "run --settings local.settings.json --dry-run",
        "run --state-dir state --quiet --fail-on high",
    ),
)
@path_option(
    "--recorded",
    metavar="DIR",
    help="Read the recorded tables in this folder; default: the workspaces in the settings.",
)
@now_option
@from_option
@to_option
@since_option
@click.option(
    "--set-watermark",
    "watermark",
    type=TimeParam(),
    metavar="TIME",
    help="Set the watermark back to TIME, to examine the hours after it again.",
)
@path_option(
    "--state-dir",
    metavar="DIR",
    help="Keep the state in this folder; without any state, every finding counts as new.",
)
@settings_option
@output_options(files=True)
@click.option(
    "--fail-on",
    type=click.Choice(["low", "medium", "high"]),
    help="Exit with status 3 if a finding of this run has at least this severity.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Print findings only: deliver nothing, write no file and no state.",
)
@quiet_option
@verbose_option
def run_command(
    *,
    recorded: Path | None,
    now: int | None,
    start: int | None,
    end: int | None,
    since: int | None,
    watermark: int | None,
    state_dir: Path | None,
    fail_on: str | None,
    dry_run: bool,
    quiet: bool,
    verbose: bool,
    **outputs: Any,
) -> int:
    """Examine the windows that are due.

    With --from and --to, or --since, examine the windows between them instead (a backfill). With
    --recorded and no time, examine every hour that the folder has rows of.

    Times are ISO 8601, such as 2026-03-14T10:00:00Z; a time without an offset is UTC.

    Settings come from the environment. With --recorded: LOOKBACK, CORRELATION_SPAN, MAX_CATCH_UP,
    MAX_LATENESS, SUCCESS_STATUSES, NOVELTY. Without it, also WORKSPACE_IDS; STATE_ACCOUNT_URL
    keeps the state in Azure, and LOGS_INGESTION_ENDPOINT sends the findings to a table.

    Exit status: 0 if the run succeeded; 1 if a run failed (no finding is lost); 2 if the command or
    the settings are wrong; 3 if --fail-on applies; 130 or 143 if it was stopped; 141 if the output
    pipe is closed.
    """
    messages = terminal.Messages.of(quiet=quiet)
    for sentence in misspelt_settings(os.environ):
        terminal.print_warning(messages.warnings, sentence)
    choice = chosen_outputs(**outputs)
    invocation = Invocation(
        workspace_id=RECORDED_WORKSPACE,
        now=current_time() if now is None else now,
        settings=rule_settings(os.environ),
        backfill=backfill_bounds(now, start, end, since),
        watermark=watermark,
        by_clock=now is None,
    )
    named = {"--output": choice.output, "--runs": choice.runs, "--report": choice.report}
    check_distinct_files(named, recorded)
    if recorded is not None:
        remembers = bool(state_dir) and not dry_run
        check_times(invocation, remembers=remembers)
        source = RecordedSource(recorded)
        check_outputs(source, named)
        shown = outputs_of(choice, messages, dry_run=dry_run, append=bool(state_dir))
        store = _store(state_dir, dry_run=dry_run)
        sentence = ""
        if invocation.by_clock and invocation.backfill is None:
            invocation, sentence = examine_all(source, recorded, invocation, store)
        else:
            warn_of_rows_outside(source, recorded, invocation, store)
        if sentence:
            terminal.print_line(messages.notes, sentence)
        connections = Connections(source, FanOutSink(*shown.sinks), store)
        with explain_stop(KEPT if remembers else NOT_KEPT), shown:
            return run_and_report(connections, invocation, shown, fail_on)
    try:
        deployment = read_settings(os.environ, complete=False).deployment
    except SettingsError as error:
        raise SettingsError(f"{error}; or give --recorded DIR to examine recorded logs") from error
    deployment = replace(deployment, dry_run=dry_run or deployment.dry_run)
    has_state = bool(state_dir or deployment.state_account_url)
    remembers = has_state and not deployment.dry_run
    check_times(invocation, remembers=remembers)
    deployment = separate_from_app(deployment, state_dir)
    shown = outputs_of(choice, messages, dry_run=deployment.dry_run, append=has_state)
    invocation = replace(invocation, deployment=deployment.name)
    connect = _workspaces(deployment, state_dir, shown)
    each = partial(run_one, connect, invocation, shown, fail_on)
    with explain_stop(KEPT if remembers else NOT_KEPT), shown:
        return run_each(deployment.workspace_ids, each, messages, verbose=verbose)


def _workspaces(
    settings: DeploymentSettings, state_dir: Path | None, outputs: Outputs
) -> Callable[[str], Connections]:
    """Return a function from a workspace's id to its connections.

    The sinks of files and terminal come before Azure's.
    """
    # Takes half a second to import, which a run on recorded logs does not need.
    from detection.azure_clients import AzureClients  # noqa: PLC0415

    connect = AzureClients(settings).connector()

    def connect_with_outputs(workspace_id: str) -> Connections:
        source, sink, store = connect(workspace_id)
        if state_dir is not None:
            store = _store(state_dir / workspace_id, dry_run=settings.dry_run)
        return Connections(source, FanOutSink(*outputs.sinks, sink), store)

    return connect_with_outputs


def _store(folder: Path | None, *, dry_run: bool) -> StateStore:
    if folder is None:
        return ReadOnlyStore()
    store = FolderStore(folder, create=not dry_run)
    return ReadOnlyStore(store) if dry_run else store
