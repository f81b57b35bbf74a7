"""Odd or missing files of a recorded folder give errors and warnings that say what to do."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from detection.errors import SourceError, UsageError
from detection.rule.log_rows import Logs
from detection.rule.ticks import HOUR, parse_time
from detection.sources.decode.table import ROW_LIMIT
from detection.sources.recorded.folder import RecordedSource
from detection.window import Mode, Window
from tests.support import (
    ALLOWLIST,
    EXCLUSIONS,
    NOW,
    OPERATIONS,
    SIGN_INS,
    json_lines,
    response,
    response_of,
    run_cli,
    write_table,
)
from tests.support.strategies import operation, sign_in

TEN = parse_time(NOW)
LIST_OF_ACTIVITY = {"eventTimestamp": NOW, "caller": "x", "operationName": {"value": "a/write"}}
GRAPH = {"createdDateTime": NOW, "servicePrincipalId": "x", "status": {"errorCode": 0}}
PORTAL = {"TimeGenerated [UTC]": "3/14/2026, 10:00:00.000 AM", "Caller": "x"}
EXPORTED = {"time": NOW, "category": "ManagedIdentitySignInLogs", "properties": {}}
LOWER = {name.lower(): value for name, value in operation().items()}
CSV = b"TimeGenerated,Caller,OperationNameValue\r\n2026-03-14T10:00:00Z,x,a/write\r\n"
LINES = b'{"TimeGenerated":"2026-03-14T10:00:00Z"}\n{"TimeGenerated":"2026-03-14T10:00:00Z"}\n'


def read(folder: Path) -> Logs:
    """Return the logs of the two hours before 10:00."""
    return RecordedSource(folder).read(Window(TEN - 2 * HOUR, TEN, Mode.SCHEDULED), TEN)


def sign_in_with_result(value: object) -> dict[str, object]:
    """Return a sign-in with this result type."""
    return {**sign_in(), "ResultType": value}


def refused(folder: Path, table: str, body: bytes) -> str:
    """Return the one-line error for a table with this body."""
    (folder / f"{table}.json").write_bytes(body)
    with pytest.raises(SourceError) as caught:
        read(folder)
    message = str(caught.value)
    assert message.startswith(str(folder / f"{table}.json"))
    assert "\n" not in message
    return message


# Missing columns.


@pytest.mark.parametrize(
    ("table", "row", "message_part"),
    [
        (OPERATIONS, LIST_OF_ACTIVITY, "az monitor activity-log list"),
        (SIGN_INS, GRAPH, "Microsoft Graph"),
        (OPERATIONS, PORTAL, "an export from the portal, with 'TimeGenerated [UTC]'"),
        (SIGN_INS, EXPORTED, "a diagnostic setting"),
        (OPERATIONS, LOWER, "it has 'timegenerated', but column names are case-sensitive"),
        (OPERATIONS, {"x": 1}, "export the table with all of its columns"),
    ],
    ids=["activity-log-list", "graph", "portal", "diagnostic-setting", "case", "anything"],
)
@pytest.mark.parametrize("form", ["objects", "response", "large"])
def test_a_table_without_its_time_misses_a_column(
    tmp_path: Path, table: str, row: dict[str, Any], message_part: str, form: str
) -> None:
    """In both forms the error names the missing column and the likely origin of the file."""
    rows = [row] * (5_000 if form == "large" else 2)
    document: object = response_of(rows) if form == "response" else rows
    message = refused(tmp_path, table, json.dumps(document).encode())
    assert "has no column TimeGenerated, " in message
    assert "which the rule requires: " in message
    assert message_part in message
    assert "unreadable" not in message


def test_all_missing_columns_are_named(tmp_path: Path) -> None:
    """One error names all missing columns, so one new export is enough."""
    body = json.dumps([LIST_OF_ACTIVITY]).encode()
    names = "TimeGenerated, Caller, OperationNameValue, ActivityStatusValue"
    assert f"has no column {names}, " in refused(tmp_path, OPERATIONS, body)


def test_a_row_without_its_time_is_named(tmp_path: Path) -> None:
    """If the column exists, the error names the row without a value."""
    rows = [operation(), {k: v for k, v in operation().items() if k != "TimeGenerated"}]
    message = refused(tmp_path, OPERATIONS, json.dumps(rows).encode())
    assert "row 2: TimeGenerated is unreadable" in message


# Files of other formats.


@pytest.mark.parametrize(
    ("body", "message_part"),
    [
        (b"", "it is empty"),
        (b" \r\n", "it is empty"),
        (b"\0" * 512, "it is empty"),
        (CSV, "it seems to be CSV"),
        (b"\xef\xbb\xbf" + CSV, "it seems to be CSV"),
        (CSV.replace(b",", b"\t"), "it seems to be CSV"),
        (LINES, "it seems to be JSON Lines"),
        (gzip.compress(b"[]", mtime=0), "compressed with gzip"),
        (b"PK\x03\x04\x14\0", "a zip file or an Excel workbook"),
        (b"PAR1\x15\x04", "a Parquet file"),
        (b"<!doctype html><html></html>", "HTML"),
        ("[]".encode("utf-16-le") * 9, "UTF-16"),
        (CSV.decode().encode("utf-16"), "is UTF-16"),
        (
            b"Caller    OperationName\n--------  -----------\nx         a/write\n",
            "laid out as text",
        ),
        (b"- Caller: x\n  TimeGenerated: y\n", "YAML"),
        (b"ERROR: please run az login", "an error message"),
        (b'[{"TimeGenerated": "2026', "cut short"),
        (b"hello", "other than a table"),
    ],
)
def test_a_file_that_is_not_json_is_recognised(
    tmp_path: Path, body: bytes, message_part: str
) -> None:
    """The error says which format the file seems to have and what to do about it."""
    message = refused(tmp_path, OPERATIONS, body)
    assert message_part in message
    assert ": " in message.split(message_part)[1] or "save it as UTF-8" in message


@pytest.mark.parametrize(
    ("document", "message_part"),
    [
        ({"value": [LIST_OF_ACTIVITY]}, "Microsoft Graph or from Azure's management API"),
        ({"Results": [operation()], "Error": None}, "PowerShell"),
        (operation(), "a single row"),
    ],
    ids=["rest", "powershell", "row"],
)
def test_a_document_without_tables_is_recognised(
    tmp_path: Path, document: object, message_part: str
) -> None:
    """The error says which kind of JSON the file seems to be and what to do with it."""
    message = refused(tmp_path, OPERATIONS, json.dumps(document).encode())
    assert 'expected {"tables": [...]} or an array of rows; ' in message
    assert message_part in message


# Nested cells.


@pytest.mark.parametrize("depth", [300, 600, 900, 5_000, 100_000])
@pytest.mark.parametrize("column", ["ResourceGroup", "ActivityStatusValue", "TimeGenerated"])
@pytest.mark.parametrize("objects", [True, False])
def test_a_cell_that_is_nested_too_deeply_is_one_line(
    tmp_path: Path, column: str, depth: int, *, objects: bool
) -> None:
    """Nesting of any depth is a one-line error that names the file and, in most cases, the row."""
    rows = [operation(), operation(**{column: "HERE"})]
    document: object = rows if objects else response_of(rows)
    nested = '{"a":[' * (depth // 2) + "1" + "]}" * (depth // 2)
    body = json.dumps(document).replace('"HERE"', nested).encode()
    message = refused(tmp_path, OPERATIONS, body)
    assert any(word in message for word in ("nested too deeply", "is unreadable", "not an ISO"))


def test_a_nested_cell_is_named_by_row_and_column(tmp_path: Path) -> None:
    """The row number counts all rows, with those that cannot match."""
    nested: object = 1
    for _ in range(400):
        nested = [nested]
    last = {**operation(), "ResourceGroup": nested}
    rows = [operation(OperationNameValue="a/read"), operation(), last]
    message = refused(tmp_path, OPERATIONS, json.dumps(rows).encode())
    assert "row 3: ResourceGroup is nested too deeply to be read: remove that value" in message


# Warnings.


def warnings_of(folder: Path) -> str:
    """Run and return the warning in the run record."""
    record = run_record(folder)
    assert record["Status"] == "Warning"
    return str(record["Reason"])


def run_record(folder: Path) -> dict[str, Any]:
    """Run on a folder and return its record; the terminal shows the same reason."""
    runs = folder / "runs.jsonl"
    done = run_cli("run", "--recorded", folder, "--now", NOW, "--runs", runs)
    assert done.returncode == 0, done.stderr
    (record,) = json_lines(runs.read_text("utf-8"))
    assert record["Reason"] in done.stderr
    return record


@pytest.mark.parametrize(("rows", "warned"), [(ROW_LIMIT, True), (ROW_LIMIT - 1, False)])
def test_a_table_at_the_row_limit_is_a_warning(tmp_path: Path, rows: int, *, warned: bool) -> None:
    """A file with as many rows as one answer can hold may be cut, and the run warns."""
    columns = ["TimeGenerated", "Caller", "OperationNameValue", "ActivityStatusValue"]
    frame = json.dumps(response(columns, ["ROWS"]))
    row = '["2026-03-14T09:00:00.0000000Z","a","b","c"]'
    body = frame.replace('"ROWS"', ",".join([row] * rows))
    (tmp_path / f"{OPERATIONS}.json").write_text(body, "utf-8")
    write_table(tmp_path, SIGN_INS, [])
    write_table(tmp_path, ALLOWLIST, [])
    record = run_record(tmp_path)
    message_part = (
        "AzureActivity.json has 500,000 rows, the maximum of one query: rows may be missing; "
        "export a shorter time range"
    )
    assert (message_part in record["Reason"], record["Status"] == "Warning") == (warned, warned)


@pytest.mark.parametrize("zero", [0.0, "0.0", " 0", "00", "+0", "0 "], ids=repr)
def test_an_unusual_zero_is_a_warning(tmp_path: Path, zero: object) -> None:
    """A result type that was converted to a number matches nothing, and the run warns."""
    write_table(tmp_path, SIGN_INS, [sign_in_with_result(zero), sign_in_with_result("50034")])
    write_table(tmp_path, OPERATIONS, [])
    reason = warnings_of(tmp_path)
    text = json.dumps(zero).strip('"')
    assert f'has no row with ResultType 0, a successful sign-in, but has "{text}": no' in reason


@pytest.mark.parametrize("others", [["0", "0.0"], ["50034"], [], [0, 0.0]])
def test_the_usual_zero_or_no_zero_is_no_warning(tmp_path: Path, others: list[object]) -> None:
    """The run does not warn if a sign-in has the rule's 0, or if no sign-in has any zero."""
    write_table(tmp_path, SIGN_INS, list(map(sign_in_with_result, others)))
    write_table(tmp_path, OPERATIONS, [])
    assert run_record(tmp_path)["Status"] == "Success"


