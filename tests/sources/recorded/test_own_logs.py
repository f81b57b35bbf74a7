"""The files that people have give the findings of the same rows, or a sentence that says why not.

Each row of the table of formats in docs/own-logs.md has a test here.
"""

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from detection.errors import DetectionError
from detection.pipeline.invocation import Invocation
from detection.pipeline.job import run
from detection.rule.ticks import parse_time
from detection.sources.recorded.folder import RecordedSource
from detection.sources.recorded.raw_tables import raw_tables
from detection.state import ReadOnlyStore
from tests.support import ALLOWLIST, DEMO, NOW, OPERATIONS, SIGN_INS, Collected
from tests.support.exports import (
    COARSE_FORMATS,
    TABLE_FORMATS,
    Rows,
    document,
    event,
    iso_csv,
    json_array,
    json_lines,
    portal_csv,
    record,
    response,
    sign_in_record,
    windows_powershell,
)

TABLES = raw_tables(DEMO)
NAMES = {SIGN_INS: "AADManagedIdentitySignInLogs", OPERATIONS: "AzureActivity"}
# Columns of a finding that are equal, whatever the fraction digits of times.
COMPARED = (
    *("ServicePrincipalName", "ServicePrincipalId", "DataPlaneAccesses", "MgmtPlaneOps"),
    *("DistinctSignIns", "DistinctOperations", "Resources", "CallerIpAddresses", "RiskScore"),
)
GROUPED = ("ResourceGroup", "Operations", "AffectedResources", "SubscriptionIds")
ALLOWLIST_CSV = iso_csv(TABLES[ALLOWLIST])


