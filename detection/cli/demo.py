"""`demo`: runs the detection on a recorded attack."""

from pathlib import Path
from typing import Any, Final

import click

from detection.cli import console as terminal
from detection.cli.options import quiet_option, verbose_option
from detection.cli.output.options import chosen_outputs, output_options
from detection.cli.output.outcome import RECORDED_WORKSPACE, run_and_report
from detection.cli.output.outputs import outputs_of
from detection.cli.shell.help import Command
from detection.cli.shell.program import CHECKOUT
from detection.errors import UsageError
from detection.pipeline.invocation import Invocation
from detection.pipeline.workspaces import Connections
from detection.rule import ticks
from detection.sinks import FanOutSink
from detection.sources.recorded.folder import RecordedSource
from detection.state import ReadOnlyStore

NOW: Final = "2026-03-14T10:00:00Z"
# In a checkout, and in an installed package (pyproject.toml copies it there).
PLACES: Final = (
    CHECKOUT / "tests/recorded/stolen-workload-deletes-backups-and-vaults",
    Path(__file__).parent / "recorded_attack",
)


@click.command(
    "demo",
    cls=Command,
    short_help="Run the detection on a recorded attack.",
    examples=("demo", "demo --report report.html", "demo --format json"),
)
@output_options(files=False)
@quiet_option
@verbose_option
def demo_command(*, quiet: bool, verbose: bool, **outputs: Any) -> int:
    """Run the detection on a recorded attack.

    The command needs neither settings nor Azure, and writes no file without --report.
    """
    del verbose
    choice = chosen_outputs(**outputs)
    messages = terminal.Messages.of(quiet=quiet)
    folder = _recorded_attack()
    terminal.print_line(
        messages.notes,
        f"An attacker uses an application's managed identity. Its sign-ins and changes until {NOW} "
        f"are recorded in {_as_seen(folder)}. The hourly run reports:",
    )
    invocation = Invocation(RECORDED_WORKSPACE, ticks.parse_time(NOW))
    with outputs_of(choice, messages, dry_run=False, append=False) as sinks:
        connections = Connections(RecordedSource(folder), FanOutSink(*sinks.sinks), ReadOnlyStore())
        status = run_and_report(connections, invocation, sinks)
    if choice.report is None:
        messages.notes.print("--report FILE writes the same as an HTML page.")
    messages.notes.print(
        "README.md explains this output, and how to run the detection on your own logs."
    )
    return status


def _recorded_attack() -> Path:
    """Return the folder of the recorded attack; raises UsageError if it is missing."""
    for place in PLACES:
        if place.is_dir():
            return place
    raise UsageError(f"the demo reads {PLACES[0]}, which is missing: restore it, or install again")


def _as_seen(path: Path) -> Path:
    """Return a path as it is written in the current folder, if it is below that."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
