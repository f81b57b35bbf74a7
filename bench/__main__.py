"""`python -m bench`: measure runs against JSON decoding and other engines, and check the targets.

Each round goes through all cases, and decodes and runs each in separate processes, so a slow moment
of the machine affects all measurements equally. Before the rounds each peer (bench/peers) runs once
and must give the product's findings. Exit status: 0 if every measured target is met, 1 if one is
missed or a measured process fails, 2 for bad usage.
"""

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from bench import measure, report
from bench.cases import CASES, JUDGED_PEER, PEER_CASES
from bench.generate import folder_of
from bench.peers import PEERS


def main(arguments: Sequence[str] | None = None) -> int:
    """Generate logs, measure, print the tables and check the targets; return the exit status."""
    options = _parser().parse_args(arguments)
    print(_machine(), flush=True)
    try:
        measured = _measure_cases(options.cases, options.rounds)
    except measure.MeasurementError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    figures = report.figures(measured)
    print(f"\nWhole processes, median (min-max) of {options.rounds} rounds.\n")
    print(report.costs_table(measured))
    print()
    print(report.peers_table(measured))
    print()
    print(report.figures_table(figures))
    print()
    print(report.conclusion(figures))
    return int(any(figure.missed for figure in figures))


def _measure_cases(names: Sequence[str], rounds: int) -> dict[str, report.Measured]:
    folders = _generated(names)
    measured = {}
    for name, folder in folders.items():
        _say(f"{name}: warming up")
        size = sum(file.stat().st_size for file in folder.glob("*.json")) / 1e6
        findings = measure.findings(folder)
        measured[name] = report.Measured(size, findings.number)
        for peer, module in _peers_on(name):
            theirs, cost = measure.findings_of_peer(module, folder)
            if theirs != findings:
                raise measure.MeasurementError(f"{peer} and the product disagree on {name}")
            _say(f"{name}: {peer} agrees on all {findings.number} findings, {cost.wall:.2f} s")
            measured[name].peers[peer] = [] if peer == JUDGED_PEER else [cost]
    for number in range(1, rounds + 1):
        for name, folder in folders.items():
            decoded = measure.decode(folder)
            ran = measure.run(folder)
            measured[name].decodes.append(decoded)
            measured[name].runs.append(ran)
            for peer, module in _peers_on(name):
                if peer == JUDGED_PEER:
                    measured[name].peers[peer].append(measure.peer(module, folder))
            _say(f"round {number}: {name}: decode {decoded.wall:.2f} s, run {ran.wall:.2f} s")
    return measured


def _peers_on(case: str) -> list[tuple[str, str]]:
    """Return the installed peers that run on a case, each with its module."""
    return [
        (name, module)
        for name, module in PEERS.items()
        if case in PEER_CASES[name] and find_spec(name)
    ]


def _generated(names: Sequence[str]) -> dict[str, Path]:
    """Generate missing folders, and return the folder of each case."""
    # A separate process, because a child process inherits its parent's peak memory.
    command = [sys.executable, "-m", "bench.generate", *names]
    if status := subprocess.run(command, cwd=measure.ROOT, check=False).returncode:
        raise measure.MeasurementError(f"generating the logs ended with status {status}")
    return {name: folder_of(CASES[name]) for name in names}


def _machine() -> str:
    load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()},"
        f" {platform.python_implementation()} {platform.python_version()}{load}"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--rounds", type=_positive, default=3, metavar="N", help="rounds to measure (default 3)"
    )
    parser.add_argument(
        "--cases",
        type=_case_names,
        default=list(CASES),
        metavar="A,B",
        help=f"cases to measure, out of {','.join(CASES)} (default: all)",
    )
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _case_names(text: str) -> list[str]:
    wanted = text.split(",")
    unknown = [name for name in wanted if name not in CASES]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"no case {', '.join(map(repr, unknown))}; there are {', '.join(CASES)}"
        )
    return [name for name in CASES if name in wanted]


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
