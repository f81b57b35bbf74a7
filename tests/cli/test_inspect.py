"""`inspect` says what a folder holds, what a run would use of it, and what has to be mended."""

import gzip
import json
from pathlib import Path

import pytest

from tests.support import (
    ALLOWLIST,
    DEMO,
    OPERATIONS,
    SIGN_INS,
    run_cli,
    write_logs,
    write_table,
)
from tests.support.strategies import operation, sign_in


def inspected(folder: Path, status: int = 0) -> str:
    """Return the output for a folder, with each run of white space as one blank."""
    done = run_cli("inspect", folder)
    assert (done.returncode, done.stderr) == (status, ""), done.stdout
    return " ".join(done.stdout.split())


def test_the_demo_is_described() -> None:
    """Tables, files, formats, rows, times, columns, reasons and other files are there."""
    text = inspected(DEMO)
    for part in (
        "AADManagedIdentitySignInLogs: 9 rows From 2026-03-14 08:05:11 to 2026-03-14 09:10:26 UTC",
        "AzureActivity.json: 24 rows, Log Analytics API response Columns: TimeGenerated, Caller,",
        "Used by the rule: 11 rows; left out: 10 rows: not successful (ActivityStatusValue is not",
        "Success) 3 rows: no write and no delete (OperationNameValue)",
        "3 rows: to another service than Key Vault and Storage 1 row: from an address in",
        "NetworkAllowlist 1 row: not successful (ResultType is not 0)",
        "NetworkAllowlist: 3 rows",
        "Not read: expected.json: it has no table",
        f"To examine it: python -m detection run --recorded {DEMO}",
    ):
        assert part in text


def test_lines_fit_a_terminal(tmp_path: Path) -> None:
    """No line is longer than 80 columns, unless a path or a name is."""
    write_logs(tmp_path, [sign_in()], [operation(OperationNameValue="x")])
    (tmp_path / "other.json").write_text(json.dumps([{f"column{n}": n for n in range(99)}]))
    (tmp_path / "cut.csv").write_text('a,"b', "utf-8")
    done = run_cli("inspect", tmp_path)
    lines = [line for line in done.stdout.splitlines() if str(tmp_path) not in line]
    assert max(map(len, lines)) <= 80


def test_files_of_one_table_are_listed(tmp_path: Path) -> None:
    """Each file has its format and its rows, and the times are of all."""
    write_table(tmp_path, SIGN_INS, [sign_in()])
    (tmp_path / "a.jsonl.gz").write_bytes(
        gzip.compress(b"\n".join(json.dumps(operation()).encode() for _ in range(2)))
    )
    (tmp_path / "b.csv").write_text(
        "TimeGenerated [UTC],Caller,OperationNameValue,ActivityStatusValue\n"
        '"3/14/2026, 8:33:04.115 AM",x,a/write,Success\n',
        "utf-8",
    )
    text = inspected(tmp_path)
    assert "AzureActivity: 3 rows From 2026-03-02 11:00:00 to 2026-03-14 08:33:04 UTC" in text
    assert "a.jsonl.gz: 2 rows, JSON Lines, gzip b.csv: 1 row, CSV Columns:" in text


@pytest.mark.parametrize(
    ("sign_ins", "operations", "message_part"),
    [
        ([{"TimeGenerated": "2026-03-14"}], [operation()], "no column ServicePrincipalId, Result"),
        ([sign_in()], [operation(), {"Caller": "x"}], "row 2: TimeGenerated is unreadable"),
        ([sign_in()], [operation(TimeGenerated="noon")], "row 1: TimeGenerated is unreadable"),
        (None, [operation()], f"no file has rows of {SIGN_INS}"),
        ([sign_in()], None, f"no file has rows of {OPERATIONS}"),
    ],
)
def test_something_required_is_missing(
    tmp_path: Path, sign_ins: object, operations: object, message_part: str
) -> None:
    """The status is 1, and the end says what has to be mended."""
    for table, rows in ((SIGN_INS, sign_ins), (OPERATIONS, operations)):
        if rows is not None:
            write_table(tmp_path, table, rows)
    text = inspected(tmp_path, 1)
    assert message_part in text.partition("To mend: ")[2]


def test_a_damaged_file_does_not_hide_the_others(tmp_path: Path) -> None:
    """The error is listed, and the other tables are described."""
    write_table(tmp_path, SIGN_INS, [sign_in()])
    (tmp_path / f"{OPERATIONS}.json").write_text("[{", "utf-8")
    (tmp_path / f"{ALLOWLIST}.json").write_text("[", "utf-8")
    text = inspected(tmp_path, 1)
    assert f"{SIGN_INS}: 1 row" in text
    assert text.count("is not JSON") == 2


def test_missing_names_ids_and_addresses_are_listed(tmp_path: Path) -> None:
    """They are no error: a run works without them."""
    write_logs(tmp_path, [sign_in()], [operation()])
    assert "Columns with names, ids or addresses that are missing: CallerIpAddress" in inspected(
        tmp_path
    )


def test_no_folder_is_bad_usage(tmp_path: Path) -> None:
    """The status is 2, and one line says so."""
    done = run_cli("inspect", tmp_path / "nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert "nowhere is not a folder" in done.stderr
