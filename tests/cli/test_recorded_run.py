"""`run --recorded` examines every hour of a folder, or warns of the rows that it leaves out."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from detection.cli.recorded_run import examine_all
from detection.pipeline.invocation import Invocation
from detection.rule.filters import RuleSettings
from detection.rule.ticks import HOUR, MINUTE, format_time, from_datetime, parse_time
from detection.sources.recorded.folder import RecordedSource
from detection.state import ReadOnlyStore
from detection.window import Mode, Window, windows_until
from tests.support import DEMO, NOW, OPERATIONS, SIGN_INS, json_lines, run_cli, write_logs
from tests.support.strategies import operation, sign_in

TEN = parse_time(NOW)
Row = dict[str, Any]


def attack(at: int, name: str) -> tuple[list[Row], list[Row]]:
    """Return a sign-in at a time (ticks), and an operation ten minutes later."""
    changed = operation(
        TimeGenerated=format_time(at + 10 * MINUTE), EventDataId=name, CallerIpAddress=""
    )
    return [sign_in(TimeGenerated=format_time(at), Id=name)], [changed]


def attacks(folder: Path, *times: int) -> Path:
    """Write one attack for each time; returns the folder."""
    pairs = [attack(at, f"e{at}") for at in times]
    return write_logs(
        folder,
        [row for rows, _ in pairs for row in rows],
        [row for _, rows in pairs for row in rows],
    )


def examined(*arguments: str | Path, runs: Path) -> tuple[list[Row], list[Row], str]:
    """Run with these arguments; returns findings, run records and standard error."""
    runs.unlink(missing_ok=True)
    done = run_cli("run", "--json", "--runs", runs, *arguments)
    assert done.returncode == 0, done.stderr
    records = json_lines(runs.read_text("utf-8")) if runs.exists() else []
    return json_lines(done.stdout), records, done.stderr


def test_hours_without_rows_are_not_examined(tmp_path: Path) -> None:
    """Two attacks two years apart have rows in three hours, and both are found."""
    folder = attacks(tmp_path / "logs", TEN - 2 * 366 * 24 * HOUR - 30 * MINUTE, TEN - 5 * MINUTE)
    found, records, stderr = examined("--recorded", folder, runs=tmp_path / "runs.jsonl")
    assert "rows from 2024-03-12T09:30:00Z to 2026-03-14T10:05:00Z: examining 3 hours." in stderr
    assert [record["WindowEnd"][:16] for record in records] == [
        *("2024-03-12T10:00", "2026-03-14T10:00", "2026-03-14T11:00")
    ]
    assert [row["LastEvent"][:16] for row in found] == ["2024-03-12T09:40", "2026-03-14T10:05"]
    assert {record["Status"] for record in records} == {"Success"}


def test_a_row_on_the_hour_belongs_to_the_hour_before(tmp_path: Path) -> None:
    """A window includes its end, so one window is enough."""
    folder = attacks(tmp_path / "logs", TEN - 10 * MINUTE)
    found, records, _ = examined("--recorded", folder, runs=tmp_path / "runs.jsonl")
    assert [record["WindowEnd"][:16] for record in records] == ["2026-03-14T10:00"]
    assert len(found) == 1


def test_the_hours_give_what_a_backfill_gives(tmp_path: Path) -> None:
    """The findings are those of a backfill from the first hour to the last."""
    runs = tmp_path / "runs.jsonl"
    found, _, _ = examined("--recorded", DEMO, runs=runs)
    times = ("--from", "2026-03-14T08:00:00Z", "--to", NOW)
    backfilled, _, stderr = examined("--recorded", DEMO, *times, runs=runs)
    assert "examining" not in stderr
    differs = {"RunId", "TimeGenerated"}
    assert [{k: v for k, v in row.items() if k not in differs} for row in found] == [
        {k: v for k, v in row.items() if k not in differs} for row in backfilled
    ]


def test_a_second_run_with_a_state_is_silent(tmp_path: Path) -> None:
    """With a state, only hours that were not examined before are examined."""
    folder, runs = attacks(tmp_path / "logs", TEN - 30 * MINUTE), tmp_path / "runs.jsonl"
    arguments = ("--recorded", folder, "--state-dir", tmp_path / "state")
    assert len(examined(*arguments, runs=runs)[0]) == 1
    found, records, stderr = examined(*arguments, runs=runs)
    assert (found, records) == ([], [])
    assert "examining 0 of 1 hour." in stderr
    assert "No window is due" in stderr
    later = attacks(tmp_path / "later", TEN + 5 * HOUR + MINUTE)
    for table in (SIGN_INS, OPERATIONS):
        shutil.copy(later / f"{table}.json", folder / f"{table}-2.json")
    found, records, stderr = examined(*arguments, runs=runs)
    assert "examining 1 of 2 hours." in stderr
    assert [row["LastEvent"][:16] for row in found] == ["2026-03-14T15:11"]
    assert len(records) == 1


def test_a_folder_without_rows_says_so(tmp_path: Path) -> None:
    """Empty tables are one window that ends now."""
    folder = write_logs(tmp_path / "logs", [], [])
    found, records, stderr = examined("--recorded", folder, runs=tmp_path / "runs.jsonl")
    assert not found
    assert len(records) == 1
    assert f"{folder} has no sign-ins and no operations." in stderr


@pytest.mark.parametrize(
    ("times", "outside", "place"),
    [
        (("--now", NOW), 1, "2026-03-14T08:00:00Z to 2026-03-14T10:00:00Z"),
        (("--now", "2026-05-01"), 3, "2026-04-30T22:00:00Z to 2026-05-01T00:00:00Z"),
        (
            ("--from", "2026-03-14T06:00:00Z", "--to", "2026-03-14T09:55:00Z"),
            2,
            "2026-03-14T05:00:00Z to 2026-03-14T09:55:00Z",
        ),
    ],
)
def test_rows_outside_of_the_examined_time_are_a_warning(
    tmp_path: Path, times: tuple[str, ...], outside: int, place: str
) -> None:
    """The first run record and the report say how many, the folder's times and the command."""
    folder = tmp_path / "my logs"
    signed_in, changed = attack(TEN - 4 * MINUTE, "late")
    write_logs(folder, [*attack(TEN - 24 * MINUTE, "early")[0], *signed_in], changed)
    report = tmp_path / "report.html"
    _, records, stderr = examined(
        *("--recorded", folder, "--report", report), *times, runs=tmp_path / "runs.jsonl"
    )
    rows = "1 row" if outside == 1 else f"{outside} rows"
    sentence = (
        f"{rows} of {folder} not examined, because of a time outside of {place}: its rows are from "
        "2026-03-14T09:36:00Z to 2026-03-14T10:06:00Z; to examine all of them, run "
        f"`python -m detection run --recorded '{folder}'`"
    )
    assert [record["Status"] for record in records][:2] in (["Warning"], ["Warning", "Success"])
    assert records[0]["Reason"].startswith(sentence)
    assert sentence in stderr
    assert f"{rows} of {folder} not examined" in report.read_text("utf-8")


