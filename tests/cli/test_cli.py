"""The command line as a separate process: its exit status, its output and its files."""

import os
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detection.rule.ticks import HOUR, MINUTE
from detection.schema import Finding, RunRecord, columns
from detection.sinks.text_tables import TAB_COLUMNS
from tests.support import (
    ALLOWLIST,
    DEMO,
    NOW,
    OPERATIONS,
    RECORDED,
    ROOT,
    SIGN_INS,
    command,
    environment,
    json_lines,
    pick,
    response,
    response_of,
    run_cli,
    run_on_terminal,
    snapshot,
    write_logs,
    write_table,
)
from tests.support.strategies import END, START, operation, sign_in, written

OVERLAPPING = RECORDED / "an-operation-is-reported-once-across-overlapping-windows"
QUIET = RECORDED / "nothing-happened"
ROWS_NOW = written(END)  # the end of the window of rows made here
RULE_SETTINGS = ("LOOKBACK", "CORRELATION_SPAN", "MAX_CATCH_UP", "MAX_LATENESS", "SUCCESS_STATUSES")
RUN_OPTIONS = (
    *("--recorded", "--now", "--from", "--to", "--state-dir", "--json", "--output", "--runs"),
    *("--dry-run", "--verbose", "--help"),
)
Row = dict[str, Any]


def error_of(done: subprocess.CompletedProcess[str], status: int) -> str:
    """Return the only line of output of a run that was refused."""
    assert done.returncode == status, done.stderr
    assert not done.stdout
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")
    return done.stderr


