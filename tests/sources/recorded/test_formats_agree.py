"""A table decodes to the same rows in every format, whatever its texts hold."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.rule.log_rows import OPERATION_TABLE
from detection.rule.ticks import SECOND, format_time, parse_time
from detection.sources.prefilter import KEEP_ALL
from detection.sources.recorded.files.tables_of_folder import FolderTables
from detection.sources.recorded.raw_tables import raw_tables
from tests.support import OPERATIONS
from tests.support.exports import COARSE_FORMATS, TABLE_FORMATS, cell, json_array

FIRST, LAST = parse_time("1990-01-01"), parse_time("2099-12-31T23:59:59.9999999")
MILLISECOND = SECOND // 1000
# Characters that delimit something in one of the formats, that end lines, or that are wide.
TEXTS = st.text(
    st.one_of(
        st.sampled_from("a ,;\t\r\n\"'\\[]{}:\x0b\x1c\x85\u2028\ufeff\u00e9\U0001f600=-"),
        st.characters(codec="utf-8", exclude_characters="\0"),
    ),
    max_size=9,
).filter(lambda text: text != "None")  # which `az` writes for null
OBJECTS = st.dictionaries(TEXTS, TEXTS, max_size=2)
CELLS = st.one_of(st.none(), TEXTS, TEXTS, OBJECTS)


def rows_with(times: st.SearchStrategy[int]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Draw rows of AzureActivity with these times, and one more column."""
    row = st.fixed_dictionaries(
        {"TimeGenerated": times.map(format_time)}
        | dict.fromkeys((*OPERATION_TABLE.columns[1:], "Other"), CELLS)
    )
    return st.lists(row, min_size=1, max_size=4)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that every example empties."""
    return tmp_path_factory.mktemp("formats")


def read(folder: Path, name: str, body: bytes) -> tuple[list[Any], list[dict[str, str]]]:
    """Return the rows that the rule reads of a file, and all its cells as texts."""
    for path in folder.iterdir():
        path.unlink()
    (folder / name).write_bytes(body)
    table = FolderTables(folder).read(OPERATION_TABLE, KEEP_ALL)
    assert table
    shown = [
        {column: cell(value) for column, value in row.items() if column != "TableName"}
        for row in raw_tables(folder)[OPERATIONS]
    ]
    return table.rows, shown


def check(
    folder: Path, rows: list[dict[str, Any]], suffix: str, writer: Callable[[Any], bytes]
) -> None:
    """Assert that the rows are the same as in an array of row objects, also packed."""
    expected = read(folder, f"{OPERATIONS}.json", json_array(rows))
    assert expected[1] == [{column: cell(value) for column, value in row.items()} for row in rows]
    assert read(folder, f"{OPERATIONS}.{suffix}", writer(rows)) == expected
    assert read(folder, f"{OPERATIONS}.{suffix}.gz", gzip.compress(writer(rows), 0)) == expected
    utf_16 = writer(rows).decode("utf-16" if b"\0" in writer(rows)[:9] else "utf-8-sig")
    assert read(folder, f"{OPERATIONS}.{suffix}", utf_16.encode("utf-16")) == expected


@pytest.mark.parametrize("name", TABLE_FORMATS)
@given(rows=rows_with(st.integers(FIRST, LAST)))
def test_every_format_decodes_alike(scratch: Path, name: str, rows: list[dict[str, Any]]) -> None:
    """Nulls, objects, delimiters, line ends, wide characters and seven digits are kept."""
    check(scratch, rows, *TABLE_FORMATS[name])


@pytest.mark.parametrize("name", COARSE_FORMATS)
@given(
    rows=rows_with(st.integers(FIRST // MILLISECOND, LAST // MILLISECOND).map(MILLISECOND.__mul__))
)
def test_formats_of_milliseconds_decode_alike(
    scratch: Path, name: str, rows: list[dict[str, Any]]
) -> None:
    """So are they in formats whose times have three digits."""
    check(scratch, rows, *COARSE_FORMATS[name])