def test_the_text_none_is_a_warning_where_it_may_mean_null(tmp_path: Path) -> None:
    """In rows of `az` without TableName, "None" stays text and the run warns."""
    write_table(tmp_path, SIGN_INS, [sign_in()])
    write_table(tmp_path, OPERATIONS, [operation(Caller="None", ResourceGroup="None")])
    message_part = (
        'AzureActivity.json has the text "None" in Caller, ResourceGroup, which `az` writes for'
    )
    assert message_part in warnings_of(tmp_path)
    named = [operation(Caller="None") | {"TableName": "PrimaryResult"}]
    for document in (named, response_of([operation(Caller="None")])):
        write_table(tmp_path, OPERATIONS, document)
        assert run_record(tmp_path)["Status"] == "Success"


# Missing files.


@pytest.mark.parametrize(
    ("other", "message_part"),
    [
        ("AzureActivity.csv", "(AzureActivity.csv is there, but only .json is read)"),
        ("AzureActivity.json.gz", "(AzureActivity.json.gz is there, but only .json is read)"),
        (
            "azureactivity.json",
            "(azureactivity.json is there, but only the exact name AzureActivity.json is",
        ),
        (
            "AzureActivity (1).json",
            "(AzureActivity (1).json is there, but only the exact name AzureActivity.json",
        ),
    ],
)
def test_a_file_with_a_similar_name_is_named(tmp_path: Path, other: str, message_part: str) -> None:
    """The warning about a missing table names the file that was probably meant."""
    write_table(tmp_path, SIGN_INS, [])
    (tmp_path / other).write_bytes(b"x")
    reason = warnings_of(tmp_path)
    message_part = (
        f"Table AzureActivity is missing: AzureActivity.json is not in {tmp_path} {message_part}"
    )
    assert message_part in reason
    assert "each subscription" not in reason


