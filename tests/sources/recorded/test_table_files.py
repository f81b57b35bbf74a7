"""Odd or missing files of a recorded folder give errors and warnings that say what to do."""

import gzip
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from detection.errors import SourceError, UsageError
from detection.rule.log_rows import OPERATION_TABLE, Logs
from detection.rule.ticks import HOUR, parse_time
from detection.sources.decode.table import ROW_LIMIT
from detection.sources.recorded.folder import RecordedSource
from detection.window import Mode, Window
from tests.support import (
    ALLOWLIST,
    NOW,
    OPERATIONS,
    SIGN_INS,
    json_lines,
    response,
    response_of,
    run_cli,
    write_table,
)
from tests.support.exports import event
from tests.support.strategies import operation, sign_in

TEN = parse_time(NOW)
GRAPH = {"createdDateTime": NOW, "servicePrincipalId": "x", "status": {"errorCode": 0}}
PORTAL = {"TimeGenerated [Local Time]": "3/14/2026, 10:00:00.000 AM", "Caller": "x"}
EXPORTED = {"time": NOW, "category": "AuditEvent", "properties": {}}


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
    ("row", "message_part"),
    [
        (GRAPH, "a sign-in log exported from Entra or Microsoft Graph"),
        ({"x": 1}, "export the table with all of its columns"),
    ],
    ids=["graph", "anything"],
)
@pytest.mark.parametrize("form", ["objects", "response", "large"])
def test_a_table_without_its_time_misses_a_column(
    tmp_path: Path, row: dict[str, Any], message_part: str, form: str
) -> None:
    """In both forms the error names the missing column and the likely origin of the file."""
    rows = [row] * (5_000 if form == "large" else 2)
    document: object = response_of(rows) if form == "response" else rows
    message = refused(tmp_path, SIGN_INS, json.dumps(document).encode())
    assert "has no column TimeGenerated, " in message
    assert "which the rule requires: " in message
    assert message_part in message
    assert "unreadable" not in message


def test_all_missing_columns_are_named(tmp_path: Path) -> None:
    """One error names all missing columns, so one new export is enough."""
    body = json.dumps([{"OperationName": "a", "ActivityStatus": "b"}]).encode()
    names = "TimeGenerated, Caller, OperationNameValue, ActivityStatusValue"
    assert f"has no column {names}, " in refused(tmp_path, OPERATIONS, body)


@pytest.mark.parametrize("rows", [[PORTAL], response_of([PORTAL])], ids=["objects", "response"])
def test_times_of_an_unknown_zone_are_refused(tmp_path: Path, rows: object) -> None:
    """Only the name of the column tells the zone of a portal's times, and it must be UTC."""
    message = refused(tmp_path, OPERATIONS, json.dumps(rows).encode())
    assert "its column 'TimeGenerated [Local Time]' has times of an unknown zone: set" in message


def test_records_of_other_categories_are_a_warning(tmp_path: Path) -> None:
    """A file of a diagnostic setting for other logs is named, and is no table."""
    write_table(tmp_path, SIGN_INS, [])
    write_table(tmp_path, OPERATIONS, [EXPORTED])
    assert "AzureActivity.json is not read: some of its records are of other" in warnings_of(
        tmp_path
    )


def test_a_row_without_its_time_is_named(tmp_path: Path) -> None:
    """If the column exists, the error names the row without a value."""
    rows = [operation(), {k: v for k, v in operation().items() if k != "TimeGenerated"}]
    message = refused(tmp_path, OPERATIONS, json.dumps(rows).encode())
    assert "row 2: TimeGenerated is unreadable" in message


# Files of other formats.


@pytest.mark.parametrize(
    ("body", "message_part"),
    [
        (b"", "is empty: export"),
        (b" \r\n", "is empty: export"),
        (b"\xef\xbb\xbf", "is empty: export"),
        (b"\0" * 512, "is empty: export"),
        (b"PK\x03\x04\x14\0", "is a zip file or an Excel workbook"),
        (b"PAR1\x15\x04", "is a Parquet file: `duckdb -c"),
        (b"\x1f\x8b\x08\0", "is a damaged or cut gzip file"),
        (gzip.compress(b"PAR1\x15\x04", mtime=0), "is a Parquet file: `duckdb -c"),
        (gzip.compress(b"[]" * 99, mtime=0)[:-9], "is a damaged or cut gzip file"),
        (b"<!doctype html><html></html>", "HTML"),
        ("[]".encode("utf-16-le") * 9, "UTF-16 without a byte order mark"),
        (
            b"Caller    OperationName\n--------  -----------\nx         a/write\n",
            "laid out as text",
        ),
        (b"- Caller: x\n  TimeGenerated: y\n", "YAML"),
        (
            b"ERROR: The command requires the extension log-analytics, which is not installed",
            "an error message (it begins with 'ERROR: The command requires the extensio')",
        ),
        (b'[{"TimeGenerated": "2026', "cut short"),
        (b"hello", "something other than a table (it begins with 'hello')"),
    ],
)
def test_a_file_that_cannot_be_read_is_recognised(
    tmp_path: Path, body: bytes, message_part: str
) -> None:
    """The error says which format the file seems to have and what to do about it."""
    assert message_part in refused(tmp_path, OPERATIONS, body)


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
    done = run_cli("run", "--recorded", folder, "--runs", runs)
    assert done.returncode == 0, done.stderr
    (record,) = json_lines(runs.read_text("utf-8"))
    assert record["Reason"] in done.stderr
    return record