def findings(*arguments: str | Path) -> list[Row]:
    """Run with --json, which must succeed, and return the findings."""
    done = run_cli("run", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json_lines(done.stdout)


# Output.


def test_findings_are_shown_as_tables() -> None:
    """On a terminal findings have a row each and then details, which shorten no id."""
    shown, status = run_on_terminal("run", "--recorded", DEMO, "--now", NOW)
    assert status == 0
    for text in ("rg-backup-prod", "rg-orders-prod", "func-orders-prod", "203.0.113.77"):
        assert text in shown
    assert "e1525895-2305-453d-b6ab-6a524251f7d9" in shown
    table, _, after = shown.partition("Success 2026-03-14 08:00:00 to 2026-03-14 10:00:00: ")
    assert max(map(len, table.splitlines())) == 80
    assert after.count("\n") == 1


def test_a_wide_terminal_shows_ids_on_one_line() -> None:
    """The output is as wide as the terminal: what 80 columns break into lines, 200 do not."""
    long = "/subscriptions/3baa586e-f753-4231-9584-adf5f0eedd8f/resourcegroups/rg-orders-prod/"
    assert long not in run_on_terminal("demo", columns=80)[0]
    assert long in run_on_terminal("demo", columns=200)[0]


def test_in_a_pipe_findings_are_lines_with_tabs() -> None:
    """Without a terminal there is a line of columns and a line for each finding, nothing cut."""
    done = run_cli("run", "--recorded", DEMO, "--now", NOW, settings={"COLUMNS": "20"})
    head, *lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert head == list(TAB_COLUMNS)
    rows = [dict(zip(head, line, strict=True)) for line in lines]
    assert [int(row["RiskScore"]) for row in rows] == [57, 54]
    assert {row["ServicePrincipalId"] for row in rows} == {"e1525895-2305-453d-b6ab-6a524251f7d9"}
    assert done.stderr.startswith("Success 2026-03-14 08:00:00 to 2026-03-14 10:00:00: ")
    assert done.stderr.count("\n") == 1


def test_details_are_for_a_person_in_a_pipe_too() -> None:
    """With --details the table and the details are printed without a terminal, as for a pager."""
    done = run_cli("run", "--recorded", DEMO, "--now", NOW, "--details")
    assert "func-orders-prod changed rg-orders-prod" in done.stdout
    assert "\t" not in done.stdout


def test_a_selection_limits_the_table_and_the_report_only(tmp_path: Path) -> None:
    """--top and --min-risk change what is shown; JSON Lines hold every finding."""
    page, file = tmp_path / "page.html", tmp_path / "all.jsonl"
    arguments = ("run", "--recorded", DEMO, "--now", NOW, "--report", page, "--top", "1")
    shown = run_cli(*arguments)
    assert "1 finding not shown, because of --min-risk or --top." in shown.stderr
    assert shown.stdout.count("\n") == 2
    assert "1 finding not shown, because of --min-risk or --top." in page.read_text("utf-8")
    assert len(json_lines(run_cli(*arguments, "--json", "--output", file).stdout)) == 2
    assert len(json_lines(file.read_text("utf-8"))) == 2


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--top", "0"), "'--top': 0 is not in the range"),
        (("--top", "few"), "'few' is not a valid integer range"),
        (("--min-risk", "101"), "'--min-risk': 101 is not in the range"),
        (("--json", "--details"), "--details is for the table"),
        (("--json", "--min-risk", "50"), "hold every finding: leave them out"),
        (("--output", "file", "--top", "3"), "hold every finding: leave them out"),
    ],
)
def test_a_selection_that_nothing_shows_is_refused(
    tmp_path: Path, options: tuple[str, ...], problem: str
) -> None:
    """A wrong number, or a choice of findings where no table shows them, is a usage error."""
    done = run_cli("run", "--recorded", DEMO, "--now", NOW, *options, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_backfill_is_one_table() -> None:
    """The findings of several windows are one table; with a state, each delivery has its own."""
    hours = ("--from", "2026-03-14T07:00:00Z", "--to", "2026-03-14T12:00:00Z")
    done = run_cli("run", "--recorded", DEMO, *hours)
    assert done.stdout.count("GravestOperation") == 1


def test_without_findings_the_status_is_zero() -> None:
    """A window without findings succeeds and prints nothing on stdout."""
    done = run_cli("run", "--recorded", QUIET, "--now", NOW)
    assert (done.returncode, done.stdout) == (0, "")
    assert "0 new findings" in done.stderr


def test_json_is_the_only_output_on_stdout(tmp_path: Path) -> None:
    """With --json stdout holds findings as JSON Lines by risk, the same bytes as --output."""
    path = tmp_path / "findings.jsonl"
    arguments = ("run", "--recorded", DEMO, "--now", NOW, "--output", path)
    done = run_cli(*arguments, "--json")
    assert done.returncode == 0
    rows = json_lines(done.stdout)
    assert {row["ResourceGroup"] for row in rows} == {"rg-backup-prod", "rg-orders-prod"}
    assert rows == sorted(rows, key=lambda row: -row["RiskScore"])
    assert all(list(row) == [name for name, _ in columns(Finding)] for row in rows)
    assert path.read_text("utf-8") == done.stdout
    again = run_cli(*arguments)  # without a state the file is replaced
    assert (again.returncode, again.stdout) == (0, "")
    assert path.read_text("utf-8") == done.stdout


def test_runs_are_recorded_on_request(tmp_path: Path) -> None:
    """With --runs each window writes a run record, and findings are still shown."""
    path = tmp_path / "runs.jsonl"
    done = run_cli("run", "--recorded", DEMO, "--now", NOW, "--runs", path)
    assert done.returncode == 0
    assert "rg-orders-prod" in done.stdout
    (record,) = json_lines(path.read_text("utf-8"))
    assert list(record) == [name for name, _ in columns(RunRecord)]
    assert pick(record, ("Status", "FindingsNew", "Mode")) == {
        "Status": "Success",
        "FindingsNew": 2,
        "Mode": "Scheduled",
    }


def test_without_a_time_every_hour_with_rows_is_examined() -> None:
    """The run says which hours the folder has, and finds what a run at each hour's end finds."""
    done = run_cli("run", "--recorded", DEMO, "--json")
    assert done.returncode == 0
    assert f"{DEMO} has rows from 2026-03-14T08:05:11Z to 2026-03-14T09:44:03Z: examining 2" in (
        done.stderr
    )
    found = [row["WindowEnd"] for row in json_lines(done.stdout)]
    assert sorted(found) == [
        "2026-03-14T09:00:00.0000000Z",
        *["2026-03-14T10:00:00.0000000Z"] * 2,
    ]


def test_settings_come_from_the_environment() -> None:
    """A setting in the environment changes the findings."""
    folder = RECORDED / "succeeded-spelling-is-ignored-but-counted"
    arguments = ("run", "--json", "--recorded", folder, "--now", NOW)
    assert not run_cli(*arguments).stdout
    done = run_cli(*arguments, settings={"SUCCESS_STATUSES": "Success,Succeeded"})
    assert json_lines(done.stdout)


def test_log_content_is_plain_text(tmp_path: Path) -> None:
    """Markup, emoji codes and control characters in a log have no effect on the terminal."""
    escape = "\x1b[31m\x1b]0;owned\x07\r\x9b5m"
    signed_in = sign_in(ServicePrincipalName="[red]x[/]", ResourceDisplayName="Storage :bomb:")
    changed = operation(
        ResourceGroup=f"[/]rg{escape}",
        OperationNameValue=f"[link=x]/{escape}/write",
        ResourceId="[bold]\\[/bold] :smile:",
        CallerIpAddress="2001:db8:a:b:c",
    )
    write_logs(tmp_path, [signed_in], [changed], [f"[blink]{escape}:b:", "\\[red]"])
    done = run_cli("run", "--recorded", tmp_path, "--now", ROWS_NOW, "--details")
    assert done.returncode == 0
    for text in ("[red]x[/]", "[/]rg", "[link=x]/", "[bold]\\[/bold] :smile:", "Storage :bomb:"):
        assert text in done.stdout
    assert "2001:db8:a:b:c" in done.stdout
    assert "'[blink]" in done.stderr
    assert ":b:" in done.stderr
    assert "[red]" in done.stderr
    shown = done.stdout + done.stderr
    assert not [c for c in shown if c != "\n" and not c.isprintable()]


# State.


def test_with_a_state_no_operation_is_reported_twice(tmp_path: Path) -> None:
    """A second run at the same time says that nothing is due, and files stay unchanged."""
    arguments = (
        *("run", "--recorded", DEMO, "--now", NOW, "--state-dir", tmp_path / "new" / "state"),
        *("--output", tmp_path / "findings.jsonl", "--runs", tmp_path / "runs.jsonl"),
    )
    assert run_cli(*arguments).returncode == 0
    before = snapshot(tmp_path)
    done = run_cli(*arguments, "--json")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("No window is due")
    assert snapshot(tmp_path) == before


def test_an_overlapping_run_reports_only_new_operations(tmp_path: Path) -> None:
    """An hour later only the new operation is reported, as revision 2, and then nothing."""
    arguments = ("--recorded", OVERLAPPING, "--state-dir", tmp_path / "state")
    output = tmp_path / "findings.jsonl"
    first = findings(*arguments, "--now", NOW, "--output", output)
    second = findings(*arguments, "--now", "2026-03-14T11:00:00Z", "--output", output)
    third = findings(*arguments, "--now", "2026-03-14T12:00:00Z", "--output", output)
    assert [row["Revision"] for row in first + second + third] == [1, 2]
    assert first[0]["FindingId"] == second[0]["FindingId"]
    assert second[0]["NewOperations"] == 1
    assert json_lines(output.read_text("utf-8")) == first + second


def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    """With --dry-run findings are shown, and no file and no folder is written."""
    arguments = (
        *("run", "--recorded", DEMO, "--now", NOW, "--dry-run", "--state-dir", tmp_path / "state"),
        *("--output", tmp_path / "findings.jsonl", "--runs", tmp_path / "runs.jsonl"),
    )
    done = run_cli(*arguments)
    assert done.returncode == 0
    assert "rg-orders-prod" in done.stdout
    assert len(json_lines(run_cli(*arguments, "--json").stdout)) == 2
    assert not list(tmp_path.iterdir())


def test_a_dry_run_reads_the_state(tmp_path: Path) -> None:
    """With --dry-run the state decides which operations are new, and stays unchanged."""
    arguments = ("--recorded", OVERLAPPING, "--state-dir", tmp_path / "state")
    findings(*arguments, "--now", NOW)
    before = snapshot(tmp_path)
    for _ in range(2):
        (row,) = findings(*arguments, "--now", "2026-03-14T11:00:00Z", "--dry-run")
        assert row["Revision"] == 2
    assert snapshot(tmp_path) == before


# Backfill.


def several_hours() -> tuple[list[Row], list[Row]]:
    """Return sign-ins and operations of six hours: in bursts, in every hour and across hours."""
    sign_ins: list[Row] = []
    operations: list[Row] = []
    for number, minute in enumerate((5, 58, 61, 119, 180, 241, 299, 300)):
        at = START - 2 * HOUR + minute * MINUTE
        identity = f"mi-{number % 3}"
        signed_in = {"Id": f"s{number}", "ServicePrincipalId": identity}
        sign_ins.append(sign_in(**signed_in, TimeGenerated=written(at)))
        for after in (0, 1, 30, 60):
            changed = {"EventDataId": f"o{number}-{after}", "ResourceGroup": f"rg{after % 2}"}
            time = written(at + after * MINUTE)
            operations.append(operation(**changed, Caller=identity, TimeGenerated=time))
    return sign_ins, operations


def test_a_backfill_equals_the_hourly_runs(tmp_path: Path) -> None:
    """A backfill reports each operation once, in the same findings and revisions as hourly runs."""
    sign_ins, operations = several_hours()
    logs = write_logs(tmp_path / "logs", sign_ins, operations)
    arguments = ("--recorded", logs)
    begin, hours = START - 2 * HOUR, 7
    ends = [written(begin + hour * HOUR) for hour in range(1, hours + 1)]
    runs = tmp_path / "runs.jsonl"
    backfilled = findings(*arguments, "--from", written(begin), "--to", ends[-1], "--runs", runs)
    assert sum(row["NewOperations"] for row in backfilled) == len(operations)
    assert max(row["Revision"] for row in backfilled) > 2
    records = json_lines(runs.read_text("utf-8"))
    assert [record["WindowEnd"] for record in records] == ends
    assert {record["Mode"] for record in records} == {"Backfill"}
    hourly = [
        row
        for end in ends
        for row in findings(*arguments, "--now", end, "--state-dir", tmp_path / "s")
    ]
    not_compared = {"TimeGenerated", "RunId"}
    kept = [name for name, _ in columns(Finding) if name not in not_compared]
    assert [pick(row, kept) for row in backfilled] == [pick(row, kept) for row in hourly]


def test_a_backfill_with_a_state_keeps_the_watermark(tmp_path: Path) -> None:
    """Operations of a backfill are not reported again, and the watermark stays."""
    arguments = ("--recorded", DEMO, "--state-dir", tmp_path / "state")
    between = ("--from", "2026-03-14T08:00:00Z", "--to", NOW)
    assert findings(*arguments, *between)
    assert not findings(*arguments, *between)
    done = run_cli("run", *arguments, "--now", NOW)
    assert (done.returncode, done.stdout) == (0, "")
    assert "2 unchanged" in done.stderr


# Refused runs.


def replaced_table(table: str, document: object) -> Callable[[Path], None]:
    """Return a function that replaces a table of a recorded folder."""

    def spoil(folder: Path) -> None:
        write_table(folder, table, document)

    return spoil


def truncated_table(table: str) -> Callable[[Path], None]:
    """Return a function that truncates a table's file to half."""

    def spoil(folder: Path) -> None:
        path = folder / f"{table}.json"
        body = path.read_bytes()
        path.write_bytes(body[: len(body) // 2])

    return spoil


def directory_for_table(folder: Path) -> None:
    """Replace a table's file by a directory."""
    (folder / f"{OPERATIONS}.json").unlink()
    (folder / f"{OPERATIONS}.json").mkdir()


def no_files(folder: Path) -> None:
    """Remove all files."""
    for path in folder.iterdir():
        path.unlink()


def without(row: dict[str, str | None], name: str) -> dict[str, str | None]:
    """Return the row without a column."""
    return {column: value for column, value in row.items() if column != name}


FULL = response_of([operation()])
SHORT = response(list(operation()), [list(operation().values()), list(operation().values())[:-1]])
TIMES = response_of([sign_in(), sign_in(), sign_in(TimeGenerated="14/03/2026 \x1b[31m\n10:00")])
FAILED = {"error": {"code": "PartialError", "message": "cut\nshort"}, **FULL}

BAD_LOGS: dict[str, tuple[Callable[[Path], None], int, tuple[str, ...]]] = {
    "not-json": (truncated_table(OPERATIONS), 1, ("AzureActivity.json", "not JSON")),
    "allowlist-not-json": (truncated_table(ALLOWLIST), 1, ("NetworkAllowlist.json", "not JSON")),
    "no-tables": (replaced_table(SIGN_INS, {"tables": []}), 1, (f"{SIGN_INS}.json", "no table")),
    "several-tables": (
        replaced_table(OPERATIONS, {"tables": [{}, {}]}),
        1,
        ("AzureActivity.json",),
    ),
    "failed-query": (replaced_table(OPERATIONS, FAILED), 1, ("AzureActivity.json", "PartialError")),
    "short-row": (
        replaced_table(OPERATIONS, SHORT),
        1,
        ("AzureActivity.json", "row 2 has 7 values for 8"),
    ),
    "no-object": (replaced_table(OPERATIONS, [operation(), 3]), 1, ("AzureActivity.json", "row 2")),
    "unreadable-time": (
        replaced_table(SIGN_INS, TIMES),
        1,
        (f"{SIGN_INS}.json", "row 3", "TimeGenerated"),
    ),
    "missing-column": (
        replaced_table(OPERATIONS, response_of([without(operation(), "Caller")])),
        1,
        ("AzureActivity.json", "Caller"),
    ),
    "directory-for-a-file": (directory_for_table, 1, ("AzureActivity.json", "cannot be read")),
    "empty-folder": (no_files, 2, ("logs", SIGN_INS, "AzureActivity")),
}


@pytest.fixture(scope="module")
def state_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the files of a state that an earlier run saved."""
    folder = tmp_path_factory.mktemp("remembered")
    logs = write_logs(folder / "logs", [sign_in()], [operation()])
    earlier = written(START + HOUR)
    findings("--recorded", logs, "--now", earlier, "--state-dir", folder / "state")
    return {path.name: path.read_bytes() for path in (folder / "state").iterdir()}


@pytest.fixture
def place(tmp_path: Path, state_files: dict[str, bytes]) -> Path:
    """Return a folder with logs, a state, and files of an earlier run."""
    write_logs(tmp_path / "logs", [sign_in()], [operation()], ["10.0.0.0/8"])
    (tmp_path / "state").mkdir()
    for name, body in state_files.items():
        (tmp_path / "state" / name).write_bytes(body)
    (tmp_path / "findings.jsonl").write_bytes(b'{"FindingId":"earlier"}\n')
    return tmp_path


def outputs(place: Path, state: str = "state") -> tuple[str | Path, ...]:
    """Return the options for every file that a run can write."""
    return (
        *("--state-dir", place / state, "--output", place / "findings.jsonl"),
        *("--runs", place / "runs.jsonl"),
    )


@pytest.mark.parametrize("name", BAD_LOGS)
def test_unreadable_logs_are_one_line_and_change_nothing(place: Path, name: str) -> None:
    """The error names file and row, and files and state stay unchanged."""
    spoil, status, expected_texts = BAD_LOGS[name]
    spoil(place / "logs")
    before = snapshot(place)
    arguments = ("run", "--recorded", place / "logs", "--now", ROWS_NOW)
    message = error_of(run_cli(*arguments, *outputs(place)), status)
    for text in expected_texts:
        assert text in message
    assert "\x1b" not in message
    assert snapshot(place) == before


BAD_USAGE: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "no-directory": (("--recorded", "nowhere", "--now", NOW), ("nowhere", "not a folder")),
    "no-recorded": (("--now", NOW), ("--recorded",)),
    "from-after-to": (
        ("--recorded", "logs", "--from", NOW, "--to", "2026-03-14T09:00:00Z"),
        ("--from", "--to", "2026-03-14T10:00:00"),
    ),
    "from-equals-to": (("--recorded", "logs", "--from", NOW, "--to", NOW), ("--from", "--to")),
    "from-without-to": (("--recorded", "logs", "--from", NOW), ("--from", "--to", "both")),
    "to-without-from": (("--recorded", "logs", "--to", NOW), ("--from", "--to", "both")),
    "now-with-from": (
        ("--recorded", "logs", "--now", NOW, "--from", "2026-03-14", "--to", "2026-03-15"),
        ("--now", "--from"),
    ),
    "unreadable-now": (("--recorded", "logs", "--now", "noon\n"), ("--now", "noon")),
    "before-logs": (("--recorded", "logs", "--now", "1970-01-01"), ("--now", "1970-01-01")),
    "output-is-a-folder": (("--recorded", "logs", "--output", "logs"), ("logs", "not a file")),
    "output-is-nowhere": (
        ("--recorded", "logs", "--output", "nowhere/findings.jsonl"),
        ("nowhere/findings.jsonl", "cannot be written"),
    ),
    "runs-is-nowhere": (
        ("--recorded", "logs", "--runs", "findings.jsonl/x"),
        ("findings.jsonl/x",),
    ),
    "state-is-a-file": (
        ("--recorded", "logs", "--state-dir", "findings.jsonl"),
        ("--state-dir findings.jsonl",),
    ),
    "unknown-option": (("--recorded", "logs", "--nwo", NOW), ("--nwo",)),
    "extra-argument": (("--recorded", "logs", "[red]more[/]"), ("[red]more[/]",)),
}


@pytest.mark.parametrize("name", BAD_USAGE)
def test_bad_usage_is_one_line_and_changes_nothing(place: Path, name: str) -> None:
    """The error names the option or the path, the status is 2, and nothing changes."""
    given, expected_texts = BAD_USAGE[name]
    before = snapshot(place)
    message = error_of(run_cli("run", *given, cwd=place), 2)
    for text in expected_texts:
        assert text in message
    assert snapshot(place) == before


def test_all_bad_settings_are_in_one_message(place: Path) -> None:
    """One line names every setting that cannot be used, and the status is 2."""
    before = snapshot(place)
    arguments = ("run", "--recorded", place / "logs", "--now", ROWS_NOW, *outputs(place, "new"))
    settings = {"LOOKBACK": "two\nhours", "MAX_LATENESS": "P1M", "CORRELATION_SPAN": "PT9H"}
    message = error_of(run_cli(*arguments, settings=settings), 2)
    for name in settings:
        assert name in message
    assert snapshot(place) == before


def test_a_damaged_state_is_refused_and_unchanged(place: Path) -> None:
    """The error names the file and the way to recover, the status is 1, and nothing changes."""
    (path,) = (place / "state").iterdir()
    path.write_bytes(path.read_bytes()[:-20])
    before = snapshot(place)
    arguments = ("run", "--recorded", place / "logs", "--now", ROWS_NOW, *outputs(place))
    message = error_of(run_cli(*arguments), 1)
    for text in (str(path), "damaged", "Restore an earlier copy"):
        assert text in message
    assert snapshot(place) == before


def test_a_traceback_is_shown_on_request(place: Path) -> None:
    """With --verbose the traceback precedes the error, which stays the last line."""
    truncated_table(OPERATIONS)(place / "logs")
    done = run_cli("run", "--verbose", "--recorded", place / "logs", "--now", ROWS_NOW)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert done.stderr.splitlines()[-1].startswith("error: ")


def test_an_unknown_command_is_refused() -> None:
    """A misspelt command is one line with status 2."""
    assert "rnu" in error_of(run_cli("rnu"), 2)


# A closed stdout.


def status_without_reader(*arguments: str | Path) -> tuple[int, str]:
    """Run with a stdout that is closed for reading, and return status and stderr."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            command(*arguments),
            env=environment(),
            stdout=writer,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            timeout=300,
            check=False,
        )
    finally:
        os.close(writer)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--recorded", DEMO, "--now", NOW, "--json"),
        ("run", "--recorded", DEMO, "--now", NOW),
        ("demo",),
        ("--help",),
    ],
    ids=["json", "table", "demo", "help"],
)
def test_a_closed_stdout_ends_the_run_silently(arguments: tuple[str | Path, ...]) -> None:
    """If the reader exits, as with `| head -0`, the status is that of other Unix tools."""
    status, stderr = status_without_reader(*arguments)
    assert status == 141
    for text in ("Traceback", "Exception ignored", "error"):
        assert text not in stderr


