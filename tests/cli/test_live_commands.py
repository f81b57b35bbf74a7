"""run, check and record with a workspace: real processes, clients and sockets, and Azurite."""

import json
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from detection.kql.render import FOLDER
from detection.rule.log_rows import ALLOWLIST_TABLE, OPERATION_TABLE, SIGN_IN_TABLE
from detection.rule.ticks import DAY, HOUR, MINUTE, format_time, from_datetime, parse_time
from emulator.services.api_errors import api_error, too_many_rows
from tests.support import (
    ALLOWLIST,
    DEMO,
    EXCLUSIONS,
    NOW,
    OPERATIONS,
    ROOT,
    SIGN_INS,
    command,
    environment,
    json_lines,
    run_cli,
    snapshot,
)
from tests.support.effort import effort
from tests.support.services.ingestion import FINDINGS_STREAM, RUNS_STREAM, Answer
from tests.support.services.log_analytics import (
    BEGINNINGS,
    TOO_COMPLEX,
    WORKSPACE,
    Reply,
    recorded_tables,
)
from tests.support.services.servers import Containers
from tests.support.services.world import World, demo_world

FORBIDDEN = b'{"error": {"code": "InsufficientAccessError", "message": "No access."}}'


@pytest.fixture
def world(containers: Containers, tmp_path: Path) -> Iterator[World]:
    """Start stand-ins that serve the demo's scenario."""
    with demo_world(containers, tmp_path) as world:
        yield world
    assert world.logs.complaints == world.ingestion.complaints == []


def run(world: World, *arguments: str | Path) -> CompletedProcess[str]:
    """Run the command line in the stand-ins' environment."""
    return run_cli(*arguments, settings=world.environment)


def findings(done: CompletedProcess[str]) -> list[dict[str, Any]]:
    """Return the findings of a run that succeeded."""
    assert done.returncode == 0, done.stderr
    return json_lines(done.stdout)


def without(world: World, *names: str) -> World:
    """Return the stand-ins with fewer settings."""
    kept = {name: value for name, value in world.environment.items() if name not in names}
    return World(world.logs, world.ingestion, kept)


# run


def test_run_gives_the_findings_of_the_recording(world: World) -> None:
    """Without --recorded the workspace of the settings is read, with the recording's findings."""
    recorded = findings(run_cli("run", "--recorded", DEMO, "--now", NOW, "--json"))
    live = findings(run(world, "run", "--now", NOW, "--json"))
    ours = {"WorkspaceId": WORKSPACE}
    differs = {"FindingId", "RunId", "WorkspaceId", "Investigate"}
    assert live
    assert all(row["WorkspaceId"] == WORKSPACE for row in live)
    assert [{k: v for k, v in row.items() if k not in differs} | ours for row in live] == [
        {k: v for k, v in row.items() if k not in differs} | ours for row in recorded
    ]


def test_a_run_shows_counted_rows_apart_from_rows_read(world: World) -> None:
    """The output never says that more rows matched than were read."""
    alone = without(world, "STATE_ACCOUNT_URL", "LOGS_INGESTION_ENDPOINT", "LOGS_INGESTION_RULE_ID")
    done = run(alone, "run", "--now", NOW)
    assert "5 of 5 sign-ins and 11 operations (8 of them read) matched" in done.stdout + done.stderr
    recorded = run_cli("run", "--recorded", DEMO, "--now", NOW)
    shown = recorded.stdout + recorded.stderr
    pairs = [tuple(map(int, pair)) for pair in re.findall(r"(\d+) of (\d+) (?:sign|oper)", shown)]
    assert len(pairs) == 2
    assert all(matched <= read for matched, read in pairs)