@pytest.mark.parametrize(("rows", "warned"), [(ROW_LIMIT, True), (ROW_LIMIT - 1, False)])
def test_a_table_at_the_row_limit_is_a_warning(tmp_path: Path, rows: int, *, warned: bool) -> None:
    """A file with as many rows as one answer can hold may be cut, and the run warns."""
    columns = [name for name in OPERATION_TABLE.columns if name != "TimeGenerated"]
    frame = json.dumps(response(["TimeGenerated", *columns], ["ROWS"]))
    row = json.dumps(["2026-03-14T09:00:00.0000000Z", *["a"] * len(columns)])
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


@pytest.mark.parametrize("rows", [10_000, 30_000])
@pytest.mark.parametrize("more", [0, 1])
def test_a_file_with_a_portal_s_limit_of_rows_is_a_warning(
    tmp_path: Path, rows: int, more: int
) -> None:
    """The portal has cut exports at different numbers, and nothing in a file says so."""
    line = f"{NOW},a,b,c,d,e,f,g,h\n"
    names = ",".join(name for name in OPERATION_TABLE.columns[:10] if name != "ResourceId")
    (tmp_path / "query_data.csv").write_text(f"{names}\n" + line * (rows + more), "utf-8")
    write_table(tmp_path, SIGN_INS, [])
    reason = run_record(tmp_path)["Reason"]
    said = f"query_data.csv has {rows:,} rows, the maximum of one export from the portal" in reason
    assert said is not bool(more)


@pytest.mark.parametrize("number", [49, 50, 51])
def test_the_usual_number_of_events_is_a_warning(tmp_path: Path, number: int) -> None:
    """`az monitor activity-log list` prints 50 events unless it is given another number."""
    events = [event(operation(EventDataId=f"e{each}")) for each in range(number)]
    write_table(tmp_path, OPERATIONS, events)
    write_table(tmp_path, SIGN_INS, [])
    reason = run_record(tmp_path)["Reason"]
    assert ("prints without --max-events: rows may be missing" in reason) is (number == 50)


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
    other = partial(operation, CallerIpAddress="")
    write_table(tmp_path, SIGN_INS, [sign_in()])
    write_table(tmp_path, OPERATIONS, [other(Caller="None", ResourceGroup="None")])
    message_part = (
        'AzureActivity has the text "None" in Caller, ResourceGroup, which `az` writes for'
    )
    assert message_part in warnings_of(tmp_path)
    named = [other(Caller="None") | {"TableName": "PrimaryResult"}]
    for document in (named, response_of([other(Caller="None")])):
        write_table(tmp_path, OPERATIONS, document)
        assert run_record(tmp_path)["Status"] == "Success"


# Missing files.


def test_a_missing_file_has_both_remedies(tmp_path: Path) -> None:
    """The warning covers both a missing file and a workspace without the table."""
    write_table(tmp_path, SIGN_INS, [])
    reason = warnings_of(tmp_path)
    assert (
        f"Table AzureActivity is missing: no file in {tmp_path} has its rows; if the "
        "workspace does not have the table, send each subscription's activity log" in reason
    )


def test_a_missing_file_names_the_files_that_are_not_read(tmp_path: Path) -> None:
    """The warning names a file that may be the missing table, and another says why."""
    write_table(tmp_path, SIGN_INS, [])
    (tmp_path / "export.json").write_bytes(b"[{")
    reason = warnings_of(tmp_path)
    assert f"no file in {tmp_path} has its rows (export.json is not read)" in reason
    assert "export.json is not read: it is not JSON" in reason


def test_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    """If no file has a table, the error names those that are there."""
    (tmp_path / "export.parquet").write_bytes(b"PAR1")
    with pytest.raises(UsageError, match=r"holds no recording.*: export\.parquet is not read"):
        RecordedSource(tmp_path)
