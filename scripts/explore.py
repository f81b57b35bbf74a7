"""Looks for what no run of the tests has drawn so far: `make explore`.

Round after round the property tests draw new examples, and the random histories take new seeds,
until the time is up. A finding is told with the command that repeats it; only where processes are
killed (tests/end_to_end/test_killed.py) the machine has a say too, and it may take several tries.
Exit status 0: nothing was found; 1: something was; 2: bad usage, or tests that could not be run.
"""

import argparse
import json
import math
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

# Seeds from here on are beyond those that every run of the tests takes; the last is the largest
# that Python takes for its own hashes.
SEEDS = range(1_000_000, 2**32)
SELECTED = "hypothesis or seeded"
LINES = 40  # of what pytest says of a finding

# What the tests of a round are told by.
UNTIL, REPORTS = "EXPLORE_UNTIL", "EXPLORE_REPORTS"


class Report(NamedTuple):
    """How a test of a round ended: what failed, in pytest's words, or ""."""

    test: str
    failure: str


class Round(NamedTuple):
    """The reports of a round, why it is the last, and pytest's output if that could not work."""

    reports: list[Report]
    ended: str
    trouble: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Explore for as long as is asked for, and return the exit status."""
    asked = _asked(arguments)
    until = time.time() + asked.minutes * 60
    seeds = random.SystemRandom()
    found: list[str] = []
    rounds = done = 0
    ended = ""
    while not ended and (time.time() < until or not rounds):
        seed = seeds.choice(SEEDS)
        began = time.monotonic()
        reports, ended, trouble = _round(asked.tests, seed, until if rounds else math.inf, found)
        if trouble:
            sys.stderr.write(f"{trouble}\nerror: the tests could not be run, as said above\n")
            return 2
        rounds += 1
        done += len(reports)
        took = time.monotonic() - began
        _say(f"round {rounds}, seed {seed}: {len(reports)} tests, {took:.0f} s")
        failed = {report.test: report for report in reports if report.failure}
        for report in failed.values():
            _tell(report, seed)
        found += failed
    said = f"{len(found)} found: {', '.join(found)}" if found else "nothing was found"
    _say(f"{ended}{rounds} rounds, {done} tests: {said}")
    return 1 if found else 0


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.explore",
        description="Let property tests draw new examples, and random histories take new seeds, "
        "round after round. A failure is told with the command that repeats it, and that test is "
        "left out of further rounds.",
        epilog="Exit status 0: nothing was found; 1: something was; 2: bad usage, or tests that "
        "could not be run.",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=10.0,
        help="begin no test after so long (10), but for those of the first round",
    )
    parser.add_argument("tests", nargs="*", help="as pytest takes them; all, if there are none")
    asked = parser.parse_args(arguments)
    if not asked.minutes > 0:
        parser.error("--minutes must be more than 0")
    for test in asked.tests:
        if not Path(test.partition("::")[0]).exists():
            parser.error(f"{test} is not there")
    return asked


def _round(tests: Sequence[str], seed: int, until: float, found: Sequence[str]) -> Round:
    """Run the tests once, with a seed, but for those that have been found to fail."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "reports.jsonl")
        path.touch()
        options = ["-p", "scripts.explore", "-m", SELECTED, "-n", "auto", "--dist", "worksteal"]
        options += [f"--deselect={test}" for test in found]
        ended = ""
        with subprocess.Popen(
            [*_pytest(sys.executable, seed), *options, *tests],
            env=os.environ | _settings(seed) | {UNTIL: str(until), REPORTS: str(path)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # Ctrl-C reaches it by us, once, so that it puts things away
        ) as process:
            try:
                said, _ = process.communicate()
            except KeyboardInterrupt:
                ended = "interrupted; "
                process.send_signal(signal.SIGINT)
                said, _ = process.communicate()
        reports = [Report(*json.loads(line)) for line in path.read_text("utf-8").splitlines()]
    if found and process.returncode == pytest.ExitCode.NO_TESTS_COLLECTED:
        ended = "no test is left; "
    well = ended or process.returncode in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}
    return Round(reports, ended, "" if well else said)


def _pytest(python: str, seed: int) -> list[str]:
    return [python, "-m", "pytest", "--hypothesis-profile=explore", f"--hypothesis-seed={seed}"]


def _settings(seed: int) -> Mapping[str, str]:
    """Return the settings by which sets have their order, and by which there are more tests."""
    return {"PYTHONHASHSEED": str(seed)} | {k: v for k, v in os.environ.items() if k == "CI"}


def _tell(report: Report, seed: int) -> None:
    """Print a finding, and how to meet it again."""
    python = Path(sys.executable)
    if python.is_relative_to(Path.cwd()):
        python = python.relative_to(Path.cwd())
    words = [f"{name}={value}" for name, value in _settings(seed).items()]
    command = shlex.join([*words, *_pytest(str(python), seed), report.test])
    said = report.failure.splitlines()[-LINES:]
    _say("\n".join([f"FOUND {report.test}", *said, "To repeat it:", f"  {command}"]))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


# What pytest calls in a round, where this module is a plugin of it.


def pytest_runtest_setup() -> None:
    """Begin no test after the time is up."""
    if time.time() > float(os.environ[UNTIL]):
        pytest.skip("the time is up")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write down how a test ended, in the process that the others report to."""
    if "PYTEST_XDIST_WORKER" in os.environ or not (report.failed or report.when == "call"):
        return
    with Path(os.environ[REPORTS]).open("a", encoding="utf-8") as file:
        failure = report.longreprtext or "it failed" if report.failed else ""
        file.write(json.dumps([report.nodeid, failure]) + "\n")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