@pytest.mark.parametrize("form", [["--json"], []], ids=["json", "table"])
def test_findings_for_a_closed_stdout_are_not_lost(tmp_path: Path, form: list[str]) -> None:
    """With a state the findings wait, and the next run prints them first."""
    arguments: list[str | Path] = ["run", "--recorded", DEMO, "--now", NOW, *form]
    arguments += ["--state-dir", tmp_path / "state"]
    assert status_without_reader(*arguments)[0] == 141
    done = run_cli(*arguments)
    assert done.returncode == 0
    for text in ("rg-backup-prod", "rg-orders-prod"):
        assert text in done.stdout
    assert not run_cli(*arguments).stdout


# Help and demo.


def test_help_names_every_option() -> None:
    """`run --help` explains each option, the settings and the exit statuses."""
    done = run_cli("run", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    for text in (*RUN_OPTIONS, *RULE_SETTINGS, "Exit status"):
        assert text in done.stdout
    assert "\\" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_demo_help_names_its_options() -> None:
    """`demo --help` explains each option."""
    done = run_cli("demo", "-h")
    assert done.returncode == 0
    for text in ("--json", "--verbose", "--help"):
        assert text in done.stdout


def test_without_arguments_help_is_shown() -> None:
    """`python -m detection` alone lists the commands."""
    done = run_cli()
    assert done.returncode in {0, 2}
    shown = done.stdout + done.stderr
    for text in ("Usage: python -m detection", "demo", "run"):
        assert text in shown
    assert "error:" not in shown


def test_the_demo_needs_nothing_else(tmp_path: Path) -> None:
    """`demo` shows both findings in any folder and environment, and writes nothing."""
    done = run_cli("demo", cwd=tmp_path, settings={"LOOKBACK": "nonsense"})
    assert done.returncode == 0
    for text in ("rg-backup-prod", "rg-orders-prod"):
        assert text in done.stdout
    assert not list(tmp_path.iterdir())


def test_the_demo_prints_json(tmp_path: Path) -> None:
    """`demo --json` prints both findings as JSON Lines and nothing else on stdout."""
    done = run_cli("demo", "--json", cwd=tmp_path)
    assert done.returncode == 0
    rows = json_lines(done.stdout)
    assert {row["ResourceGroup"] for row in rows} == {"rg-backup-prod", "rg-orders-prod"}
    assert rows == sorted(rows, key=lambda row: -row["RiskScore"])


def errors_on_a_full_device(*arguments: str | Path) -> list[str]:
    """Run with stdout on a full device, with status 1, and return stderr."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command(*arguments),
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            check=False,
        )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    return [line for line in done.stderr.splitlines() if line.startswith("error: ")]


@pytest.mark.parametrize("form", [["--json"], []], ids=["json", "table"])
def test_a_full_device_is_an_error_and_loses_nothing(tmp_path: Path, form: list[str]) -> None:
    """A full device is a one-line error, and the next run prints the findings."""
    arguments: list[str | Path] = ["run", "--recorded", DEMO, "--now", NOW, *form]
    arguments += ["--state-dir", tmp_path / "state"]
    (error,) = errors_on_a_full_device(*arguments)
    assert "standard output could not be written: No space left on device" in error
    shown = run_cli(*arguments).stdout
    for text in ("rg-backup-prod", "rg-orders-prod"):
        assert text in shown


@pytest.mark.parametrize("arguments", [("--help",), ("demo",)])
def test_a_full_device_is_one_line_in_every_command(arguments: tuple[str, ...]) -> None:
    """Help and demo report a full device in one line too."""
    (error,) = errors_on_a_full_device(*arguments)
    assert "No space left on device" in error


def test_a_closed_stdout_is_bad_usage() -> None:
    """Without a stdout there is nowhere to print, and one line says so."""
    line = shlex.join(map(str, command("run", "--recorded", DEMO, "--now", NOW, "--json")))
    done = subprocess.run(
        ["/bin/sh", "-c", f"{line} >&-"],
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: standard output is closed")


def test_one_file_for_findings_and_runs_is_refused(tmp_path: Path) -> None:
    """Two outputs to one file would overwrite each other, so they are refused."""
    file = tmp_path / "out.jsonl"
    done = run_cli(
        *("run", "--recorded", DEMO, "--now", NOW),
        *("--output", file, "--runs", tmp_path / "x" / ".." / "out.jsonl"),
    )
    assert "give two files" in error_of(done, 2)
    assert not file.exists()


def test_a_report_is_written_on_request(tmp_path: Path) -> None:
    """--report writes the page with every finding, says where, and changes no other output."""
    page = tmp_path / "report.html"
    with_report = run_cli("run", "--recorded", DEMO, "--now", NOW, "--json", "--report", page)
    without = run_cli("run", "--recorded", DEMO, "--now", NOW, "--json")
    assert with_report.returncode == 0, with_report.stderr
    assert with_report.stdout == without.stdout
    assert f"The report is in {page}" in with_report.stderr
    text = page.read_text("utf-8")
    for row in json_lines(without.stdout):
        assert f"Finding {row['FindingId']}" in text


def test_a_dry_run_writes_no_report(tmp_path: Path) -> None:
    """--dry-run shows the findings and leaves the report's file unchanged."""
    page = tmp_path / "report.html"
    result = run_cli("run", "--recorded", DEMO, "--now", NOW, "--dry-run", "--report", page)
    assert result.returncode == 0
    assert not page.exists()


@pytest.mark.parametrize("other", ["--output", "--runs"])
def test_one_file_for_a_report_and_rows_is_refused(tmp_path: Path, other: str) -> None:
    """A report and rows in one file would overwrite each other, so they are refused."""
    file = tmp_path / "both"
    result = run_cli("run", "--recorded", DEMO, "--now", NOW, "--report", file, other, file)
    assert result.returncode == 2
    assert f"{other} and --report both name" in result.stderr


def test_the_demo_writes_a_report_on_request(tmp_path: Path) -> None:
    """The demo says where its report is, or how to get one, and else writes no file anywhere."""
    page = tmp_path / "report.html"
    asked = run_cli("demo", "--report", page)
    assert f"The report is in {page}: open it in a browser." in asked.stderr
    assert page.is_file()
    page.unlink()
    done = run_cli("demo", cwd=tmp_path, settings={"TMPDIR": str(tmp_path)})
    assert "--report FILE writes the same as an HTML page." in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["--output", "--runs", "--report"])
