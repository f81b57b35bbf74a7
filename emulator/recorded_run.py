"""Runs the app over recorded logs as it runs in Azure: `make start ARGS="--recorded DIR"`.

The real Functions worker fires the real timer once for each recorded hour. It reads an emulated
workspace with the folder's tables, sends its rows there, and keeps its state in Azurite. The clocks
of app and workspace show the recorded time. Every run is a new process, so each is also a restart.
"""

import contextlib
import importlib.util
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from itertools import chain, islice, takewhile
from pathlib import Path
from typing import Final

from detection.errors import UsageError
from detection.rule.ticks import DAY, HOUR
from detection.settings import rule_settings
from emulator.recording import read_recording
from emulator.run_lines import describe_findings, describe_run
from emulator.schedule import timer_times
from emulator.services.azure import emulated_azure
from emulator.worker import invoke_timer

SETTINGS_FILE: Final = Path(".emulator") / "settings.json"
FINDINGS: Final = (
    "ManagedIdentityImpact() | order by RiskScore desc, FindingId asc "
    "| project SuggestedSeverity, RiskScore, ServicePrincipalName, ResourceGroup, FindingTitle"
)
NO_WORKER: Final = "the worker of Azure Functions is a package from Python 3.13 on: use that one"
# Settings that the environment may choose; all others lead to the emulated services.
CHOSEN: Final = (
    *("LOOKBACK", "CORRELATION_SPAN", "MAX_CATCH_UP", "MAX_LATENESS", "SUCCESS_STATUSES"),
    *("NOVELTY", "CORRELATE_IN", "WATCHLIST_ALIAS", "EXCLUSIONS_ALIAS"),
)


def run_recording(
    folder: Path, *, runs: int | None, pause: float, settings_file: Path = SETTINGS_FILE
) -> int:
    """Run the timer over a folder, `runs` times, `pause` seconds apart, and print what happens.

    Returns the exit status: 0, or 1 if a run failed.

    Without `runs`, each recorded hour and one more are run, and the workspace stays there until
    KeyboardInterrupt. `settings_file` holds the settings of the app meanwhile.

    Raises DetectionError, NotInstalled, or RuntimeError if a part fails.
    """
    chosen = {name: os.environ[name] for name in CHOSEN if name in os.environ}
    if importlib.util.find_spec("azure_functions_runtime") is None:
        raise UsageError(NO_WORKER)
    rule = rule_settings(chosen)
    recording = read_recording(folder)
    times = timer_times(recording.times, rule.lookback)
    first = next(times)
    last = recording.last_hour + HOUR
    later = takewhile(lambda at: at <= last, times) if runs is None else islice(times, runs - 1)
    _print(f"Starting Azurite and a workspace with the tables of {folder}.")
    with (
        emulated_azure(recording.tables, first, chosen) as azure,
        _kept_in(settings_file, azure.settings),
    ):
        _print(
            "To query the workspace while this runs, in a second terminal:\n"
            f"    {os.path.relpath(sys.executable)} -m detection query "
            f"--settings {settings_file} 'ManagedIdentityImpact()'"
        )
        failed, before = False, first
        for at in chain([first], later):
            if at > first:
                time.sleep(pause)
            # Nothing older can matter any more: the app would only examine empty hours.
            if at - before > max(rule.max_lateness, DAY) + rule.lookback:
                _print(f"{(at - before) // DAY} days without rows: the app starts without a state.")
                azure.forget_state()
            before = at
            azure.clock.set(at)
            outcome = invoke_timer(azure.environment, at)
            for line in describe_run(at, outcome, azure.delivered()):
                _print(line)
            failed = failed or bool(outcome["failure"])
        for line in describe_findings(azure.workspace.ask(FINDINGS, azure.clock.now())):
            _print(line)
        if runs is None:
            _print("All recorded hours were run, and one more. Ctrl-C ends this.")
            threading.Event().wait()
    return int(failed)


@contextlib.contextmanager
def _kept_in(file: Path, settings: dict[str, str]) -> Iterator[None]:
    """Keep settings in a file, for commands in another terminal; remove it and its empty folder."""
    text = json.dumps({"IsEncrypted": False, "Values": settings}, indent=2)
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, "utf-8")
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # another emulator may have replaced or removed it
            if file.read_text("utf-8") == text:
                file.unlink()
                file.parent.rmdir()


def _print(text: str) -> None:
    print(text, flush=True)
