"""`make start` with a recorded folder runs the app hour by hour, and its rows can be queried."""

import contextlib
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from detection.rule.ticks import parse_time
from emulator.services.azurite import PINNED
from tests.support import DEMO, RECORDED, ROOT, environment, write_table
from tests.support.services.servers import installed
from tests.support.services.world import needs_worker, one_finding


@contextlib.contextmanager
def emulator(*arguments: str | Path, **chosen: str) -> Iterator[subprocess.Popen[str]]:
    """Start the emulator in a process, and end it with Ctrl-C if it still runs."""
    installed(PINNED)
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "emulator", *map(str, arguments)],
        cwd=ROOT,
        env=environment(chosen),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.wait(60)


def finished(*arguments: str | Path, **chosen: str) -> subprocess.CompletedProcess[str]:
    """Run the emulator to its end."""
    with emulator(*arguments, **chosen) as process:
        out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def runs(text: str) -> list[str]:
    """Return the line of each run, without its rows."""
    return re.findall(r"^\d{4}-.*", text, re.MULTILINE)


def ask(settings: Path, text: str) -> list[dict[str, Any]]:
    """Query the running emulator from another process, as its output says."""
    done = subprocess.run(
        [sys.executable, "-m", "detection", "query", "--settings", settings, "--json", text],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@needs_worker
def test_the_demo_is_found_once_and_can_be_queried(tmp_path: Path) -> None:
    """The first run finds the attack, the next nothing new, and the rows are in the workspace."""
    settings = tmp_path / "of-the-emulator" / "settings.json"
    with emulator("--recorded", DEMO, "--settings", settings) as process:
        assert process.stdout is not None
        said = ""
        while "All recorded hours" not in said:
            line = process.stdout.readline()
            assert line, process.stderr and process.stderr.read()
            said += line
        first, second = runs(said)
        assert first.startswith("2026-03-14T10:00:00.0000000Z  2 new findings, 1 run record")
        assert second.startswith("2026-03-14T11:00:00.0000000Z  0 new findings, 1 run record")
        assert said.count("    ManagedIdentityImpact_CL: High") == 2
        assert said.count("    ManagedIdentityImpactRuns_CL: Success, Scheduled") == 2
        assert re.search(
            r"ManagedIdentityImpact\(\) returns 2 rows\.\n    High 57, .*\n    High 54, ", said
        )
        found = ask(settings, "ManagedIdentityImpact() | project RiskScore, ResourceGroup")
        assert {each["ResourceGroup"] for each in found} == {"rg-orders-prod", "rg-backup-prod"}
        (counted,) = ask(settings, "AzureActivity | where TimeGenerated > ago(2h) | count")
        assert counted["Count"] > 0
        process.send_signal(signal.SIGINT)
        rest, problems = process.communicate(timeout=60)
    assert (process.returncode, problems) == (0, "")
    assert rest.strip().endswith("Ended.")
    assert not settings.parent.exists()


@needs_worker
def test_a_late_row_is_found_when_it_arrives(tmp_path: Path) -> None:
    """A row is not there before its IngestionTime; the run after that counts and finds it."""
    folder = RECORDED / "a-sign-in-that-arrives-late-is-still-found"
    done = finished("--recorded", folder, "--ticks", "2", "--settings", tmp_path / "settings.json")
    assert done.returncode == 0, done.stderr
    first, second = runs(done.stdout)
    assert first.endswith("0 new findings, 1 run record")
    assert second.endswith("1 new finding, 1 run record, 1 late row")


@needs_worker
def test_a_year_without_rows_is_passed_over(tmp_path: Path) -> None:
    """After a long gap the app starts without a state, and finds what came later."""
    later = one_finding(parse_time("2026-03-14T10:00:00Z"))
    earlier = one_finding(parse_time("2025-03-14T10:00:00Z"))
    for table, rows in later.items():
        write_table(tmp_path, table, earlier[table] + rows)
    done = finished("--recorded", tmp_path, "--ticks", "3", "--settings", tmp_path / "s" / "s.json")
    assert done.returncode == 0, done.stderr
    assert "364 days without rows: the app starts without a state." in done.stdout
    assert [line.partition("Z  ")[2] for line in runs(done.stdout)] == [
        "1 new finding, 1 run record",
        "1 new finding, 1 run record",
        "0 new findings, 1 run record",
    ]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--recorded", "nowhere"), "nowhere"),
        (("--recorded", str(DEMO), "--azurite"), "not allowed"),
        (("--recorded", str(DEMO), "--ticks", "0"), "1 or more"),
        (("--recorded", str(DEMO), "--every", "soon"), "5s"),
    ],
)
def test_wrong_options_are_refused(arguments: tuple[str, ...], problem: str) -> None:
    """A folder without logs and a wrong option give status 2 and a sentence."""
    done = subprocess.run(
        [sys.executable, "-m", "emulator", *arguments],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert problem in done.stderr
    assert "Traceback" not in done.stderr


@needs_worker
def test_settings_of_the_rule_come_from_the_environment(tmp_path: Path) -> None:
    """The app runs with the settings that the environment has."""
    folder = RECORDED / "succeeded-spelling-counts-when-the-setting-says-so"
    done = finished(
        *("--recorded", folder, "--ticks", "1", "--settings", tmp_path / "settings.json"),
        SUCCESS_STATUSES="Success,Succeeded",
    )
    assert done.returncode == 0, done.stderr
    assert runs(done.stdout)[0].endswith("1 new finding, 1 run record")
