"""`demo`: the detection at work on a recorded attack."""

import os
import tempfile
from pathlib import Path

import click
from rich.console import Console

from detection.cli import console as terminal
from detection.cli.options import path_option, verbose_option
from detection.cli.run import RECORDED_WORKSPACE, report_sink, run_and_report, stdout
from detection.errors import UsageError
from detection.pipeline.invocation import Invocation
from detection.pipeline.workspaces import Connections
from detection.rule import ticks
from detection.sinks import FanOutSink
from detection.sources.recorded.folder import RecordedSource
from detection.state import ReadOnlyStore

SCENARIO = Path(__file__).parents[2] / "tests/recorded/stolen-workload-deletes-backups-and-vaults"
NOW = "2026-03-14T10:00:00Z"


@click.command("demo")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON Lines.")
@path_option(
    "--report",
    metavar="FILE",
    help="Write the report to FILE; default: in a new temporary folder.",
)
@verbose_option
def demo_command(*, as_json: bool, report: Path | None, verbose: bool) -> int:
    """Show the detection at work on a recorded attack; needs nothing."""
    del verbose
    if not SCENARIO.is_dir():
        raise UsageError(f"the demo reads {SCENARIO}, which only a checkout of the project has")
    stderr = Console(stderr=True, highlight=False)
    terminal.say(
        stderr,
        "An application's managed identity has been taken over. Its sign-ins and the changes made "
        f"to Azure until {NOW} are recorded in",
    )
    terminal.say(stderr, f"{os.path.relpath(SCENARIO)}; this is what the hourly run reports:")
    asked = Invocation(RECORDED_WORKSPACE, ticks.parse_time(NOW))
    page = report or _temporary() / "report.html"
    sink = FanOutSink(stdout(as_json=as_json), report_sink(page))
    status = run_and_report(Connections(RecordedSource(SCENARIO), sink, ReadOnlyStore()), asked)
    if page.exists():
        terminal.say(stderr, f"The report is in {page}: open it in a browser.")
    stderr.print("README.md says how to read this, and how to run it on logs of your own.")
    return status


def _temporary() -> Path:
    """Return a new folder, which nobody else can have put there."""
    try:
        return Path(tempfile.mkdtemp(prefix="managed-identity-impact-"))
    except OSError as error:
        raise UsageError(
            f"no folder for temporary files ({error.strerror}): use --report FILE"
        ) from error