def by_risk(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return findings in the order in which they are printed."""
    return sorted(rows, key=lambda row: -int(row["RiskScore"]))


def test_run_delivers_and_saves_like_the_function(world: World) -> None:
    """With the function's settings findings are delivered, and a second run has none."""
    printed = findings(run(world, "run", "--now", NOW, "--json"))
    assert by_risk(world.rows(FINDINGS_STREAM)) == printed
    assert len(world.rows(RUNS_STREAM)) == 1
    later = "2026-03-14T11:00:00Z"
    assert findings(run(world, "run", "--now", later, "--json")) == []
    assert by_risk(world.rows(FINDINGS_STREAM)) == printed


def test_run_names_a_deployment_only_on_request(world: World) -> None:
    """Rows have the name in DEPLOYMENT_NAME, and without it that of no deployment."""
    assert findings(run(world, "run", "--now", NOW, "--json"))
    rows = [*world.rows(FINDINGS_STREAM), *world.rows(RUNS_STREAM)]
    assert {row["Deployment"] for row in rows} == {"local"}
    world.environment["DEPLOYMENT_NAME"] = "ours"
    run(world, "run", "--now", "2026-03-14T11:00:00Z")
    assert [row["Deployment"] for row in world.rows(RUNS_STREAM)] == ["local", "ours"]


def test_run_needs_only_the_workspace(world: World) -> None:
    """Without ingestion and state, findings are shown by every run."""
    alone = without(world, "STATE_ACCOUNT_URL", "LOGS_INGESTION_ENDPOINT", "LOGS_INGESTION_RULE_ID")
    first = findings(run(alone, "run", "--now", NOW, "--json"))
    assert first == findings(run(alone, "run", "--now", NOW, "--json"))
    assert len(first) == 2
    assert world.ingestion.batches == []


def test_a_state_folder_replaces_the_storage_account(world: World, tmp_path: Path) -> None:
    """With --state-dir each workspace has its folder, and the account stays unused."""
    folder = tmp_path / "state"
    arguments = ("run", "--now", NOW, "--json", "--state-dir", folder)
    assert len(findings(run(world, *arguments))) == 2
    assert findings(run(world, *arguments)) == []
    assert [path.name for path in folder.iterdir()] == [WORKSPACE]
    assert len(findings(run(world, "run", "--now", NOW, "--json"))) == 2


def test_a_dry_run_only_shows(world: World, tmp_path: Path) -> None:
    """With --dry-run nothing is delivered, written or saved."""
    before = snapshot(tmp_path)
    arguments = (
        "run",
        "--now",
        NOW,
        "--json",
        "--dry-run",
        "--output",
        tmp_path / "findings.jsonl",
    )
    assert len(findings(run(world, *arguments))) == 2
    assert world.ingestion.batches == []
    assert snapshot(tmp_path) == before
    assert len(findings(run(world, "run", "--now", NOW, "--json"))) == 2


def test_a_backfill_reads_the_hours_between(world: World) -> None:
    """--from and --to read the hours between them."""
    arguments = ("--from", "2026-03-14T05:00:00Z", "--to", NOW, "--json")
    assert len({row["FindingId"] for row in findings(run(world, "run", *arguments))}) == 2


def test_findings_that_ingestion_refuses_are_shown_and_kept(world: World) -> None:
    """If ingestion refuses, findings are printed, the status is 1, and the next run delivers."""
    world.ingestion.script(Answer(403))
    refused = run(world, "run", "--now", NOW, "--json")
    assert refused.returncode == 1
    assert "Monitoring Metrics Publisher" in refused.stderr
    printed = json_lines(refused.stdout)
    assert len(printed) == 2
    run(world, "run", "--now", NOW, "--json")
    assert by_risk(world.rows(FINDINGS_STREAM)) == printed


def test_a_workspace_that_fails_does_not_stop_the_others(world: World) -> None:
    """Each workspace runs on its own, and a failure of one gives the status 1."""
    world.logs.script("sign_ins", Reply(403, FORBIDDEN))
    other = "99999999-2222-3333-4444-555555555555"
    world.environment["WORKSPACE_IDS"] = f"{WORKSPACE},{other}"
    done = run(world, "run", "--now", NOW, "--json")
    world.logs.complaints.clear()  # the stand-in knows one workspace only
    assert done.returncode == 1
    assert f"Workspace {WORKSPACE}:" in done.stderr
    assert f"Workspace {other}:" in done.stderr
    assert "Log Analytics Data Reader" in done.stderr


def test_a_failed_window_is_reported_once(world: World) -> None:
    """One line says why the window failed, and no second line repeats it."""
    world.logs.script("sign_ins", Reply(403, FORBIDDEN))
    done = run(world, "run", "--now", NOW, "--json")
    assert done.returncode == 1
    assert done.stderr.startswith("Failure 2026-03-14 08:00:00 to 2026-03-14 10:00:00: ")
    assert done.stderr.count("Log Analytics Data Reader") == 1


def test_a_finding_without_evidence_is_in_the_report(world: World, tmp_path: Path) -> None:
    """A finding whose evidence could not be read is in the report."""
    world.logs.script("pairs", *[Reply(500, b"{}")] * 9)
    world.logs.tables[OPERATIONS] = [
        row for row in world.logs.tables[OPERATIONS] if "LISTKEYS" not in row["OperationNameValue"]
    ]
    world.environment["CORRELATE_IN"] = "workspace"
    page = tmp_path / "report.html"
    arguments = ("run", "--now", NOW, "--json", "--state-dir", tmp_path / "state", "--report", page)
    found = findings(run(world, *arguments))
    assert [row["Evidence"] for row in found] == [[]] * 2
    text = page.read_text("utf-8")
    for row in found:
        assert f"Finding {row['FindingId']}" in text
    assert findings(run(world, *arguments)) == []


def test_hostile_text_in_an_answer_is_escaped(world: World, tmp_path: Path) -> None:
    """Errors of the service and content of its rows are printed without control characters."""
    hostile = "x\x1b[2J\x1b]0;owned\x07\x9b31m\u202e"
    message = json.dumps({"error": {"code": "Forbidden", "message": hostile}}).encode()
    world.logs.tables[ALLOWLIST] = [{"IPOrRange": hostile}]
    world.logs.script("sign_ins", Reply(403, message))
    out = tmp_path / f"out-{hostile}"
    for arguments in (("run", "--now", NOW), ("check",), ("record", "--now", NOW, "--out", out)):
        done = run(world, *arguments)
        shown = done.stdout + done.stderr
        assert "owned" in shown
        assert not [c for c in shown if c != "\n" and not c.isprintable()]


@pytest.mark.parametrize("missing", ["LOGS_INGESTION_RULE_ID", "LOGS_INGESTION_ENDPOINT"])
def test_one_of_two_ingestion_settings_is_refused(world: World, missing: str) -> None:
    """An ingestion endpoint without its rule, or the reverse, is an error that names both."""
    done = run(without(world, missing), "run", "--now", NOW)
    assert done.returncode == 2
    assert missing in done.stderr


# check


def remarks(done: CompletedProcess[str]) -> dict[str, tuple[str, str]]:
    """Return status and remark of each part."""
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    return {
        part: (status, remark)
        for status, (part, _, remark) in ((status, rest.partition(": ")) for status, rest in lines)
    }


def test_check_finds_everything_in_order(world: World, containers: Containers) -> None:
    """If everything works the status is 0, every part is listed, and nothing changes."""
    just_now = format_time(from_datetime(datetime.now(UTC)) - 5 * MINUTE)
    world.logs.tables = {
        name: [{**row, "TimeGenerated": just_now} for row in rows] if name != ALLOWLIST else rows
        for name, rows in world.logs.tables.items()
    }
    done = run(world, "check")
    assert done.returncode == 0, done.stdout
    found = remarks(done)
    assert {status for status, _ in found.values()} == {"ok"}
    assert list(found) == [
        "settings",
        "credential",
        f"{WORKSPACE} clock",
        f"{WORKSPACE} {SIGN_INS}",
        f"{WORKSPACE} {OPERATIONS}",
        f"{WORKSPACE} watchlist {ALLOWLIST}",
        f"{WORKSPACE} watchlist {EXCLUSIONS}",
        f"{WORKSPACE} queries",
        "ingestion",
        f"{WORKSPACE} state",
    ]
    assert world.rows(FINDINGS_STREAM) == world.rows(RUNS_STREAM) == []
    container = containers.client(world.environment["STATE_CONTAINER"])
    assert list(container.list_blob_names()) == []


def test_check_runs_every_query(world: World) -> None:
    """Each query file is run at least once, over an empty time, except those for analysts."""
    done = run(world, "check")
    remark = remarks(done)[f"{WORKSPACE} queries"][1]
    every = {path.stem for path in FOLDER.glob("*.kql")}
    analysts = {name for name in every if name.startswith("investigate_")}
    analysts |= {"impact", "scheduled_rule", "excluded_addresses", "is_grave", "new_pairs"}
    fragments = {  # other queries include these
        *("functions", "sign_ins", "operations", "rows", "in_buckets", "sweep", "group_values"),
        "nobody",
    }
    begun = {call.query.partition("\n")[0] for call in world.logs.calls}
    run_queries = {name for name, begins in BEGINNINGS.items() if begins in begun}
    assert run_queries == every - analysts - fragments
    number = int(remark.removeprefix("all ").removesuffix(" run"))
    assert number >= len(run_queries)
    assert len(world.logs.calls) > number


def test_check_names_the_queries_that_fail(world: World) -> None:
    """A query that the cluster refuses is named with the cluster's message."""
    refused = Reply(400, json.dumps(api_error("BadArgumentError", TOO_COMPLEX)).encode())
    world.logs.script("correlate", refused, refused)
    world.logs.script("baseline", *[Reply(error=too_many_rows())] * 2)
    done = run(world, "check")
    assert done.returncode == 1
    status, remark = remarks(done)[f"{WORKSPACE} queries"]
    assert status == "failed"
    assert remark.startswith("failed: correlate, baseline: ")
    assert "CRT0015" in remark
    assert "E_QUERY_RESULT_SET_TOO_LARGE" in remark


@pytest.mark.parametrize(
    ("off", "status", "message"),
    [
        (-HOUR, "failed", "set this machine's clock right"),
        (HOUR, "warning", "findings are late by the difference"),
        (MINUTE, "ok", "agrees with this machine's"),
    ],
)
def test_check_compares_the_clocks(world: World, off: int, status: str, message: str) -> None:
    """A wrong clock is reported by check before a run fails."""
    world.logs.present = from_datetime(datetime.now(UTC)) + off
    done = run(world, "check")
    found = remarks(done)[f"{WORKSPACE} clock"]
    assert found[0] == status
    assert message in found[1]
    assert done.returncode == (status == "failed")


def test_an_unexpected_error_of_a_part_hides_no_other(world: World) -> None:
    """An unexpected error is one line about its part, and the next part is checked."""
    world.environment["REQUESTS_CA_BUNDLE"] = "there-is-no-such-file"
    done = run(world, "check")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr + done.stdout
    found = remarks(done)
    assert (found["ingestion"][0], found[f"{WORKSPACE} state"][0]) == ("failed", "ok")
    assert "there-is-no-such-file" in found["ingestion"][1]
    assert "there-is-no-such-file" in found[f"{WORKSPACE} clock"][1]


@pytest.mark.parametrize(
    ("number", "status", "cause"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
@pytest.mark.parametrize("remembers", [True, False])
def test_a_stopped_run_ends_at_once(
    world: World, number: signal.Signals, status: int, cause: str, *, remembers: bool
) -> None:
    """Ctrl-C and SIGTERM end the process during a query, and one line says what is kept."""
    state = ("STATE_ACCOUNT_URL", "LOGS_INGESTION_ENDPOINT", "LOGS_INGESTION_RULE_ID")
    world = world if remembers else without(world, *state)
    gone = threading.Event()
    for kind in ("count_sign_ins", "latest"):
        world.logs.script(kind, *[Reply(after=gone)] * 2)
    process = subprocess.Popen(
        command("run", "--now", NOW),
        env=environment(world.environment),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until = time.monotonic() + 60
        while not world.logs.called("count_sign_ins") and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.3)
        process.send_signal(number)
        shown, message = process.communicate(timeout=15)
    finally:
        gone.set()
        process.kill()
        process.wait()
    assert (process.returncode, shown) == (status, "")
    (line,) = message.splitlines()
    kept = "the windows examined so far are remembered" if remembers else "nothing is remembered"
    assert line.startswith(f"error: {cause}: {kept}")


def test_check_names_only_the_missing_table(world: World) -> None:
    """Without the sign-in table its line warns, its queries wait, and all other parts are ok."""
    del world.logs.tables[SIGN_INS]
    done = run(world, "check")
    assert done.returncode == 0
    found = remarks(done)
    status, remark = found[f"{WORKSPACE} {SIGN_INS}"]
    assert (status, "ManagedIdentitySignInLogs in Entra ID" in remark) == ("warning", True)
    assert "missing" not in found[f"{WORKSPACE} {OPERATIONS}"][1]
    status, remark = found[f"{WORKSPACE} queries"]
    assert (status, remark.startswith(f"cannot run while {SIGN_INS} is missing: ")) == (
        "warning",
        True,
    )
    assert f"latest of {OPERATIONS}" not in remark


def test_check_names_the_table_on_another_plan(world: World) -> None:
    """The table on the Basic plan fails with a remedy, and the other does not."""
    world.logs.other_plan = {SIGN_INS}
    found = remarks(run(world, "check"))
    status, remark = found[f"{WORKSPACE} {SIGN_INS}"]
    assert (status, remark.endswith("set the table's plan to Analytics")) == ("failed", True)
    assert found[f"{WORKSPACE} {OPERATIONS}"][0] != "failed"


def test_check_warns_of_watchlists_without_their_columns(world: World) -> None:
    """Watchlist items without the case-sensitive column names are a warning."""
    world.logs.tables[ALLOWLIST] = [{"IPorRange": "10.0.0.1"}] * 3
    world.logs.tables[EXCLUSIONS] = [{"serviceprincipalid": "x"}]
    found = remarks(run(world, "check"))
    status, remark = found[f"{WORKSPACE} watchlist {ALLOWLIST}"]
    assert (status, "in the column IPOrRange (items: " in remark) == ("warning", True)
    status, remark = found[f"{WORKSPACE} watchlist {EXCLUSIONS}"]
    assert (status, "any of the columns" in remark) == ("warning", True)


def test_check_names_an_exclusion_with_an_unknown_class(world: World) -> None:
    """An exclusion of known operation classes is active, and one of an unknown class is named."""
    entry = {"ResourceGroup": "rg", "Owner": "ops", "Reason": "deploys", "Expires": "2999-01-01"}
    world.logs.tables[EXCLUSIONS] = [entry | {"OperationClasses": "routine;Other"}]
    part = f"{WORKSPACE} watchlist {EXCLUSIONS}"
    assert remarks(run(world, "check"))[part] == ("ok", "1 active exclusion")
    world.logs.tables[EXCLUSIONS] = [entry | {"OperationClasses": "rotine"}]
    status, remark = remarks(run(world, "check"))[part]
    assert (status, "unknown operation class 'rotine'" in remark) == ("warning", True)


def test_check_continues_after_a_failure(world: World) -> None:
    """Each part is checked after any failure, and each failure names its remedy."""
    world.logs.script("count_sign_ins", Reply(403, FORBIDDEN))
    del world.logs.tables[OPERATIONS]
    world.ingestion.script(Answer(404))
    world.environment["STATE_CONTAINER"] = "there-is-no-such-container"
    done = run(world, "check")
    assert done.returncode == 1
    found = remarks(done)
    status, remark = found[f"{WORKSPACE} {SIGN_INS}"]
    assert (status, "Log Analytics Data Reader" in remark) == ("failed", True)
    status, remark = found[f"{WORKSPACE} {OPERATIONS}"]
    assert (status, "activity log" in remark) == ("warning", True)
    status, remark = found["ingestion"]
    assert (status, "LOGS_INGESTION_RULE_ID" in remark) == ("failed", True)
    status, remark = found[f"{WORKSPACE} state"]
    assert (status, "there-is-no-such-container" in remark) == ("failed", True)
    assert found["credential"][0] == "ok"


def test_check_warns_of_silent_tables_and_missing_settings(world: World) -> None:
    """Tables without rows for a day, unreadable entries and missing settings are warnings."""
    world.logs.tables[ALLOWLIST] = [{"IPOrRange": "10.0.0.0/99"}]
    alone = without(world, "STATE_ACCOUNT_URL", "LOGS_INGESTION_ENDPOINT", "LOGS_INGESTION_RULE_ID")
    done = run(alone, "check")
    assert done.returncode == 0
    found = remarks(done)
    assert "no row of the last day" in found[f"{WORKSPACE} {SIGN_INS}"][1]
    assert "10.0.0.0/99" in found[f"{WORKSPACE} watchlist {ALLOWLIST}"][1]
    assert [found[part][0] for part in ("ingestion", "state")] == ["warning", "warning"]


@pytest.mark.parametrize(
    "setting", effort(desk=["IDENTITY_HEADER"], ci=["IDENTITY_HEADER", "IDENTITY_ENDPOINT"])
)
def test_check_reports_a_missing_token(world: World, setting: str) -> None:
    """Without an identity the cause is one line, and the parts that need a token are not tried.

    The endpoint refuses a wrong header at once; without an endpoint the credential tries for
    seconds.
    """
    world.environment[setting] = "http://127.0.0.1:9/"
    done = run(world, "check")
    assert done.returncode == 1
    found = remarks(done)
    assert found["credential"][0] == "failed"
    assert done.stdout.count("no token was obtained") == 1
    not_tried = ("failed", "not tried, because there is no token")
    assert found[WORKSPACE] == found["ingestion"] == not_tried
    assert found[f"{WORKSPACE} state"][0] == "ok"
    assert "Traceback" not in done.stderr + done.stdout


# record


def test_a_recording_gives_the_findings_of_the_workspace(world: World, tmp_path: Path) -> None:
    """A recording of the workspace gives the same findings."""
    done = run(world, "record", "--out", tmp_path / "saved", "--now", NOW)
    assert done.returncode == 0, done.stderr
    saved = findings(run_cli("run", "--recorded", tmp_path / "saved", "--now", NOW, "--json"))
    assert saved == findings(run_cli("run", "--recorded", DEMO, "--now", NOW, "--json"))


def test_a_pseudonymized_recording_gives_the_same_findings(world: World, tmp_path: Path) -> None:
    """It has no id, name or address of the logs, and its findings have the same counts."""
    folder = tmp_path / "saved"
    assert run(world, "record", "--out", folder, "--now", NOW, "--pseudonymize").returncode == 0
    text = "".join(path.read_text("utf-8") for path in folder.iterdir()).lower()
    kept = {"TimeGenerated", "ResultType", "ResourceDisplayName", "OperationNameValue"}
    kept |= {"ActivityStatusValue"}
    for shape in (SIGN_IN_TABLE, OPERATION_TABLE, ALLOWLIST_TABLE):
        for row in recorded_tables(DEMO)[shape.name]:
            for column in set(shape.columns) - kept:
                assert not row.get(column) or str(row[column]).lower() not in text, column
    counted = (
        "DataPlaneAccesses",
        "DistinctSignIns",
        "DistinctOperations",
        "Resources",
        "Operations",
        "FirstEvent",
        "LastEvent",
        "RiskScore",
    )
    saved = findings(run_cli("run", "--recorded", folder, "--now", NOW, "--json"))
    plain = findings(run_cli("run", "--recorded", DEMO, "--now", NOW, "--json"))
    assert sorted([row[name] for name in counted] for row in saved) == sorted(
        [row[name] for name in counted] for row in plain
    )


@pytest.mark.parametrize("more", [(), ("--pseudonymize",)])
def test_a_recording_holds_the_past(world: World, tmp_path: Path, more: tuple[str, ...]) -> None:
    """It holds the changes of the days before, summed up, so that novelty is scored offline."""
    now, operations = parse_time(NOW), world.logs.tables[OPERATIONS]
    (vault, *_) = [row for row in operations if row["OperationNameValue"].endswith("VAULTS/DELETE")]
    daily = [
        vault
        | {
            "TimeGenerated": format_time(now - day * DAY),
            "EventDataId": f"day {day}",
            "CallerIpAddress": "198.51.100.1",
        }
        for day in range(1, 14)
        for _ in range(3)
    ]
    signed_in = [
        row | {"TimeGenerated": format_time(now - DAY)}
        for row in world.logs.tables[SIGN_INS]
        if row["ServicePrincipalId"] == vault["Caller"]
    ]
    world.logs.tables[OPERATIONS] = [*operations, *daily]
    world.logs.tables[SIGN_INS] = [*world.logs.tables[SIGN_INS], *signed_in]
    folder = tmp_path / "saved"
    done = run(world, "record", "--out", folder, "--now", NOW, *more)
    assert "PastChanges: 26 rows" in done.stderr  # an operation and an address a day
    saved = run_cli("run", "--recorded", folder, "--now", NOW, "--json").stdout
    reasons = [
        (reason["Points"], reason["Reason"])
        for row in map(json.loads, saved.splitlines())
        for reason in row["RiskReasons"]
    ]
    assert any(text.startswith("New for the identity") for _, text in reasons)
    groups = [
        text for _, text in reasons if "had not changed the resource group in 12 days" in text
    ]
    assert len(groups) == 1
    networks = [text for _, text in reasons if "a network that is new" in text]
    assert len(networks) == 2


def test_a_recording_of_several_hours_holds_each_row_once(world: World, tmp_path: Path) -> None:
    """--from and --to record every row between them, hour by hour."""
    start, end = "2026-03-14T04:30:00Z", NOW
    run(world, "record", "--out", tmp_path / "saved", "--from", start, "--to", end)
    for table in (SIGN_INS, OPERATIONS):
        rows = json.loads((tmp_path / "saved" / f"{table}.json").read_bytes())["tables"][0]["rows"]
        calls = [call for call in world.logs.called("recording") if table in call.query]
        assert len(calls) == -(-(parse_time(end) - parse_time(start)) // HOUR)
        times = [row[0] for row in rows]
        assert times
        assert len(set(map(str, rows))) == len(rows)


def test_record_never_overwrites_a_recording(world: World, tmp_path: Path) -> None:
    """The command refuses a folder that holds a recording, before any query."""
    run(world, "record", "--out", tmp_path / "saved", "--now", NOW)
    before, calls = snapshot(tmp_path), len(world.logs.calls)
    done = run(world, "record", "--out", tmp_path / "saved", "--now", NOW)
    assert done.returncode == 2
    assert "name another folder" in done.stderr
    assert (snapshot(tmp_path), len(world.logs.calls)) == (before, calls)


def test_a_missing_table_has_no_file(world: World, tmp_path: Path) -> None:
    """A table that the workspace lacks has no file, so it is read as missing again."""
    del world.logs.tables[SIGN_INS], world.logs.tables[ALLOWLIST]
    done = run(world, "record", "--out", tmp_path / "saved", "--now", NOW)
    assert done.returncode == 0
    assert [path.name for path in (tmp_path / "saved").iterdir()] == [f"{OPERATIONS}.json"]
    assert "diagnostic settings" in done.stderr


def test_a_failed_recording_leaves_no_partial_table(world: World, tmp_path: Path) -> None:
    """If the workspace refuses in the middle, the status is 1 and no table is truncated."""
    world.logs.script("recording", Reply(403, FORBIDDEN))
    done = run(world, "record", "--out", tmp_path / "saved", "--now", NOW)
    assert done.returncode == 1
    assert list((tmp_path / "saved").iterdir()) == []
