"""Searches for failures that the usual test runs have not found: `make explore`.

In each round the property tests draw new examples and the random histories take new seeds, until
the time is up. A failure is printed with the command that repeats it. Tests that kill processes
(tests/end_to_end/test_killed.py) also depend on the machine's timing, and may need several tries.
Exit status 0: no failure; 1: a failure; 2: bad usage, or the tests could not be run.
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

from detection.printable import counted

# The usual test runs use smaller seeds; PYTHONHASHSEED allows none above 2**32 - 1.
SEEDS = range(1_000_000, 2**32)
SELECTED = "hypothesis or seeded"
LINES = 40  # printed lines of pytest's report of a failure

# Environment variables that tell the tests of a round when to end and where to report.
UNTIL, REPORTS = "EXPLORE_UNTIL", "EXPLORE_REPORTS"


class Report(NamedTuple):
    """The result of one test in a round: its failure in pytest's words, or ""."""

    test: str
    failure: str


class Round(NamedTuple):
    """The reports of a round.

    `ended` is the reason why no round follows, or "". `trouble` is pytest's output if it could not
    run.
    """

    reports: list[Report]
    ended: str
    trouble: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Explore for the requested time and return the exit status."""
    options = _parse_arguments(arguments)
    until = time.time() + options.minutes * 60
    seeds = random.SystemRandom()
    found: list[str] = []
    rounds = done = 0
    ended = ""
    while not ended and (time.time() < until or not rounds):
        seed = seeds.choice(SEEDS)
        began = time.monotonic()
        reports, ended, trouble = _round(options.tests, seed, until if rounds else math.inf, found)
        if trouble:
            sys.stderr.write(
                f"{trouble}\nerror: the tests could not be run: see the output above\n"
            )
            return 2
        rounds += 1
        done += len(reports)
        took = time.monotonic() - began
        _print(f"round {rounds}, seed {seed}: {counted(len(reports), 'test')}, {took:.0f} s")
        failed = {report.test: report for report in reports if report.failure}
        for report in failed.values():
            _print_failure(report, seed)
        found += failed
    failures = f"{counted(len(found), 'failure')}: {', '.join(found)}" if found else "no failure"
    _print(f"{ended}{counted(rounds, 'round')}, {counted(done, 'test')}: {failures}")
    return 1 if found else 0


def _parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.explore",
        description="Run the property tests with new examples and the random histories with new "
        "seeds, in rounds. A failure is printed with the command that repeats it, and its test is "
        "left out of further rounds.",
        epilog="Exit status 0: no failure; 1: a failure; 2: bad usage, or the tests could not be "
        "run.",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=10.0,
        help="start no test after this time (10 minutes); the first round always runs completely",
    )
    parser.add_argument("tests", nargs="*", help="tests, as for pytest; default: all")
    options = parser.parse_args(arguments)
    if not options.minutes > 0:
        parser.error("--minutes must be more than 0")
    for test in options.tests:
        if not Path(test.partition("::")[0]).exists():
            parser.error(f"{test} does not exist")
    return options


def _round(tests: Sequence[str], seed: int, until: float, found: Sequence[str]) -> Round:
    """Run the tests once with a seed, without those that failed in earlier rounds."""
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
            start_new_session=True,  # so that it gets Ctrl-C only once, from here, and cleans up
        ) as process:
            try:
                output, _ = process.communicate()
            except KeyboardInterrupt:
                ended = "interrupted; "
                process.send_signal(signal.SIGINT)
                output, _ = process.communicate()
        reports = [Report(*json.loads(line)) for line in path.read_text("utf-8").splitlines()]
    if found and process.returncode == pytest.ExitCode.NO_TESTS_COLLECTED:
        ended = "no test is left; "
    well = ended or process.returncode in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}
    return Round(reports, ended, "" if well else output)


def _pytest(python: str, seed: int) -> list[str]:
    return [python, "-m", "pytest", "--hypothesis-profile=explore", f"--hypothesis-seed={seed}"]


def _settings(seed: int) -> Mapping[str, str]:
    """Return the environment variables that set the order of sets and the number of tests."""
    return {"PYTHONHASHSEED": str(seed)} | {k: v for k, v in os.environ.items() if k == "CI"}


def _print_failure(report: Report, seed: int) -> None:
    """Print a failure and the command that repeats it."""
    python = Path(sys.executable)
    if python.is_relative_to(Path.cwd()):
        python = python.relative_to(Path.cwd())
    words = [f"{name}={value}" for name, value in _settings(seed).items()]
    command = shlex.join([*words, *_pytest(str(python), seed), report.test])
    lines = report.failure.splitlines()[-LINES:]
    _print("\n".join([f"FAILED {report.test}", *lines, "To repeat it:", f"  {command}"]))


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


# Hooks that pytest calls in a round: this module is also a plugin of it.


def pytest_runtest_setup() -> None:
    """Skip every test after the time is up."""
    if time.time() > float(os.environ[UNTIL]):
        pytest.skip("the time is up")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write down the result of a test, in the process that collects the results."""
    if "PYTEST_XDIST_WORKER" in os.environ or not (report.failed or report.when == "call"):
        return
    with Path(os.environ[REPORTS]).open("a", encoding="utf-8") as file:
        failure = report.longreprtext or "it failed" if report.failed else ""
        file.write(json.dumps([report.nodeid, failure]) + "\n")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
