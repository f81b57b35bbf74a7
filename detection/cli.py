"""The command line: what a person asks for, to one invocation of the job.

Exit status 0: ran, with or without findings; 1: a run failed, nothing found is lost; 2: bad usage
or settings. Errors are one line on stderr, with a traceback only if `--verbose` asks for it.
"""

import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console

from detection import console as terminal
from detection.arguments import Moment, backfill, check_apart
from detection.errors import DetectionError, SettingsError, UsageError
from detection.job import Invocation, run
from detection.rule import ticks
from detection.rule.ledger import Outbox, Row
from detection.settings import Settings
from detection.sinks import FindingSink, Several
from detection.sinks.jsonl import JsonLinesFile, JsonLinesStream
from detection.sources.recorded import RecordedSource
from detection.state import StateStore, Unsaved
from detection.state.folder import FolderStore

RECORDED_WORKSPACE = "recorded"
DEMO = Path(__file__).parent.parent / "tests/recorded/stolen-workload-deletes-backups-and-vaults"
DEMO_NOW = "2026-03-14T10:00:00Z"


# What lives as long as the process: a million rows let go one by one take a while.
until_exit: list[object] = []


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def cli() -> None:
    """Find managed identities that sign in to Key Vault or Storage and then change Azure.

    A finding is an identity that wrote or deleted something through the management plane within
    the hour after it signed in to Key Vault or Storage.
    """


@cli.command("run")
@click.option(
    "--recorded",
    type=click.Path(path_type=Path),
    metavar="DIR",
    required=True,
    help="Read the recorded tables in this folder.",
)
@click.option("--now", type=Moment(), metavar="TIME", help="End of the window; default: now.")
@click.option("--from", "start", type=Moment(), metavar="TIME", help="Backfill: after this time.")
@click.option("--to", "end", type=Moment(), metavar="TIME", help="Backfill: up to this time.")
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Remember here what was reported; without it, everything found is new.",
)
@click.option("--json", "as_json", is_flag=True, help="Print findings as JSON Lines on stdout.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write findings to FILE as JSON Lines; added to it with --state-dir, else anew.",
)
@click.option(
    "--runs",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a record of each window examined to FILE, likewise.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a report for people to FILE, an HTML page that needs no network.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Show what would be reported; write no file and no state.",
)
@click.option("--verbose", is_flag=True, help="Show a traceback with an error.")
def run_command(
    *,
    recorded: Path,
    now: int | None,
    start: int | None,
    end: int | None,
    state_dir: Path | None,
    as_json: bool,
    output: Path | None,
    runs: Path | None,
    report: Path | None,
    dry_run: bool,
    verbose: bool,
) -> int:
    """Examine the windows that are due, or those between --from and --to.

    Times are ISO 8601, UTC unless they say otherwise: 2026-03-14T10:00:00Z.

    Settings come from the environment: LOOKBACK, CORRELATION_SPAN, MAX_CATCH_UP, MAX_LATENESS,
    SUCCESS_STATUSES, NOVELTY.

    Exit status: 0 ran, 1 a run failed (nothing found is lost), 2 bad usage or settings.
    """
    del verbose  # main() looks at it
    settings = Settings.of(os.environ)
    asked = Invocation(
        workspace_id=RECORDED_WORKSPACE,
        now=ticks.from_datetime(datetime.now(UTC)) if now is None else now,
        timing=settings.timing,
        rule=settings.rule,
        backfill=backfill(now, start, end),
    )
    check_apart({"--output": output, "--runs": runs, "--report": report})
    sinks: list[FindingSink] = []
    for path, pick in ((output, _findings), (runs, _runs)):
        if path is not None and not dry_run:
            sinks.append(JsonLinesFile(path, pick, append=state_dir is not None))
    if report is not None and not dry_run:
        sinks.append(_report(report))
    if as_json or output is None or dry_run:
        sinks.append(_stdout(as_json=as_json))
    source = RecordedSource(recorded)
    until_exit.append(source)
    return _run(source, Several(*sinks), _store(state_dir, dry_run=dry_run), asked)