@pytest.mark.parametrize("times", [("--now", NOW), ("--from", "2026-03-14T09:00", "--to", NOW)])
def test_without_rows_outside_there_is_no_warning(tmp_path: Path, times: tuple[str, ...]) -> None:
    """A run that examines all rows is a success."""
    folder = attacks(tmp_path / "logs", TEN - 30 * MINUTE)
    _, records, _ = examined("--recorded", folder, *times, runs=tmp_path / "runs.jsonl")
    assert [record["Status"] for record in records] == ["Success"]


def test_rows_that_a_state_has_examined_are_no_warning(tmp_path: Path) -> None:
    """An hourly run on a growing folder warns of nothing that an earlier run examined."""
    folder, runs = attacks(tmp_path / "logs", TEN - 30 * MINUTE), tmp_path / "runs.jsonl"
    arguments = ("--recorded", folder, "--state-dir", tmp_path / "state", "--now")
    for hour in range(4):
        _, records, _ = examined(*arguments, format_time(TEN + hour * HOUR), runs=runs)
        assert [record["Status"] for record in records] == ["Success"], hour


def test_rows_of_the_future_are_not_remembered(tmp_path: Path) -> None:
    """With a state they are refused, since later rows of these hours would never be examined."""
    tomorrow = from_datetime(datetime.now(UTC)) + 24 * HOUR
    folder = attacks(tmp_path / "logs", tomorrow)
    done = run_cli("run", "--recorded", folder, "--state-dir", tmp_path / "state")
    assert done.returncode == 2
    assert "later than the present" in done.stderr
    found, _, _ = examined("--recorded", folder, runs=tmp_path / "runs.jsonl")
    assert len(found) == 1


def test_the_hour_that_has_not_ended_ends_now(tmp_path: Path) -> None:
    """A state remembers no time later than the present, since rows may still come."""
    folder = attacks(tmp_path / "logs", TEN + MINUTE)
    source, present = RecordedSource(folder), TEN + 12 * MINUTE
    planned, sentence = examine_all(source, folder, Invocation("w", present), ReadOnlyStore())
    assert (planned.ends, planned.now) == ((present,), present)
    assert "examining 1 hour." in sentence
    planned, _ = examine_all(source, folder, Invocation("w", TEN + 2 * HOUR), ReadOnlyStore())
    assert (planned.ends, planned.now) == ((TEN + HOUR,), TEN + 2 * HOUR)


@pytest.mark.parametrize("option", ["--output", "--runs", "--report"])
def test_no_output_overwrites_a_file_that_is_read(tmp_path: Path, option: str) -> None:
    """A table may have any name, so the file itself is compared."""
    folder = attacks(tmp_path / "logs", TEN - 30 * MINUTE)
    file = (folder / f"{OPERATIONS}.json").rename(folder / "query_data (1).json")
    body = file.read_bytes()
    done = run_cli("run", "--recorded", folder, option, file)
    assert done.returncode == 2
    assert f"{option} {file} is a table of --recorded" in done.stderr
    assert file.read_bytes() == body


def test_windows_of_a_recording_start_after_what_is_forgotten() -> None:
    """Each window has its whole lookback, unless the memory of reported operations is shorter."""
    settings = RuleSettings()
    ends = [TEN + HOUR, TEN]
    assert windows_until(ends, None, settings) == [
        Window(TEN - 2 * HOUR, TEN, Mode.CATCH_UP),
        Window(TEN - HOUR, TEN + HOUR, Mode.CATCH_UP),
    ]
    assert windows_until(ends, TEN, settings, TEN - 30 * MINUTE) == [
        Window(TEN - 30 * MINUTE, TEN + HOUR, Mode.CATCH_UP)
    ]
