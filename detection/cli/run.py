"""`run`: one invocation, on recorded logs or on the workspaces in the settings."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import click
from rich.console import Console

from detection.cli import console as terminal
from detection.cli.guards import check_times, separate_from_app
from detection.cli.options import (
    Moment,
    backfill_bounds,
    check_distinct_files,
    current_time,
    describe_error,
    from_option,
    now_option,
    path_option,
    print_error,
    to_option,
    verbose_option,
)
from detection.errors import DetectionError, SettingsError, UsageError
from detection.outbox import Outbox, Row
from detection.pipeline.invocation import Invocation
from detection.pipeline.job import run
from detection.pipeline.workspaces import Connections
from detection.settings import DeploymentSettings, read_settings, rule_settings
from detection.sinks import FanOutSink, FindingSink
from detection.sinks.jsonl import JsonLinesFile, JsonLinesStream
from detection.sinks.terminal import FindingsTable
from detection.sources.recorded.folder import RecordedSource
from detection.state import ReadOnlyStore, StateStore
from detection.state.folder import FolderStore

RECORDED_WORKSPACE = "recorded"


@click.command("run")
@path_option(
    "--recorded",
    metavar="DIR",
    help="Read the recorded tables in this folder; default: the workspaces in the settings.",
)
@now_option
@from_option
@to_option
@click.option(
    "--set-watermark",
    "watermark",
    type=Moment(),
    metavar="TIME",
    help="Treat all hours after TIME as not examined yet, where a wrong clock said otherwise.",
)
@path_option(
    "--state-dir",
    metavar="DIR",
    help="Remember here what was reported; without it, nor a setting, everything found is new.",
)
@click.option("--json", "as_json", is_flag=True, help="Print findings as JSON Lines on stdout.")
@path_option(
    "--output",
    metavar="FILE",
    help="Write findings to FILE as JSON Lines; added to it where runs remember, else anew.",
)
@path_option(
    "--runs",
    metavar="FILE",
    help="Write a record of each window examined to FILE, likewise.",
)
@path_option(
    "--report",
    metavar="FILE",
    help="Write a report for people to FILE, an HTML page that needs no network.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Show what would be reported; deliver nothing, write no file and no state.",
)
@verbose_option
def run_command(
    *,
    recorded: Path | None,
    now: int | None,
    start: int | None,
    end: int | None,
    watermark: int | None,
    state_dir: Path | None,
    as_json: bool,
    output: Path | None,
    runs: Path | None,
    report: Path | None,
    dry_run: bool,
    verbose: bool,
) -> int:
    """Examine the windows that are due, or those between --from and --to (a backfill).

    Times are ISO 8601, UTC unless they say otherwise: 2026-03-14T10:00:00Z.

    Settings come from the environment. With --recorded: LOOKBACK, CORRELATION_SPAN, MAX_CATCH_UP,
    MAX_LATENESS, SUCCESS_STATUSES, NOVELTY. Without it, WORKSPACE_IDS too; where
    STATE_ACCOUNT_URL is set, that is where runs remember, and where LOGS_INGESTION_ENDPOINT is,
    findings go there as well.

    Exit status: 0 ran, 1 a run failed (nothing found is lost), 2 bad usage or settings, 141 nobody
    reads the output any more.
    """
    asked = Invocation(
        workspace_id=RECORDED_WORKSPACE,
        now=current_time() if now is None else now,
        settings=rule_settings(os.environ),
        backfill=backfill_bounds(now, start, end),
        watermark=watermark,
        by_clock=now is None,
    )
    files = _OutputFiles(output, runs, report)
    check_distinct_files({"--output": output, "--runs": runs, "--report": report}, recorded)
    if recorded is not None:
        check_times(asked, remembers=bool(state_dir) and not dry_run)
        sinks = _shown(files, as_json=as_json, dry_run=dry_run, append=bool(state_dir))
        store = _store(state_dir, dry_run=dry_run)
        return run_and_report(
            Connections(RecordedSource(recorded), FanOutSink(*sinks), store), asked
        )
    try:
        deployment = read_settings(os.environ, complete=False).deployment
    except SettingsError as error:
        raise SettingsError(f"{error}; or give --recorded DIR to read recorded logs") from error
    deployment = replace(deployment, dry_run=dry_run or deployment.dry_run)
    remembers = bool(state_dir or deployment.state_account_url)
    check_times(asked, remembers=remembers and not deployment.dry_run)
    deployment = separate_from_app(deployment, state_dir)
    sinks = _shown(files, as_json=as_json, dry_run=deployment.dry_run, append=remembers)
    connect = _workspaces(deployment, state_dir, sinks)
    return _run_each(deployment.workspace_ids, connect, asked, verbose=verbose)


class _OutputFiles(NamedTuple):
    """The files to write to, as far as they are asked for."""

    output: Path | None
    runs: Path | None
    report: Path | None


def _shown(files: _OutputFiles, *, as_json: bool, dry_run: bool, append: bool) -> list[FindingSink]:
    """Return the sinks for files and terminal."""
    sinks: list[FindingSink] = []
    for path, pick in ((files.output, _findings), (files.runs, _runs)):
        if path is not None and not dry_run:
            sinks.append(JsonLinesFile(path, pick, append=append))
    if files.report is not None and not dry_run:
        sinks.append(report_sink(files.report))
    if as_json or files.output is None or dry_run:
        sinks.append(stdout(as_json=as_json))
    return sinks


def report_sink(path: Path) -> FindingSink:
    """Return the sink that writes the report."""
    # A quarter of a second that only a report costs.
    from detection.sinks.html_report import ReportFile  # noqa: PLC0415

    return ReportFile(path)


def run_and_report(parts: Connections, asked: Invocation) -> int:
    """Run the job, tell what came of it on stderr, and return the exit status."""
    stderr = Console(stderr=True, highlight=False, emoji=False)
    outcome = run(*parts, asked, progress=lambda windows: terminal.with_progress(windows, stderr))
    terminal.report_outcome(outcome, stderr)
    shown = {record["Error"] for record in outcome.records}
    for failure in outcome.failures:
        if failure not in shown:
            terminal.say(stderr, f"error: {failure}", "red")
    return 1 if outcome.failures else 0


def stdout(*, as_json: bool) -> FindingSink:
    """Return the sink that prints findings."""
    if sys.stdout is None:  # as the shell makes it with >&-
        raise UsageError("standard output is closed: open it, or redirect it to a file")
    if as_json:
        return JsonLinesStream(sys.stdout.buffer, _findings)
    return FindingsTable(Console())


def _workspaces(
    settings: DeploymentSettings, state_dir: Path | None, sinks: Sequence[FindingSink]
) -> Callable[[str], Connections]:
    """Return a function from a workspace's id to its parts; what is shown comes before Azure."""
    # Takes half a second to import, which a run on recorded logs need not wait for.
    from detection.azure_clients import AzureClients  # noqa: PLC0415

    connect = AzureClients(settings).connector()

    def parts(workspace_id: str) -> Connections:
        source, sink, store = connect(workspace_id)
        if state_dir is not None:
            store = _store(state_dir / workspace_id, dry_run=settings.dry_run)
        return Connections(source, FanOutSink(*sinks, sink), store)

    return parts


def _run_each(
    workspace_ids: Sequence[str],
    connect: Callable[[str], Connections],
    asked: Invocation,
    *,
    verbose: bool,
) -> int:
    """Examine workspaces one after another; one that fails does not stop the others."""
    status = 0
    for workspace_id in workspace_ids:
        if len(workspace_ids) > 1:
            terminal.say(Console(stderr=True, highlight=False), f"Workspace {workspace_id}:")
        try:
            parts = connect(workspace_id)
            status |= run_and_report(parts, replace(asked, workspace_id=workspace_id))
        except (UsageError, SettingsError):
            raise
        except DetectionError as error:
            print_error(str(error), verbose=verbose)
            status = 1
        except Exception as error:  # noqa: BLE001 - a mistake must not cost others their turn
            print_error(describe_error(error), verbose=verbose)
            status = 1
    return status


def _store(folder: Path | None, *, dry_run: bool) -> StateStore:
    if folder is None:
        return ReadOnlyStore()
    store = FolderStore(folder, create=not dry_run)
    return ReadOnlyStore(store) if dry_run else store


def _findings(outbox: Outbox) -> Sequence[Row]:
    return outbox.findings


def _runs(outbox: Outbox) -> Sequence[Row]:
    return outbox.runs
