"""JSON arrays and CSV hold every value, and no spreadsheet takes a cell of them for a formula."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from detection.errors import UsageError
from detection.outbox import Outbox, Row
from detection.sinks.row_formats import FORMULA_STARTS, Csv, JsonArray, RowFormat, encoded
from detection.sinks.row_outputs import RowFile, RowStream
from tests.support.findings import finding, many_findings

ROWS = many_findings(5)


def findings(outbox: Outbox) -> Sequence[Row]:
    """Return the findings."""
    return outbox.findings


def streamed(form: RowFormat, *deliveries: Sequence[Row], failed: bool = False) -> str:
    """Return what a stream holds after some deliveries and the end."""
    stream = io.BytesIO()
    sink = RowStream(stream, findings, form)
    for rows in deliveries:
        sink.deliver(Outbox(rows))
    sink.close(failed=failed)
    return stream.getvalue().decode()


def read_csv(text: str) -> list[dict[str, str]]:
    """Read CSV as other programs do."""
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_an_array_holds_the_rows_of_all_deliveries() -> None:
    """The output is one JSON array, however many windows delivered."""
    assert json.loads(streamed(JsonArray(), ROWS[:2], [], ROWS[2:])) == ROWS
    assert json.loads(streamed(JsonArray(), [])) == []
    assert json.loads(streamed(JsonArray())) == []


def test_csv_has_the_columns_of_findings() -> None:
    """CSV has one line of columns, those of the findings table, and lists as JSON."""
    text = streamed(Csv(), ROWS[:2], ROWS[2:])
    rows = read_csv(text)
    assert len(rows) == len(ROWS)
    assert list(rows[0]) == Csv.columns
    for row, given in zip(rows, ROWS, strict=True):
        assert row["FindingId"] == given["FindingId"]
        assert row["RiskScore"] == str(given["RiskScore"])
        for name in ("Operations", "Evidence", "RiskReasons"):
            assert json.loads(row[name]) == given[name]
    assert read_csv(streamed(Csv())) == []
    assert streamed(Csv()) == ",".join(Csv.columns) + "\n"


@pytest.mark.parametrize("start", [*FORMULA_STARTS, " =", "\t=", "\r\n=", "\u00a0@"])
def test_no_cell_is_a_formula(start: str) -> None:
    """A cell that begins like a formula, also after blanks, begins with an apostrophe."""
    (row,) = read_csv(streamed(Csv(), [finding(ServicePrincipalName=f"{start}cmd|' /C calc'!A0")]))
    assert row["ServicePrincipalName"].startswith("'")
    assert row["ServicePrincipalName"].endswith("cmd|' /C calc'!A0")


@pytest.mark.parametrize("name", ["a=b", "app-1", "'quoted'", "", "x,y", 'x"y', "line\nbreak"])
def test_other_text_is_unchanged(name: str) -> None:
    """Text that no spreadsheet takes for a formula is written as it is."""
    (row,) = read_csv(streamed(Csv(), [finding(ServicePrincipalName=name)]))
    assert row["ServicePrincipalName"] == name


@pytest.mark.parametrize("form", [Csv, JsonArray])
def test_a_terminal_gets_no_control_characters(form: Callable[[], RowFormat]) -> None:
    """Invisible characters are replaced in CSV and escaped in JSON."""
    hostile = "x\x1b[2J\x9b\u202e\x07"
    text = streamed(form(), [finding(ServicePrincipalName=hostile, Operations=[hostile])])
    assert not [c for c in text if c != "\n" and not c.isprintable()]
    if form is JsonArray:
        assert json.loads(text)[0]["ServicePrincipalName"] == hostile


def test_a_failure_before_the_first_delivery_prints_nothing() -> None:
    """A refused run prints no empty array; one that fails later completes its array."""
    assert streamed(JsonArray(), failed=True) == ""
    assert json.loads(streamed(JsonArray(), ROWS, failed=True)) == ROWS


def test_a_file_is_replaced_at_the_end(tmp_path: Path) -> None:
    """The file keeps its content until the end of the run, then holds all deliveries."""
    path = tmp_path / "findings.json"
    path.write_text("old")
    sink = RowFile(path, findings, lambda rows: encoded(JsonArray(), rows))
    sink.deliver(Outbox(ROWS[:2]))
    sink.deliver(Outbox(ROWS[2:]))
    assert path.read_text() == "old"
    sink.close(failed=False)
    assert json.loads(path.read_text()) == ROWS


def test_a_refused_run_leaves_the_file(tmp_path: Path) -> None:
    """A failure before the first delivery keeps the old file; without findings it is empty."""
    path = tmp_path / "findings.json"
    path.write_text("old")
    RowFile(path, findings, lambda rows: encoded(JsonArray(), rows)).close(failed=True)
    assert path.read_text() == "old"
    RowFile(path, findings, lambda rows: encoded(JsonArray(), rows)).close(failed=False)
    assert path.read_text() == "[]\n"


def test_a_file_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    """The error comes before anything is examined."""
    write: Any = list
    with pytest.raises(UsageError, match="cannot be written"):
        RowFile(tmp_path / "nowhere" / "findings.csv", findings, write)
