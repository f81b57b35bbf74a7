"""`python -m bench.live`: measure windows of a workspace on loopback, and check the targets.

Each run is a process of its own that reads over HTTP, saves its state and delivers; the stand-in is
another process. A second run, an hour later, uses the ledger of the first. Exit status: 0 if every
target is met and no row was lost, 1 otherwise, 2 for bad usage.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bench.live.logs import CASES
from bench.measure import ROOT

MEMORY_TARGET = 400.0
"""The peak memory that a process may use, in megabytes: the smallest instance has 512."""

ROWS_PER_PARTITION = 50_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Generate logs, measure, print the table and check the targets; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.live", description=__doc__)
    parser.add_argument("--cases", default=",".join(CASES), metavar="A,B")
    names = parser.parse_args(arguments).cases.split(",")
    if not set(names) <= set(CASES):
        parser.error(f"there are the cases {', '.join(CASES)}")
    # A separate process, because a child process inherits its parent's peak memory.
    subprocess.run([sys.executable, "-m", "bench.live.logs", *names], cwd=ROOT, check=True)
    print(
        "case        hour  rows read   pairs           findings (new)    seconds  CPU s  "
        "peak MB  state MB  read MB"
    )
    targets_met = [_measure(name) for name in names]
    verdict = "ok" if all(targets_met) else "MISSED"
    print(f"\nAt most {MEMORY_TARGET:g} MB at any time, and every row read: {verdict}.")
    return int(not all(targets_met))


def _measure(name: str) -> bool:
    """Run a case twice, an hour apart; return whether it met the targets."""
    targets_met = True
    with tempfile.TemporaryDirectory() as folder:
        for hour in (0, 1):
            with _serving(name, hour) as address:
                arguments = (address, folder, str(ROWS_PER_PARTITION), str(hour))
                done = subprocess.run(
                    [sys.executable, "-m", "bench.live.product", *arguments],
                    cwd=ROOT,
                    check=True,
                    stdout=subprocess.PIPE,
                )
            found: dict[str, Any] = json.loads(done.stdout)
            record = found["record"]
            rows = record["SignInsRead"] + record["OperationsRead"]
            print(
                f"{name:11} {hour:4} {rows:10,}  {record['Pairs']:<15,} {record['Findings']:8,} "
                f"({record['FindingsNew']:,}) {found['seconds']:10.1f} {found['cpu']:6.1f} "
                f"{found['peak']:8.0f} {found['state']:9.1f} {record['BytesRead'] / 1e6:8.1f}",
                flush=True,
            )
            whole = rows == 2 * CASES[name].total and record["Status"] == "Success"
            targets_met = targets_met and whole and found["peak"] <= MEMORY_TARGET
    return targets_met


@contextmanager
def _serving(name: str, hours: int) -> Iterator[str]:
    """Run the stand-in, `hours` after the logs end, and yield its address."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench.live.service", name, str(hours)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        if process.stdout is None:
            raise AssertionError
        yield process.stdout.readline().strip()
        process.terminate()


if __name__ == "__main__":
    sys.exit(main())