def result(folder: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the compared columns of the findings, and the run record, of one window."""
    sink = Collected()
    run(RecordedSource(folder), sink, ReadOnlyStore(), Invocation("w", parse_time(NOW)))
    rows = [
        {name: row[name] for name in COMPARED}
        | {name: json.dumps(row[name]).lower() for name in GROUPED}
        for row in map(dict, sink.findings)
    ]
    (run_record,) = sink.runs
    return rows, dict(run_record)


EXPECTED, _ = result(DEMO)


def found(folder: Path) -> dict[str, Any]:
    """Assert that the folder gives the demo's findings, and return its run record."""
    findings, run_record = result(folder)
    assert len(EXPECTED) == 2
    assert findings == EXPECTED
    return run_record


def write(folder: Path, **files: bytes) -> None:
    """Write files by name, with the allowlist as a watchlist's CSV."""
    (folder / "NetworkAllowlist.csv").write_bytes(ALLOWLIST_CSV)
    for name, body in files.items():
        (folder / name).write_bytes(body)


def both(folder: Path, writer: Callable[[Rows], bytes], pattern: str) -> None:
    """Write both log tables; `pattern` makes a file's name of the table's."""
    for table in NAMES:
        write(folder, **{pattern.format(table): writer(TABLES[table])})


ALL_FORMATS = TABLE_FORMATS | COARSE_FORMATS


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("name", ALL_FORMATS)
def test_every_format_gives_the_findings(tmp_path: Path, name: str, packed: str) -> None:
    """Each format of a table, also packed with gzip, gives the same findings."""
    suffix, writer = ALL_FORMATS[name]
    pack = gzip.compress if packed else bytes
    both(tmp_path, lambda rows: pack(writer(rows)), f"{{}}.{suffix}{packed}")
    assert found(tmp_path)["Status"] == "Success"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("name", ["json-array", "api-response", "json-lines", "csv", "kusto-v2"])
def test_encodings_with_a_mark(tmp_path: Path, name: str, encoding: str) -> None:
    """UTF-8 with a byte order mark, and UTF-16, give the same findings."""
    suffix, writer = ALL_FORMATS[name]
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    both(tmp_path, lambda rows: (mark + writer(rows).decode()).encode(encoding), f"{{}}.{suffix}")
    assert found(tmp_path)["Status"] == "Success"


@pytest.mark.parametrize(
    "pattern",
    ["{}-1.json", "{} (1).json", "{}_2026-03.jsonl", "{}", "{}.JSON", "{}.json.txt"],
)
@pytest.mark.parametrize("lower", [True, False])
def test_names_that_begin_with_the_table(tmp_path: Path, pattern: str, *, lower: bool) -> None:
    """A file's name tells its table in any case, whatever follows."""
    for table in NAMES:
        name = pattern.format(table.lower() if lower else table)
        write(tmp_path, **{name: json_array(TABLES[table])})
    assert found(tmp_path)["Status"] == "Success"


@pytest.mark.parametrize("with_type", [True, False])
@pytest.mark.parametrize("writer", [json_lines, portal_csv, response])
def test_names_that_tell_nothing(
    tmp_path: Path, writer: Callable[[Rows], bytes], *, with_type: bool
) -> None:
    """The column Type tells the table, and else the columns do."""
    for number, table in enumerate(NAMES):
        rows = [
            {name: value for name, value in row.items() if name != "Type"}
            | ({"Type": table} if with_type else {})
            for row in TABLES[table]
        ]
        write(tmp_path, **{f"query_data ({number}).csv": writer(rows)})
    (tmp_path / "NetworkAllowlist.csv").rename(tmp_path / "addresses.csv")
    assert found(tmp_path)["Status"] == "Success"


def test_several_files_of_a_table(tmp_path: Path) -> None:
    """Files of one table are read together, in whatever formats."""
    for table, rows in TABLES.items():
        if table in NAMES:
            write(
                tmp_path,
                **{
                    f"{table}-1.json": json_array(rows[::3]),
                    f"{table}-2.csv": iso_csv(rows[1::3]),
                    f"{table}.jsonl.gz": gzip.compress(json_lines(rows[2::3])),
                },
            )
    assert found(tmp_path)["Status"] == "Success"


def test_blobs_of_a_data_export(tmp_path: Path) -> None:
    """The folders of a storage container are searched as Azure names them."""
    for table in NAMES:
        blob = tmp_path / "WorkspaceResourceId=" / "subscriptions" / table / "y=2026" / "m=00"
        blob.mkdir(parents=True)
        (blob / "PT05M.json").write_bytes(
            json_lines([row | {"Type": table} for row in TABLES[table]])
        )
    write(tmp_path)
    assert found(tmp_path)["Status"] == "Success"


def test_times_without_a_zone(tmp_path: Path) -> None:
    """They are UTC."""
    both(
        tmp_path,
        lambda rows: json_array(
            [
                row | {"TimeGenerated": str(row["TimeGenerated"]).removesuffix("Z")}
                for row in map(dict, rows)
            ]
        ),
        "{}.json",
    )
    assert found(tmp_path)["Status"] == "Success"


def test_only_the_required_columns(tmp_path: Path) -> None:
    """Findings are merged, and one sentence a table names the columns that are missing."""
    required = {
        SIGN_INS: ("TimeGenerated", "ServicePrincipalId", "ResultType", "ResourceDisplayName"),
        OPERATIONS: ("TimeGenerated", "Caller", "OperationNameValue", "ActivityStatusValue"),
    }
    for table, names in required.items():
        rows = [{name: row[name] for name in names} for row in TABLES[table]]
        write(tmp_path, **{f"{table}.json": json_array(rows)})
    _, run_record = result(tmp_path)
    assert run_record["Status"] == "Warning"
    for part in (
        f"{SIGN_INS} has no column ServicePrincipalName, IPAddress, Id: findings may be merged",
        "AzureActivity has no column ResourceGroup, SubscriptionId, CallerIpAddress, ResourceId,",
    ):
        assert run_record["Reason"].count(part) == 1


def test_one_row_of_powershell(tmp_path: Path) -> None:
    """ConvertTo-Json writes a single row as an object, which is read in UTF-16 and in UTF-8."""
    (changed,) = [
        row for row in TABLES[OPERATIONS] if row["OperationNameValue"].endswith("VAULTS/DELETE")
    ][:1]
    write(
        tmp_path,
        **{
            f"{SIGN_INS}.json": json_array(TABLES[SIGN_INS]),
            f"{OPERATIONS}.json": windows_powershell([changed]),
        },
    )
    findings, run_record = result(tmp_path)
    (tmp_path / f"{OPERATIONS}.json").write_bytes(document(changed))
    assert (findings, run_record["OperationsRead"]) == (result(tmp_path)[0], 1)
    assert len(findings) == 1


# The Activity Log's own form, and the records of diagnostic settings.


@pytest.mark.parametrize("name", ["activity.json", f"{OPERATIONS}.json"])
@pytest.mark.parametrize("form", ["list", "rest", "lines", "one"])
def test_the_activity_log(tmp_path: Path, form: str, name: str) -> None:
    """Events of `az monitor activity-log list` and of the REST API are rows of AzureActivity."""
    events = list(map(event, TABLES[OPERATIONS]))
    body = {
        "list": document(events),
        "rest": document({"value": events}),
        "lines": json_lines(events),
        "one": document(events[:1]),
    }[form]
    write(tmp_path, **{f"{SIGN_INS}.json": json_array(TABLES[SIGN_INS]), name: body})
    if form == "one":
        assert result(tmp_path)[1]["OperationsRead"] == 1
    else:
        assert found(tmp_path)["Status"] == "Success"


def test_newer_events_have_texts(tmp_path: Path) -> None:
    """A localizable value may be a text, and the caller may be in the claims alone."""
    events = [
        {
            **each,
            "caller": None,
            "operationName": each["operationName"]["value"],
            "status": each["status"]["value"],
        }
        for each in map(event, TABLES[OPERATIONS])
    ]
    write(
        tmp_path, **{f"{SIGN_INS}.json": json_array(TABLES[SIGN_INS]), "a.json": document(events)}
    )
    assert found(tmp_path)["Status"] == "Success"


@pytest.mark.parametrize("form", ["storage", "hub", "messages", "mixed"])
def test_records_of_diagnostic_settings(tmp_path: Path, form: str) -> None:
    """Records in a storage account and of an event hub are rows of both tables."""
    operations = list(map(record, TABLES[OPERATIONS]))
    sign_ins = list(map(sign_in_record, TABLES[SIGN_INS]))
    if form == "mixed":
        write(tmp_path, **{"hub.json": document({"records": [*sign_ins, *operations]})})
    for name, rows in (("a.json", operations), ("b.json", sign_ins)):
        bodies = {
            "storage": json_lines(rows),
            "hub": document({"records": rows}),
            "messages": json_lines([{"records": rows[:3]}, {"records": rows[3:]}]),
        }
        if form in bodies:
            write(tmp_path, **{name: bodies[form]})
    findings, run_record = result(tmp_path)
    assert run_record["Status"] == "Success"
    # A record has no id of its event, and its resource id is in upper case.
    ids = ("DistinctSignIns", "DistinctOperations")
    assert [{n: v for n, v in row.items() if n not in ids} for row in findings] == [
        {n: v for n, v in row.items() if n not in ids} for row in EXPECTED
    ]


def test_a_page_of_an_answer_is_a_warning(tmp_path: Path) -> None:
    """A REST answer with a link to the next page is not the whole table."""
    page = {"value": list(map(event, TABLES[OPERATIONS])), "nextLink": "https://example/next"}
    write(
        tmp_path, **{f"{SIGN_INS}.json": json_array(TABLES[SIGN_INS]), "page.json": document(page)}
    )
    assert "page.json: is only one page of an answer" in found(tmp_path)["Reason"]


# What is refused, and the sentence that says so.

HEADER = b"TimeGenerated,Caller,OperationNameValue,ActivityStatusValue\n"
GRAPH = {
    "id": "1",
    "createdDateTime": NOW,
    "appId": "x",
    "servicePrincipalId": "x",
    "resourceDisplayName": "Azure Key Vault",
    "status": {"errorCode": 0},
}
PANDAS = {"TimeGenerated": {"0": 1, "1": 2}, "Caller": {"0": "a", "1": "b"}}
USERS = [
    dict(row) | {"UserPrincipalName": "a@example.com", "Type": "", "Category": "SignInLogs"}
    for row in TABLES[SIGN_INS]
]
OLD = [{"TimeGenerated": NOW, "OperationName": "a", "ActivityStatus": "b", "Caller": "c"}]


@pytest.mark.parametrize(
    ("name", "body", "sentence"),
    [
        (
            f"{SIGN_INS}.json",
            document({"value": [GRAPH]}),
            "it seems to be a sign-in log exported from Entra or Microsoft Graph: query the",
        ),
        (f"{SIGN_INS}.json", document(PANDAS), "pandas' to_json, column by column: write it with"),
        (
            f"{SIGN_INS}.json",
            document({"columns": ["a"], "index": [0], "data": [[1]]}),
            "pandas' to_json, column by column: write it with",
        ),
        (f"{OPERATIONS}.parquet", b"PAR1\x15\x04", "is a Parquet file: `duckdb -c"),
        (f"{OPERATIONS}.xlsx", b"PK\x03\x04", "is a zip file or an Excel workbook: unpack it, or"),
        (f"{OPERATIONS}.json", document(OLD), "has no column OperationNameValue, ActivityStatusVa"),
        (f"{OPERATIONS}.json", json_array(TABLES[SIGN_INS]), "has no column Caller, OperationName"),
        (f"{SIGN_INS}.json", json_array(TABLES[OPERATIONS]), "has no column ServicePrincipalId"),
        (
            f"{OPERATIONS}.csv",
            b"TimeGenerated,Caller\n14/03/2026 08:33:04,x\n",
            "has no column OperationNameValue",
        ),
        (
            f"{OPERATIONS}.csv",
            HEADER + b"2026-03-14,x,y,z\n14/03/2026 08:33:04,x,y,z\n",
            "row 2: TimeGenerated is unreadable: '14/03/2026 08:33:04' does not tell day and month",
        ),
        (
            f"{OPERATIONS}.csv",
            HEADER + b"2026-03-14,x,y\n",
            "row 1 has 3 values for 4 columns",
        ),
        (
            f"{OPERATIONS}.csv",
            HEADER + b'2026-03-14,x,y,"z',
            "row 1 is damaged or cut short",
        ),
        (f"{OPERATIONS}.csv", b"TimeGenerated,Caller\n\xff,x\n", "is not UTF-8"),
        (f"{OPERATIONS}.json", b'{"TimeGenerated":"2026-03-14"}\n{"x\n', "line 2: is not JSON"),
        (f"{OPERATIONS}.json", document({"Results": [], "Error": "x"}), "returned only some of it"),
        (
            f"{OPERATIONS}.json",
            document(
                [
                    {"FrameType": "DataSetHeader"},
                    {"FrameType": "DataSetCompletion", "HasErrors": True},
                ]
            ),
            "returned only some of its rows (cancelled)",
        ),
        (
            f"{OPERATIONS}.json",
            document([{"FrameType": "DataSetHeader"}]),
            "(it has no end): query",
        ),
        (f"{OPERATIONS}.json", document({"Tables": [], "x": 1}), "has 0: query one table"),
        (
            f"{OPERATIONS}.json",
            document({"Tables": [{"Columns": [], "Rows": []}], "Exceptions": ["limit"]}),
            'only some of its rows (["limit"])',
        ),
    ],
)
def test_what_is_refused(tmp_path: Path, name: str, body: bytes, sentence: str) -> None:
    """A file with a table's name that cannot be used is an error that says what to do."""
    write(tmp_path, **{name: body})
    with pytest.raises(DetectionError) as caught:
        RecordedSource(tmp_path)
    assert sentence in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "body", "sentence"),
    [
        (
            "signins.json",
            document({"value": [GRAPH]}),
            "a sign-in log exported from Entra or Micros",
        ),
        (
            "SigninLogs.json",
            json_array(USERS),
            "it is SigninLogs, sign-ins of users: export AADMana",
        ),
        ("query_data.csv", iso_csv(USERS), "it is SigninLogs, sign-ins of users: export AADMana"),
        (
            "query_data.json",
            json_array([dict(row) | {"Type": "AuditLogs"} for row in USERS]),
            "it is AuditLogs, changes in Entra ID: export AzureActivity instead",
        ),
        (
            "query_data.json",
            json_array(
                [
                    dict(row) | {"Category": "ServicePrincipalSignInLogs", "Type": None}
                    for row in TABLES[SIGN_INS]
                ]
            ),
            "it is AADServicePrincipalSignInLogs, sign-ins of applications with a secret",
        ),
        ("export.parquet", b"PAR1", "is a Parquet file"),
        ("export.xlsx", b"PK\x03\x04", "an Excel workbook"),
        ("export.json", b"[{", "is not JSON"),
        (
            "vault.json",
            json_lines([{"time": NOW, "category": "AuditEvent"}] * 2),
            "other categories",
        ),
    ],
)
def test_what_is_named(tmp_path: Path, name: str, body: bytes, sentence: str) -> None:
    """A file that seems to hold logs under another name is a warning of the run."""
    write(tmp_path, **{f"{OPERATIONS}.json": json_array(TABLES[OPERATIONS]), name: body})
    _, run_record = result(tmp_path)
    assert run_record["Status"] == "Warning"
    assert f"{name} is not read: " in run_record["Reason"]
    assert sentence in run_record["Reason"]


