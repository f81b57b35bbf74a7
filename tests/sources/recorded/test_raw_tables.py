"""raw_tables() returns all rows and columns of a folder, whatever the formats of its files."""

import gzip
import json
from pathlib import Path

import pytest

from detection.errors import SourceError
from detection.sources.recorded.raw_tables import raw_tables
from tests.support import ALLOWLIST, OPERATIONS, SIGN_INS, response, write_table
from tests.support.strategies import operation, sign_in


def test_rows_of_different_formats_are_objects_alike(tmp_path: Path) -> None:
    """Columns have the table's names, times seven digits and UTC, and null is None."""
    write_table(tmp_path, SIGN_INS, response(["TimeGenerated", "X"], [["2026-03-14", {"a": 1}]]))
    (tmp_path / "a.csv.gz").write_bytes(
        gzip.compress(
            b"TimeGenerated [UTC],Caller,operationnamevalue,ActivityStatusValue,Extra [UTC]\r\n"
            b'"3/14/2026, 8:33:04.115 AM",,"a/write","Success","1"\r\n'
        )
    )
    (tmp_path / "b.jsonl").write_text(
        json.dumps({**operation(TimeGenerated="2026-03-14T10:00:00+01:00"), "Claims_d": {"a": 1}})
        + "\n"
        + json.dumps({"TimeGenerated": "2026-03-14", "TableName": "P", "Caller": "None"})
        + "\n",
        "utf-8",
    )
    (tmp_path / "networkallowlist (1).csv").write_text("IPOrRange\n10.0.0.0/8\n", "utf-8")
    tables = raw_tables(tmp_path)
    assert tables.keys() == {SIGN_INS, OPERATIONS, ALLOWLIST}
    assert tables[SIGN_INS] == [{"TimeGenerated": "2026-03-14T00:00:00.0000000Z", "X": {"a": 1}}]
    assert tables[ALLOWLIST] == [{"IPOrRange": "10.0.0.0/8"}]
    cells, first, second = tables[OPERATIONS]
    assert cells == {
        "TimeGenerated": "2026-03-14T08:33:04.1150000Z",
        "Caller": None,
        "OperationNameValue": "a/write",
        "ActivityStatusValue": "Success",
        "Extra": "1",
    }
    assert first["TimeGenerated"] == "2026-03-14T09:00:00.0000000Z"
    assert first["Claims_d"] == {"a": 1}
    assert second["Caller"] is None


@pytest.mark.parametrize(
    ("rows", "message_part"),
    [
        ([sign_in(), sign_in(TimeGenerated="noon")], "row 2: TimeGenerated is unreadable: 'noon'"),
        ([sign_in(), sign_in(IngestionTime="x")], "row 2: IngestionTime is unreadable: 'x'"),
        ([sign_in(), 3], "row 2 is not an object"),
    ],
)
def test_an_unreadable_row_is_named(tmp_path: Path, rows: list[object], message_part: str) -> None:
    """The error names the file and the row."""
    write_table(tmp_path, SIGN_INS, rows)
    with pytest.raises(SourceError, match=rf"{SIGN_INS}\.json: {message_part}"):
        raw_tables(tmp_path)


def test_a_damaged_file_of_a_table_is_an_error(tmp_path: Path) -> None:
    """A file with a table's name is never left out."""
    (tmp_path / f"{SIGN_INS}.json").write_bytes(b"[{")
    with pytest.raises(SourceError, match="is not JSON"):
        raw_tables(tmp_path)
