"""`demo`: runs the detection on a recorded attack."""

import os
import tempfile
from pathlib import Path

import click
from rich.console import Console

from detection.cli import console as terminal
from detection.cli.options import path_option, verbose_option, view_options
from detection.cli.outputs import OutputFiles, outputs_of
from detection.cli.run import RECORDED_WORKSPACE, run_and_report
from detection.errors import UsageError
from detection.pipeline.invocation import Invocation
from detection.pipeline.workspaces import Connections
from detection.report.findings import Selection
from detection.rule import ticks
from detection.sinks import FanOutSink
from detection.sinks.terminal import FindingsView
from detection.sources.recorded.folder import RecordedSource
from detection.state import ReadOnlyStore

SCENARIO = Path(__file__).parents[2] / "tests/recorded/stolen-workload-deletes-backups-and-vaults"
NOW = "2026-03-14T10:00:00Z"


@click.command("demo")
@click.option("--json", "as_json", is_flag=True, help="Print findings as JSON Lines on stdout.")
@path_option(
    "--report",
    metavar="FILE",
    help="Write the HTML report to FILE; default: a file in a new temporary folder.",
)
@view_options
@verbose_option
def demo_command(
    *,
    as_json: bool,
    report: Path | None,
    min_risk: int,
    top: int | None,
    details: bool,
    verbose: bool,
) -> int:
    """Run the detection on a recorded attack.

    The command needs neither settings nor Azure.
    """
    del verbose
    if not SCENARIO.is_dir():
        raise UsageError(
            f"the demo reads {SCENARIO}, which is missing: run it in a checkout of the project"
        )
    stderr = Console(stderr=True, highlight=False)
    terminal.print_line(
        stderr,
        f"An attacker uses an application's managed identity. Its sign-ins and changes until {NOW} "
        f"are recorded in {os.path.relpath(SCENARIO)}. The hourly run reports:",
    )
    invocation = Invocation(RECORDED_WORKSPACE, ticks.parse_time(NOW))
    page = report or _temporary() / "report.html"
    view = FindingsView(Selection(min_risk, top), details)
    files = OutputFiles(output=None, runs=None, report=page)
    outputs = outputs_of(files, view, as_json=as_json, dry_run=False, append=False)
    sink = FanOutSink(*outputs.sinks)
    connections = Connections(RecordedSource(SCENARIO), sink, ReadOnlyStore())
    status = run_and_report(connections, invocation, outputs)
    if page.exists():
        terminal.print_line(stderr, f"The report is in {page}: open it in a browser.")
    stderr.print("README.md explains this output, and how to run the detection on your own logs.")
    return status


def _temporary() -> Path:
    """Return a new folder that no other user can have created."""
    try:
        return Path(tempfile.mkdtemp(prefix="managed-identity-impact-"))
    except OSError as error:
        raise UsageError(
            f"no temporary folder can be created ({error.strerror}): use --report FILE"
        ) from error
