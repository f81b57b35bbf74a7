"""The cost of a whole process: wall time, CPU time and peak memory.

The kernel reports the costs of the finished child process. They exclude the benchmark itself, and
include the start and end of the child.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

import orjson

from bench.cases import NOW
from bench.peers.rule import COMPARED

ROOT = Path(__file__).parent.parent
# A run reads its settings from the environment, so a child gets only the variables that it needs.
KEPT_VARIABLES = ("PATH", "HOME", "TMPDIR", "LANG", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


class MeasurementError(Exception):
    """A measured process failed, so its times mean nothing."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a finished process, in seconds and megabytes (1,000,000 bytes).

    `inside` is the time that a decoding process reports: without its start and end.
    """

    wall: float
    cpu: float
    peak: float
    inside: float = 0.0


class Findings(NamedTuple):
    """The number of findings, and the sum of their digests, which does not depend on the order."""

    number: int
    total: int


def decode(folder: Path) -> Cost:
    """Measure the decoding of a recorded folder."""
    with tempfile.TemporaryFile() as output:
        cost = _measure(["-m", "bench.decode", str(folder)], output)
        output.seek(0)
        return Cost(cost.wall, cost.cpu, cost.peak, inside=float(output.read()))


def run(folder: Path) -> Cost:
    """Measure a run of the product over a recorded folder; discard the findings."""
    return _measure(_run_command(folder), subprocess.DEVNULL)


def python(code: str) -> Cost:
    """Measure a process that runs Python code."""
    return _measure(["-c", code], subprocess.DEVNULL)


def peer(module: str, folder: Path) -> Cost:
    """Measure one of bench/peers over a recorded folder; discard the findings."""
    return _measure(["-m", f"bench.peers.{module}", str(folder)], subprocess.DEVNULL)


def findings_of_peer(module: str, folder: Path) -> tuple[Findings, Cost]:
    """Run one of bench/peers once; return its findings and its cost."""
    with tempfile.TemporaryFile() as output:
        cost = _measure(["-m", f"bench.peers.{module}", str(folder)], output)
        return _findings_in(output), cost


def findings(folder: Path) -> Findings:
    """Run the product once, untimed, and return its findings.

    This also fills the page cache and compiles byte code, which the first run alone would pay for.
    Raises MeasurementError if there are no findings, since a run without work proves nothing.
    """
    with tempfile.TemporaryFile() as output:
        _measure(_run_command(folder), output)
        found = _findings_in(output)
    if not found.number:
        raise MeasurementError(
            f"a run over {folder.name} printed no finding, so there is nothing to measure;"
            " see what `python -m detection run` says about that folder"
        )
    return found


def _findings_in(output: IO[bytes]) -> Findings:
    """Read JSON Lines one by one: a child process would inherit the peak memory of a list."""
    output.seek(0)
    number = total = 0
    for line in output:
        row = orjson.loads(line)
        compared = orjson.dumps([row[name] for name in COMPARED])
        number += 1
        total += int.from_bytes(hashlib.sha256(compared).digest())
    return Findings(number, total)


def _run_command(folder: Path) -> list[str]:
    return ["-m", "detection", "run", "--recorded", str(folder), "--now", NOW, "--json"]


def _measure(arguments: Sequence[str], output: IO[bytes] | int) -> Cost:
    environment = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    with tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=ROOT, env=environment, stdout=output, stderr=errors
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)  # otherwise Popen would wait again
        if process.returncode:
            errors.seek(0)
            stderr = errors.read().decode(errors="replace").strip()[-2000:]
            raise MeasurementError(
                f"`python {' '.join(arguments)}` ended with status {process.returncode}: {stderr}"
            )
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * MAXRSS_UNIT / 1e6)