@pytest.mark.parametrize("kind", ["VARCHAR", "TIMESTAMP", "TIMESTAMPTZ"])
def test_the_conversion_of_parquet_that_the_error_names(tmp_path: Path, kind: str) -> None:
    """DuckDB's JSON of a Parquet file is read, whatever the type of its times."""
    parquet, converted = tmp_path / f"{OPERATIONS}.parquet", tmp_path / f"{OPERATIONS}.json"
    write(tmp_path, **{f"{SIGN_INS}.json": json_array(TABLES[SIGN_INS])})
    converted.write_bytes(json_lines(TABLES[OPERATIONS]))
    database = duckdb.connect()
    database.execute("SET timezone = 'UTC'")
    rows = database.read_json(str(converted))
    rows.project(f"* REPLACE (TimeGenerated::{kind} AS TimeGenerated)").write_parquet(str(parquet))
    with pytest.raises(DetectionError, match="is a Parquet file") as caught:
        RecordedSource(tmp_path)
    (command,) = re.findall(r"`duckdb -c \"(.+?)\"`", str(caught.value))
    command = command.replace("FILE.parquet", str(parquet)).replace("TABLE.json", str(converted))
    database.execute(command)
    parquet.unlink()
    assert found(tmp_path)["Status"] == "Success"


def test_other_files_are_passed_over(tmp_path: Path) -> None:
    """A folder may hold notes, reports and results of earlier runs."""
    both(tmp_path, json_array, "{}.json")
    write(
        tmp_path,
        **{
            "findings.jsonl": json_lines([{"FindingId": "1", "ServicePrincipalId": "x"}] * 2),
            "report.html": b"<!doctype html>",
            "notes.txt": b"a, b",
            "settings.json": document({"a": 1}),
            ".hidden.json": b"[{",
        },
    )
    (tmp_path / "folder").mkdir()
    assert found(tmp_path)["Status"] == "Success"
