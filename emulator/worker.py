"""Runs an app's timer once, in a new process of the real Azure Functions worker."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from detection.rule.ticks import format_time

ROOT: Final = Path(__file__).parents[1]
_PROCESS: Final = Path(__file__).with_name("worker_process.py")


@dataclass(frozen=True)
class App:
    """The folder of an app, and the Python that has its packages."""

    folder: Path
    python: Path
    worker: Path | None = None  # a folder with the worker, if the app's Python lacks it


CHECKOUT: Final = App(ROOT, Path(sys.executable))


def invoke_timer(
    environment: Mapping[str, str],
    now: int | None = None,
    *,
    app: App = CHECKOUT,
    past_due: bool = False,
    timeout: float | None = None,
) -> dict[str, Any]:
    """Invoke the timer; return its failure, "" for none, and its log lines.

    The process can import the app and nothing else. Its clock shows `now` (ticks) if given. Raises
    RuntimeError if the worker itself fails, and TimeoutExpired after `timeout` seconds.
    """
    paths = [str(path) for path in (app.worker, app.folder) if path]
    moment = [] if now is None else [format_time(now)]
    done = subprocess.run(
        [str(app.python), "-P", str(_PROCESS), str(app.folder), str(past_due), *moment],
        cwd=app.folder,
        env={**environment, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the Functions worker failed: {done.stderr}")
    outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return outcome
