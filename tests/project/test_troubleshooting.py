"""Each row of the table of troubleshooting is of a trouble that really shows itself so.

A row's first cell quotes, in code, only names and numbers that outlive a rewording: settings,
tables, columns, options and statuses of HTTP. Here each trouble is provoked with the real command
line, on recorded logs or against the stand-ins, and all that is quoted must be among what the
program says. Rows that quote nothing, or need a clock or a cluster to be wrong, name the tests
that provoke them.
"""

import json
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from detection.rule.ticks import from_datetime
from tests.support import ALLOWLIST, NOW, RECORDED, ROOT, SIGN_INS, run_cli, write_table
from tests.support.pages import section
from tests.support.services.ingestion import Answer
from tests.support.services.log_analytics import Reply
from tests.support.services.servers import Containers
from tests.support.services.world import World, one_finding, world_of

ROWS = re.findall(
    r"^\| ([^|]+) \|", section("docs/operations.md", "Troubleshooting"), re.MULTILINE
)[1:]

# Rows whose trouble another test provokes.
ELSEWHERE = {
    "no row in `ManagedIdentityImpactRuns_CL`": (
        "tests/infra/test_alerts.py",
        "test_silence_names_the_workspace",
    ),
    "fewer rows than were counted": (
        "tests/sources/workspace/test_answers.py",
        "test_counted_rows_that_are_missing_are_read_again",
    ),
    "no token": (
        "tests/cli/test_live_commands.py",
        "test_check_reports_a_missing_token",
    ),
    "the machine's clock differs from the workspace's": (
        "tests/pipeline/test_clocks_and_overlaps.py",
        "test_a_run_ahead_of_the_workspaces_clock_examines_nothing",
    ),
    "`--set-watermark` in an error": (
        "tests/pipeline/test_clocks_and_overlaps.py",
        "test_a_future_watermark_fails_until_it_is_set_back",
    ),
    "the same operations every day": (
        "tests/end_to_end/test_scenarios.py",
        "test_a_scenario_gives_its_expected_findings",
    ),
}

Run = CompletedProcess[str]


def recorded(scenario: str, *arguments: str | Path, now: str = NOW) -> Run:
    """Examine a recorded scenario."""
    return run_cli("run", "--recorded", RECORDED / scenario, "--now", now, *arguments)


def wrong_column(folder: Path) -> Run:
    """Examine a folder whose allowlist has a column of another name."""
    copy = folder / "logs"
    shutil.copytree(RECORDED / "nothing-happened", copy)
    write_table(copy, ALLOWLIST, [{"Address": "192.0.2.1"}])
    return run_cli("run", "--recorded", copy, "--now", NOW)


def empty_table(folder: Path) -> Run:
    """Examine tables without rows, and add the run record to what is said."""
    file = folder / "runs.jsonl"
    done = recorded("nothing-happened", "--runs", file)
    done.stderr += json.dumps(json.loads(file.read_text("utf-8")))
    return done


def damaged_state(folder: Path) -> Run:
    """Run on a state whose file was overwritten."""
    recorded("nothing-happened", "--state-dir", folder / "state")
    for path in (folder / "state").glob("*.gz"):
        path.write_bytes(b"not a state")
    return recorded("nothing-happened", "--state-dir", folder / "state")


def long_absence(folder: Path) -> Run:
    """Run with a state, and again after more than a week."""
    recorded("nothing-happened", "--state-dir", folder)
    return recorded("nothing-happened", "--state-dir", folder, now="2026-03-24T10:00:00Z")


def error(code: str, message: str = "It was refused.") -> bytes:
    """Return the body with which Log Analytics refuses a query."""
    return json.dumps({"error": {"code": code, "message": message}}).encode()


def reading(*replies: Reply) -> Callable[[World], None]:
    """Let the queries for sign-ins be answered so."""
    return lambda world: world.logs.script("sign_ins", *replies)


def delivering(answer: Answer) -> Callable[[World], None]:
    """Let deliveries be answered so."""
    return lambda world: world.ingestion.script(*[answer] * 9)


def other_plan(world: World) -> None:
    """Put the table of sign-ins on a plan that cannot be queried."""
    world.logs.other_plan.add(SIGN_INS)


SOON = {"Retry-After": "0.01"}
# By the first cell: how to bring the trouble about; on logs with the exit status.
ON_LOGS: dict[str, tuple[int, Callable[[Path], Run]]] = {
    "`IPOrRange` in a `Warning`": (0, wrong_column),
    f"`{SIGN_INS}` in a `Warning`": (0, lambda _: recorded("sign-in-table-missing")),
    "`AzureActivity` in a `Warning`": (0, lambda _: recorded("activity-table-missing")),
    "`SignInsState` is `Empty` for days, though the table has rows": (0, empty_table),
    "a state that is damaged or from another release": (1, damaged_state),
    "`MAX_CATCH_UP` in a `Failure`": (1, long_absence),
    "`SUCCESS_STATUSES` in a `Warning`": (
        0,
        lambda _: recorded("succeeded-spelling-is-ignored-but-counted"),
    ),
}
ON_A_WORKSPACE: dict[str, Callable[[World], None]] = {
    "`403` for a table or a watchlist": reading(Reply(403, error("InsufficientAccessError"))),
    "`401`, with `LOGS_QUERY_ENDPOINT`": reading(Reply(401, error("InvalidTokenError"))),
    "`400` for a table, with `Analytics`": other_plan,
    "`403` on delivery": delivering(Answer(403)),
    "`400` on delivery": delivering(Answer(400)),
    "a page that is not JSON on delivery": delivering(Answer(403, body=b"<html></html>")),
    "`429`": reading(*[Reply(429, error("TooManyRequests"), SOON)] * 9),
    "`504`, with `LOOKBACK`": reading(*[Reply(504, error("GatewayTimeout"))] * 9),
}


def unsaid(row: str, said: str) -> list[str]:
    """Return what a cell quotes in code and is not said, as a whole word."""
    quoted = re.findall(r"`(.+?)`", row)
    return [name for name in quoted if not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", said)]


def test_every_row_is_provoked() -> None:
    """Each row of the table is provoked here or by another test, and no other row is expected."""
    assert sorted(ROWS) == sorted([*ON_LOGS, *ON_A_WORKSPACE, *ELSEWHERE])
    for file, name in ELSEWHERE.values():
        assert f"\ndef {name}(" in (ROOT / file).read_text("utf-8"), name


@pytest.mark.parametrize("row", ON_LOGS)
def test_on_recorded_logs(row: str, tmp_path: Path) -> None:
    """All that the row quotes is among what a run on recorded logs says, with its status."""
    status, provoke = ON_LOGS[row]
    done = provoke(tmp_path)
    assert done.returncode == status, done.stderr
    assert unsaid(row, done.stderr) == []


@pytest.mark.parametrize("row", ON_A_WORKSPACE)
def test_on_a_workspace(row: str, containers: Containers, tmp_path: Path) -> None:
    """All that the row quotes is among what a failed run on a workspace says."""
    tables = one_finding(from_datetime(datetime.now(UTC)))
    with world_of(containers, tmp_path, tables) as world:
        ON_A_WORKSPACE[row](world)
        done = run_cli("run", settings=world.environment)
    assert done.returncode == 1, done.stderr
    assert unsaid(row, done.stderr) == []
