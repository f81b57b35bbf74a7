"""The command line as a person or a script meets it: a process, its status and its output."""

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
    snapshot,
    write_logs,
    write_table,
)
from tests.support.strategies import END, START, operation, sign_in, written

OVERLAPPING = RECORDED / "an-operation-is-reported-once-across-overlapping-windows"
QUIET = RECORDED / "nothing-happened"
ROWS_NOW = written(END)  # where the window of rows made here ends
RULE_SETTINGS = ("LOOKBACK", "CORRELATION_SPAN", "MAX_CATCH_UP", "MAX_LATENESS", "SUCCESS_STATUSES")
RUN_OPTIONS = (
    *("--recorded", "--now", "--from", "--to", "--state-dir", "--json", "--output", "--runs"),
    *("--dry-run", "--verbose", "--help"),
)
Row = dict[str, Any]


def error_of(done: subprocess.CompletedProcess[str], status: int) -> str:
    """Return the one line that a refused run leaves, having looked that it is all there is."""
    assert done.returncode == status, done.stderr
    assert not done.stdout
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")
    return done.stderr


def findings(*arguments: str | Path) -> list[Row]:
    """Run with --json and return what it found; it must have run well."""
    done = run_cli("run", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json_lines(done.stdout)


# What a run prints and writes.


def test_findings_are_shown_as_tables() -> None:
    """For people each finding is a table, the run itself a line on stderr, and no id is cut."""
    done = run_cli("run", "--recorded", DEMO, "--now", NOW)
    assert done.returncode == 0
    for text in ("rg-backup-prod", "rg-orders-prod", "func-orders-prod", "203.0.113.77"):
        assert text in done.stdout
    assert "e1525895-2305-453d-b6ab-6a524251f7d9" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert done.stderr.startswith("Success 2026-03-14 08:00:00 to 2026-03-14 10:00:00: ")
    assert done.stderr.count("\n") == 1


def test_without_findings_the_status_is_zero_too() -> None:
    """A quiet window is a good run that prints nothing on stdout."""
    done = run_cli("run", "--recorded", QUIET, "--now", NOW)
    assert (done.returncode, done.stdout) == (0, "")
    assert "0 new findings" in done.stderr


def test_json_is_all_there_is_on_stdout(tmp_path: Path) -> None:
    """With --json stdout is findings as JSON Lines, the same bytes that --output writes."""
    path = tmp_path / "findings.jsonl"
    asked = ("run", "--recorded", DEMO, "--now", NOW, "--output", path)
    done = run_cli(*asked, "--json")
    assert done.returncode == 0
    rows = json_lines(done.stdout)
    assert [row["ResourceGroup"] for row in rows] == ["rg-backup-prod", "rg-orders-prod"]
    assert all(list(row) == [name for name, _ in columns(Finding)] for row in rows)
    assert path.read_text("utf-8") == done.stdout
    again = run_cli(*asked)  # without a state the file is written anew
    assert (again.returncode, again.stdout) == (0, "")
    assert path.read_text("utf-8") == done.stdout


def test_runs_are_recorded_on_request(tmp_path: Path) -> None:
    """With --runs each window leaves a record, and findings are still shown."""
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


def test_the_present_is_the_default_end() -> None:
    """Without --now the window ends now, long after what was recorded."""
    done = run_cli("run", "--recorded", DEMO)
    assert (done.returncode, done.stdout) == (0, "")
    assert "0 of 0 sign-ins" in done.stderr


def test_settings_come_from_the_environment() -> None:
    """A setting changes what is found."""
    folder = RECORDED / "succeeded-spelling-is-ignored-but-counted"
    asked = ("run", "--json", "--recorded", folder, "--now", NOW)
    assert not run_cli(*asked).stdout
    done = run_cli(*asked, settings={"SUCCESS_STATUSES": "Success,Succeeded"})
    assert json_lines(done.stdout)


def test_log_content_is_plain_text(tmp_path: Path) -> None:
    """Markup, emoji codes and control characters of a log do nothing to the terminal."""
    escape = "\x1b[31m\x1b]0;owned\x07\r\x9b5m"
    signed_in = sign_in(ServicePrincipalName="[red]x[/]", ResourceDisplayName="Storage :bomb:")
    changed = operation(
        ResourceGroup=f"[/]rg{escape}",
        OperationNameValue=f"[link=x]/{escape}/write",
        ResourceId="[bold]\\[/bold] :smile:",
        CallerIpAddress="2001:db8:a:b:c",
    )
    write_logs(tmp_path, [signed_in], [changed], [f"[blink]{escape}:b:", "\\[red]"])
    done = run_cli("run", "--recorded", tmp_path, "--now", ROWS_NOW)
    assert done.returncode == 0
    for text in ("[red]x[/]", "[/]rg", "[link=x]/", "[bold]\\[/bold] :smile:", "Storage :bomb:"):
        assert text in done.stdout
    assert "2001:db8:a:b:c" in done.stdout
    assert "'[blink]" in done.stderr
    assert ":b:" in done.stderr
    assert "[red]" in done.stderr
    shown = done.stdout + done.stderr
    assert not [c for c in shown if c != "\n" and not c.isprintable()]


# State: what is remembered from run to run.


def test_with_a_state_nothing_is_reported_twice(tmp_path: Path) -> None:
    """A second run at the same moment says that nothing is due, and files stay as they were."""
    asked = (
        *("run", "--recorded", DEMO, "--now", NOW, "--state-dir", tmp_path / "new" / "state"),
        *("--output", tmp_path / "findings.jsonl", "--runs", tmp_path / "runs.jsonl"),
    )
    assert run_cli(*asked).returncode == 0
    before = snapshot(tmp_path)
    done = run_cli(*asked, "--json")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("No window is due")
    assert snapshot(tmp_path) == before


def test_an_overlapping_run_reports_only_what_is_new(tmp_path: Path) -> None:
    """An hour later only the new operation is reported, as revision 2; then nothing is."""
    asked = ("--recorded", OVERLAPPING, "--state-dir", tmp_path / "state")
    output = tmp_path / "findings.jsonl"
    first = findings(*asked, "--now", NOW, "--output", output)
    second = findings(*asked, "--now", "2026-03-14T11:00:00Z", "--output", output)
    third = findings(*asked, "--now", "2026-03-14T12:00:00Z", "--output", output)
    assert [row["Revision"] for row in first + second + third] == [1, 2]
    assert first[0]["FindingId"] == second[0]["FindingId"]
    assert second[0]["NewOperations"] == 1
    assert json_lines(output.read_text("utf-8")) == first + second


def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    """With --dry-run findings are shown and no file and no folder is written."""
    asked = (
        *("run", "--recorded", DEMO, "--now", NOW, "--dry-run", "--state-dir", tmp_path / "state"),
        *("--output", tmp_path / "findings.jsonl", "--runs", tmp_path / "runs.jsonl"),
    )
    done = run_cli(*asked)
    assert done.returncode == 0
    assert "rg-orders-prod" in done.stdout
    assert len(json_lines(run_cli(*asked, "--json").stdout)) == 2
    assert not list(tmp_path.iterdir())


def test_a_dry_run_looks_at_the_state_and_leaves_it(tmp_path: Path) -> None:
    """With --dry-run the state says what is new and is the same afterwards."""
    asked = ("--recorded", OVERLAPPING, "--state-dir", tmp_path / "state")
    findings(*asked, "--now", NOW)
    before = snapshot(tmp_path)
    for _ in range(2):
        (row,) = findings(*asked, "--now", "2026-03-14T11:00:00Z", "--dry-run")
        assert row["Revision"] == 2
    assert snapshot(tmp_path) == before


# Backfill.


def several_hours() -> tuple[list[Row], list[Row]]:
    """Return sign-ins and operations of six hours: in bursts, in every hour, across its ends."""
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
    """It reports each operation once, in the findings and revisions that hourly runs make."""
    sign_ins, operations = several_hours()
    logs = write_logs(tmp_path / "logs", sign_ins, operations)
    asked = ("--recorded", logs)
    begin, hours = START - 2 * HOUR, 7
    ends = [written(begin + hour * HOUR) for hour in range(1, hours + 1)]
    runs = tmp_path / "runs.jsonl"
    backfilled = findings(*asked, "--from", written(begin), "--to", ends[-1], "--runs", runs)
    assert sum(row["NewOperations"] for row in backfilled) == len(operations)
    assert max(row["Revision"] for row in backfilled) > 2
    records = json_lines(runs.read_text("utf-8"))
    assert [record["WindowEnd"] for record in records] == ends
    assert {record["Mode"] for record in records} == {"Backfill"}
    hourly = [
        row for end in ends for row in findings(*asked, "--now", end, "--state-dir", tmp_path / "s")
    ]
    told_apart = {"TimeGenerated", "RunId"}
    kept = [name for name, _ in columns(Finding) if name not in told_apart]
    assert [pick(row, kept) for row in backfilled] == [pick(row, kept) for row in hourly]


def test_a_backfill_with_a_state_leaves_the_watermark(tmp_path: Path) -> None:
    """What a backfill reported is not reported again, and what was due before it still is."""
    asked = ("--recorded", DEMO, "--state-dir", tmp_path / "state")
    between = ("--from", "2026-03-14T08:00:00Z", "--to", NOW)
    assert findings(*asked, *between)
    assert not findings(*asked, *between)
    done = run_cli("run", *asked, "--now", NOW)
    assert (done.returncode, done.stdout) == (0, "")
    assert "2 unchanged" in done.stderr


# What is refused.


def broken(table: str, document: object) -> Callable[[Path], None]:
    """Return what spoils a recorded folder by writing this as one of its tables."""

    def spoil(folder: Path) -> None:
        write_table(folder, table, document)

    return spoil


def cut(table: str) -> Callable[[Path], None]:
    """Return what leaves half of a table's file."""

    def spoil(folder: Path) -> None:
        path = folder / f"{table}.json"
        body = path.read_bytes()
        path.write_bytes(body[: len(body) // 2])

    return spoil


def directory(folder: Path) -> None:
    """Put a directory in place of a table."""
    (folder / f"{OPERATIONS}.json").unlink()
    (folder / f"{OPERATIONS}.json").mkdir()


def no_files(folder: Path) -> None:
    """Leave an empty folder."""
    for path in folder.iterdir():
        path.unlink()


def without(row: dict[str, str | None], name: str) -> dict[str, str | None]:
    """Return the row with one column less."""
    return {column: value for column, value in row.items() if column != name}


FULL = response_of([operation()])
SHORT = response(list(operation()), [list(operation().values()), list(operation().values())[:-1]])
TIMES = response_of([sign_in(), sign_in(), sign_in(TimeGenerated="14/03/2026 \x1b[31m\n10:00")])
FAILED = {"error": {"code": "PartialError", "message": "cut\nshort"}, **FULL}

BAD_LOGS: dict[str, tuple[Callable[[Path], None], int, tuple[str, ...]]] = {
    "not-json": (cut(OPERATIONS), 1, ("AzureActivity.json", "not JSON")),
    "allowlist-not-json": (cut(ALLOWLIST), 1, ("NetworkAllowlist.json", "not JSON")),
    "no-tables": (broken(SIGN_INS, {"tables": []}), 1, (f"{SIGN_INS}.json", "no table")),
    "several-tables": (broken(OPERATIONS, {"tables": [{}, {}]}), 1, ("AzureActivity.json",)),
    "failed-query": (broken(OPERATIONS, FAILED), 1, ("AzureActivity.json", "PartialError")),
    "short-row": (broken(OPERATIONS, SHORT), 1, ("AzureActivity.json", "row 2 has 7 values for 8")),
    "no-object": (broken(OPERATIONS, [operation(), 3]), 1, ("AzureActivity.json", "row 2")),
    "unreadable-time": (broken(SIGN_INS, TIMES), 1, (f"{SIGN_INS}.json", "row 3", "TimeGenerated")),
    "missing-column": (
        broken(OPERATIONS, response_of([without(operation(), "Caller")])),
        1,
        ("AzureActivity.json", "Caller"),
    ),
    "directory-for-a-file": (directory, 1, ("AzureActivity.json", "cannot be read")),
    "empty-folder": (no_files, 2, ("logs", f"{SIGN_INS}.json", "AzureActivity.json")),
}


@pytest.fixture(scope="module")
def remembered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the files of a state that an earlier run left."""
    folder = tmp_path_factory.mktemp("remembered")
    logs = write_logs(folder / "logs", [sign_in()], [operation()])
    earlier = written(START + HOUR)
    findings("--recorded", logs, "--now", earlier, "--state-dir", folder / "state")
    return {path.name: path.read_bytes() for path in (folder / "state").iterdir()}


@pytest.fixture
def place(tmp_path: Path, remembered: dict[str, bytes]) -> Path:
    """Return a folder with logs, a state, and files that an earlier run wrote."""
    write_logs(tmp_path / "logs", [sign_in()], [operation()], ["10.0.0.0/8"])
    (tmp_path / "state").mkdir()
    for name, body in remembered.items():
        (tmp_path / "state" / name).write_bytes(body)
    (tmp_path / "findings.jsonl").write_bytes(b'{"FindingId":"earlier"}\n')
    return tmp_path


def outputs(place: Path, state: str = "state") -> tuple[str | Path, ...]:
    """Return the options for all that a run can write."""
    return (
        *("--state-dir", place / state, "--output", place / "findings.jsonl"),
        *("--runs", place / "runs.jsonl"),
    )


@pytest.mark.parametrize("name", BAD_LOGS)
def test_logs_that_cannot_be_read_are_one_line_and_nothing_is_written(
    place: Path, name: str
) -> None:
    """The error names file and row, and files and state stay as they were."""
    spoil, status, told = BAD_LOGS[name]
    spoil(place / "logs")
    before = snapshot(place)
    asked = ("run", "--recorded", place / "logs", "--now", ROWS_NOW)
    message = error_of(run_cli(*asked, *outputs(place)), status)
    for text in told:
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
def test_bad_usage_is_one_line_and_nothing_is_written(place: Path, name: str) -> None:
    """The error names the option or the path, the status is 2, and nothing has changed."""
    given, told = BAD_USAGE[name]
    before = snapshot(place)
    message = error_of(run_cli("run", *given, cwd=place), 2)
    for text in told:
        assert text in message
    assert snapshot(place) == before


def test_bad_settings_are_told_all_at_once(place: Path) -> None:
    """Every setting that cannot be used is in the one line, and the status is 2."""
    before = snapshot(place)
    asked = ("run", "--recorded", place / "logs", "--now", ROWS_NOW, *outputs(place, "new"))
    settings = {"LOOKBACK": "two\nhours", "MAX_LATENESS": "P1M", "CORRELATION_SPAN": "PT9H"}
    message = error_of(run_cli(*asked, settings=settings), 2)
    for name in settings:
        assert name in message
    assert snapshot(place) == before


def test_a_damaged_state_is_refused_and_left(place: Path) -> None:
    """The error names the file and the way to recover, the status is 1, and nothing has changed."""
    (path,) = (place / "state").iterdir()
    path.write_bytes(path.read_bytes()[:-20])
    before = snapshot(place)
    asked = ("run", "--recorded", place / "logs", "--now", ROWS_NOW, *outputs(place))
    message = error_of(run_cli(*asked), 1)
    for text in (str(path), "damaged", "Restore an earlier copy"):
        assert text in message
    assert snapshot(place) == before


def test_a_traceback_is_shown_on_request(place: Path) -> None:
    """With --verbose the traceback comes before the line, which stays the last."""
    cut(OPERATIONS)(place / "logs")
    done = run_cli("run", "--verbose", "--recorded", place / "logs", "--now", ROWS_NOW)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert done.stderr.splitlines()[-1].startswith("error: ")


def test_an_unknown_command_is_refused() -> None:
    """A misspelt command is one line with status 2."""
    assert "rnu" in error_of(run_cli("rnu"), 2)


# A reader that goes away.


def status_without_reader(*arguments: str | Path) -> tuple[int, str]:
    """Run with a stdout that nobody reads, and return status and stderr."""
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
    """When the reader has gone, as with `| head -0`, the status is that of every Unix tool."""
    status, stderr = status_without_reader(*arguments)
    assert status == 141
    for text in ("Traceback", "Exception ignored", "error"):
        assert text not in stderr


@pytest.mark.parametrize("form", [["--json"], []], ids=["json", "table"])
def test_what_a_closed_stdout_did_not_take_is_not_lost(tmp_path: Path, form: list[str]) -> None:
    """With a state the findings wait, and the next run delivers them first."""
    asked: list[str | Path] = ["run", "--recorded", DEMO, "--now", NOW, *form]
    asked += ["--state-dir", tmp_path / "state"]
    assert status_without_reader(*asked)[0] == 141
    done = run_cli(*asked)
    assert done.returncode == 0
    for text in ("rg-backup-prod", "rg-orders-prod"):
        assert text in done.stdout
    assert not run_cli(*asked).stdout


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


def test_the_demo_needs_nothing(tmp_path: Path) -> None:
    """`demo` shows both findings from any folder, whatever the environment, and writes nothing."""
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
    assert [row["ResourceGroup"] for row in rows] == ["rg-backup-prod", "rg-orders-prod"]


def told_on_a_full_device(*arguments: str | Path) -> list[str]:
    """Run with a stdout that takes nothing, and return the errors; the status must be 1."""
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
    """When stdout takes nothing more that is one line, and the next run delivers the findings."""
    asked: list[str | Path] = ["run", "--recorded", DEMO, "--now", NOW, *form]
    asked += ["--state-dir", tmp_path / "state"]
    (told,) = told_on_a_full_device(*asked)
    assert "standard output could not be written: No space left on device" in told
    shown = run_cli(*asked).stdout
    for text in ("rg-backup-prod", "rg-orders-prod"):
        assert text in shown


@pytest.mark.parametrize("asked", [("--help",), ("demo",)])
def test_a_full_device_is_one_line_in_every_command(asked: tuple[str, ...]) -> None:
    """Help and demo fail as plainly."""
    (told,) = told_on_a_full_device(*asked)
    assert "No space left on device" in told


def test_a_closed_stdout_from_the_start_is_bad_usage() -> None:
    """Without any stdout there is nowhere to print to, which is said in one line."""
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
    """Two outputs to one file would overwrite each other."""
    file = tmp_path / "out.jsonl"
    done = run_cli(
        *("run", "--recorded", DEMO, "--now", NOW),
        *("--output", file, "--runs", tmp_path / "x" / ".." / "out.jsonl"),
    )
    assert "give two files" in error_of(done, 2)
    assert not file.exists()


def test_a_report_is_written_on_request(tmp_path: Path) -> None:
    """--report writes the page with every finding, and changes nothing else that is said."""
    page = tmp_path / "report.html"
    with_report = run_cli("run", "--recorded", DEMO, "--now", NOW, "--json", "--report", page)
    without = run_cli("run", "--recorded", DEMO, "--now", NOW, "--json")
    assert with_report.returncode == 0, with_report.stderr
    assert with_report.stdout == without.stdout
    text = page.read_text("utf-8")
    for row in json_lines(without.stdout):
        assert f"Finding {row['FindingId']}" in text


def test_a_dry_run_writes_no_report(tmp_path: Path) -> None:
    """--dry-run shows the findings and leaves the file alone."""
    page = tmp_path / "report.html"
    result = run_cli("run", "--recorded", DEMO, "--now", NOW, "--dry-run", "--report", page)
    assert result.returncode == 0
    assert not page.exists()


@pytest.mark.parametrize("other", ["--output", "--runs"])
def test_one_file_for_a_report_and_rows_is_refused(tmp_path: Path, other: str) -> None:
    """Naming one file twice would lose one of the two."""
    file = tmp_path / "both"
    result = run_cli("run", "--recorded", DEMO, "--now", NOW, "--report", file, other, file)
    assert result.returncode == 2
    assert f"{other} and --report both name" in result.stderr


def test_the_demo_writes_a_report(tmp_path: Path) -> None:
    """The demo says where its report is: where it was asked for, or in a folder of its own."""
    page = tmp_path / "report.html"
    assert run_cli("demo", "--report", page).returncode == 0
    assert page.is_file()
    told = run_cli("demo", settings={"TMPDIR": str(tmp_path)}).stderr
    (named,) = re.findall(r"The report is in (.+/report\.html):", told)
    assert Path(named).is_file()
    assert Path(named).parent.parent == tmp_path


@pytest.mark.parametrize("option", ["--output", "--runs", "--report"])
def test_a_recording_is_not_written_over(tmp_path: Path, option: str) -> None:
    """A file in the folder that is read is refused, and the evidence in it stays."""
    folder = shutil.copytree(DEMO, tmp_path / "logs")
    before = snapshot(folder)
    done = run_cli("run", "--recorded", folder, "--now", NOW, option, folder / f"{OPERATIONS}.json")
    assert done.returncode == 2
    assert "is a table of --recorded" in done.stderr
    assert snapshot(folder) == before


def test_a_pipe_is_no_table(tmp_path: Path) -> None:
    """A named pipe in a recorded folder is refused instead of being waited for."""
    folder = shutil.copytree(DEMO, tmp_path / "logs")
    (folder / f"{OPERATIONS}.json").unlink()
    os.mkfifo(folder / f"{OPERATIONS}.json")
    done = run_cli("run", "--recorded", folder, "--now", NOW)
    assert done.returncode == 1
    assert "is not a file" in done.stderr


def test_a_report_without_a_table_says_so(tmp_path: Path) -> None:
    """A page on which nothing was found shows what may have hidden a finding."""
    folder = shutil.copytree(DEMO, tmp_path / "logs")
    (folder / f"{OPERATIONS}.json").unlink()
    run_cli("run", "--recorded", folder, "--now", NOW, "--report", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "What may have hidden a finding" in page
    assert f"Table {OPERATIONS} is missing" in page
    run_cli("run", "--recorded", DEMO, "--now", NOW, "--report", tmp_path / "report.html")
    assert "What may have hidden" not in (tmp_path / "report.html").read_text("utf-8")


def test_the_version_is_the_one_that_was_released_last() -> None:
    """--version prints the version of pyproject.toml, which is the changelog's latest release."""
    done = run_cli("--version")
    assert (done.returncode, done.stderr) == (0, "")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert done.stdout == f"managed-identity-impact {version}\n"
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", changelog, re.MULTILINE)
    assert released[0] == version
