"""`python -m bench.live`: measure windows of a workspace on loopback, and judge the targets.

Each run is a process of its own that reads over HTTP, keeps its state and delivers; the stand-in
is another. The same window is then run again an hour later, against the ledger of the first. Exit
status: 0 when every target is met and no row was lost, 1 otherwise, 2 for bad usage.
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
"""Megabytes that a process may take at its most: the smallest instance has 512."""

ROWS_AT_ONCE = 50_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Generate, measure, print and judge; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.live", description=__doc__)
    parser.add_argument("--cases", default=",".join(CASES), metavar="A,B")
    names = parser.parse_args(arguments).cases.split(",")
    if not set(names) <= set(CASES):
        parser.error(f"there are the cases {', '.join(CASES)}")
    # In a process of its own: a child starts out with its parent's peak memory on its account.
    subprocess.run([sys.executable, "-m", "bench.live.logs", *names], cwd=ROOT, check=True)
    print(
        "case        hour  rows read   pairs           findings (new)    seconds  CPU s  "
        "peak MB  state MB  read MB"
    )
    fine = [_measure(name) for name in names]
    verdict = "ok" if all(fine) else "MISSED"
    print(f"\nAt most {MEMORY_TARGET:g} MB at any time, and every row read: {verdict}.")
    return int(not all(fine))


def _measure(name: str) -> bool:
    """Run a case twice, an hour apart; return whether it kept to the targets."""
    fine = True
    with _serving(name) as address, tempfile.TemporaryDirectory() as folder:
        for hour in (0, 1):
            command = ["-m", "bench.live.product", address, folder, str(ROWS_AT_ONCE), str(hour)]
            done = subprocess.run(
                [sys.executable, *command], cwd=ROOT, check=True, stdout=subprocess.PIPE
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
            fine = fine and whole and found["peak"] <= MEMORY_TARGET
    return fine


@contextmanager
def _serving(name: str) -> Iterator[str]:
    """Run the stand-in and yield its address."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench.live.service", name],
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