def test_a_recording_is_not_overwritten(tmp_path: Path, option: str) -> None:
    """An output file inside the recorded folder is refused, so the evidence stays."""
    folder = shutil.copytree(DEMO, tmp_path / "logs")
    before = snapshot(folder)
    done = run_cli("run", "--recorded", folder, "--now", NOW, option, folder / f"{OPERATIONS}.json")
    assert done.returncode == 2
    assert "is a table of --recorded" in done.stderr
    assert snapshot(folder) == before


def test_a_pipe_is_refused_as_a_table(tmp_path: Path) -> None:
    """A named pipe in a recorded folder is refused without waiting for a writer."""
    folder = shutil.copytree(DEMO, tmp_path / "logs")
    (folder / f"{OPERATIONS}.json").unlink()
    os.mkfifo(folder / f"{OPERATIONS}.json")
    done = run_cli("run", "--recorded", folder, "--now", NOW)
    assert done.returncode == 1
    assert "is not a file" in done.stderr


def test_a_report_with_a_missing_table_says_so(tmp_path: Path) -> None:
    """A report without findings names the warnings that may explain why."""
    folder = shutil.copytree(DEMO, tmp_path / "logs")
    (folder / f"{OPERATIONS}.json").unlink()
    run_cli("run", "--recorded", folder, "--now", NOW, "--report", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "Warnings: a finding may be missing" in page
    assert f"Table {OPERATIONS} is missing" in page
    run_cli("run", "--recorded", DEMO, "--now", NOW, "--report", tmp_path / "report.html")
    assert "Warnings: a finding" not in (tmp_path / "report.html").read_text("utf-8")


def test_the_version_is_the_one_that_was_released_last() -> None:
    """--version prints the version of pyproject.toml, which is the changelog's latest release."""
    done = run_cli("--version")
    assert (done.returncode, done.stderr) == (0, "")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert done.stdout == f"managed-identity-impact {version}\n"
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", changelog, re.MULTILINE)
    assert released[0] == version