def test_a_missing_file_has_both_remedies(tmp_path: Path) -> None:
    """The warning covers both a missing file and a workspace without the table."""
    write_table(tmp_path, SIGN_INS, [])
    reason = warnings_of(tmp_path)
    assert (
        f"AzureActivity.json is not in {tmp_path}; if the workspace does not have the table, "
        in reason
    )
    assert "send each subscription's activity log to the workspace" in reason


@pytest.mark.parametrize("table", [ALLOWLIST, EXCLUSIONS])
def test_a_watchlist_of_another_name_is_a_warning(tmp_path: Path, table: str) -> None:
    """The run warns about a list under another name, since it excludes nothing."""
    write_table(tmp_path, SIGN_INS, [])
    write_table(tmp_path, OPERATIONS, [])
    (tmp_path / f"{table}.csv").write_bytes(b"x")
    assert f"{table}.json is not in {tmp_path} ({table}.csv is there" in warnings_of(tmp_path)


def test_a_folder_of_other_formats_is_refused(tmp_path: Path) -> None:
    """If no file can be read, the error names those that were probably meant."""
    (tmp_path / "AzureActivity.csv").touch()
    with pytest.raises(UsageError, match=r"holds no recording.*\(AzureActivity\.csv is there"):
        RecordedSource(tmp_path)