@cli.command("demo")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON Lines.")
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the report to FILE; default: in a new temporary folder.",
)
@click.option("--verbose", is_flag=True, help="Show a traceback with an error.")
def demo_command(*, as_json: bool, report: Path | None, verbose: bool) -> int:
    """Show the detection at work on a recorded attack; needs nothing."""
    del verbose
    if not DEMO.is_dir():
        raise UsageError(f"the demo reads {DEMO}, which only a checkout of the project has")
    stderr = Console(stderr=True, highlight=False)
    stderr.print(
        "An application's managed identity has been taken over. Its sign-ins and the changes made "
        f"to Azure until {DEMO_NOW} are recorded in\n{os.path.relpath(DEMO)}; "
        "this is what the hourly run reports:",
        soft_wrap=True,
        markup=False,
    )
    asked = Invocation(RECORDED_WORKSPACE, ticks.parse(DEMO_NOW))
    page = report or _temporary() / "report.html"
    sink = Several(_stdout(as_json=as_json), _report(page))
    status = _run(RecordedSource(DEMO), sink, Unsaved(), asked)
    if page.exists():
        told = f"The report is in {page}: open it in a browser."
        stderr.print(told, soft_wrap=True, markup=False)
    stderr.print("README.md says how to read this, and how to run it on logs of your own.")
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status = cli.main(args=given, prog_name="python -m detection", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        return _complain(f"{error.format_message()} (see --help)", given, status=2)
    except (UsageError, SettingsError) as error:
        return _complain(str(error), given, status=2)
    except DetectionError as error:
        return _complain(str(error), given, status=1)
    except (KeyboardInterrupt, click.Abort):
        return _complain("interrupted; nothing that was found is lost", given, status=1)
    return status if isinstance(status, int) else 0


def _run(source: RecordedSource, sink: FindingSink, store: StateStore, asked: Invocation) -> int:
    """Run the job, tell what came of it on stderr, and return the exit status."""
    stderr = Console(stderr=True, highlight=False, emoji=False)
    outcome = run(
        source,
        sink,
        store,
        asked,
        progress=lambda windows: terminal.with_progress(windows, stderr),
    )
    terminal.report_outcome(outcome, stderr)
    for failure in outcome.failures:
        stderr.print(f"error: {failure}", style="red", markup=False, soft_wrap=True)
    return 1 if outcome.failures else 0


def _temporary() -> Path:
    """Return a new folder, which nobody else can have put there."""
    try:
        return Path(tempfile.mkdtemp(prefix="managed-identity-impact-"))
    except OSError as error:
        raise UsageError(
            f"no folder for temporary files ({error.strerror}): use --report FILE"
        ) from error


def _report(path: Path) -> FindingSink:
    # A quarter of a second that only a report costs.
    from detection.report.file import ReportFile  # noqa: PLC0415

    return ReportFile(path)


def _stdout(*, as_json: bool) -> FindingSink:
    if sys.stdout is None:  # as the shell makes it with >&-
        raise UsageError("standard output is closed: open it, or redirect it to a file")
    if as_json:
        return JsonLinesStream(sys.stdout.buffer, _findings)
    return terminal.FindingsTable(Console())


def _store(folder: Path | None, *, dry_run: bool) -> StateStore:
    if folder is None:
        return Unsaved()
    store = FolderStore(folder, create=not dry_run)
    return Unsaved(store) if dry_run else store


def _findings(outbox: Outbox) -> Sequence[Row]:
    return outbox.findings


def _runs(outbox: Outbox) -> Sequence[Row]:
    return outbox.runs


def _complain(message: str, given: Sequence[str], *, status: int) -> int:
    """Say on one line of stderr what went wrong, after the traceback if it is asked for."""
    if "--verbose" in given:
        traceback.print_exc()
    line = " ".join(message.split())
    print(f"error: {line}", file=sys.stderr)
    return status
