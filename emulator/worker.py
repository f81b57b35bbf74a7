"""Runs the app's timer once, in a new process of the real Azure Functions worker."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from detection.rule.ticks import format_time

ROOT: Final = Path(__file__).parents[1]
_PROCESS: Final = Path(__file__).with_name("worker_process.py")


def invoke_timer(environment: Mapping[str, str], now: int) -> dict[str, Any]:
    """Invoke the timer at a time (ticks); return its failure, "" for none, and its log lines.

    Raises RuntimeError if the worker itself fails.
    """
    done = subprocess.run(
        [sys.executable, "-P", str(_PROCESS), str(ROOT), "False", format_time(now)],
        cwd=ROOT,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the Functions worker failed: {done.stderr}")
    outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return outcome
