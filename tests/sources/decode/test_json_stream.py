"""Rows read in pieces equal the rows read at once, for any content."""

from io import BytesIO
from itertools import chain
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from detection.sources.decode.json_stream import EDGE_BYTES, find_rows, row_batches

# Texts that look like the delimiters between rows.
DELIMITERS = st.lists(
    st.sampled_from(
        ["],[", "] , [", "]]}]}", "]", "[", "},{", '"', "\\", '"rows":[[', ']],"y":[["', "]}", "a"]
    ),
    max_size=6,
).map("".join)
CELLS = st.one_of(DELIMITERS, st.none(), st.integers(-9, 9), st.lists(DELIMITERS, max_size=2))
ROWS = st.lists(st.lists(CELLS, min_size=1, max_size=3), max_size=12)
SIZES = st.integers(1, 60)
LAYOUTS = st.sampled_from([0, orjson.OPT_INDENT_2])


def read(body: bytes, size: int) -> tuple[Any, list[Any]] | None:
    """Read a body in pieces; None means that the caller must parse the whole."""
    stream = BytesIO(body)
    frame = find_rows(stream)
    if frame is None:
        return None
    try:
        return frame.document, list(chain.from_iterable(row_batches(stream, frame, size)))
    except ValueError:
        return None


@given(rows=ROWS, size=SIZES, layout=LAYOUTS, statistics=st.booleans())
@example(rows=[[']],"y":[["']], size=1, layout=0, statistics=False)
@example(rows=[["],["], ["]]}]}"]], size=1, layout=0, statistics=True)
def test_a_response_in_pieces_equals_the_whole(
    *, rows: list[Any], size: int, layout: int, statistics: bool
) -> None:
    """A response read in pieces has the same rows and description, or is left to the whole."""
    document: dict[str, Any] = {
        "tables": [{"name": "T", "columns": [{"name": '"rows":[['}], "rows": rows}]
    }
    if statistics:
        document["statistics"] = {"list": [[1], [2]], "text": ']],"y":[["'}
    whole = orjson.loads(orjson.dumps(document))
    result = read(orjson.dumps(document, option=layout), size)
    if result is not None:
        whole["tables"][0]["rows"] = ["here"]
        assert result == (whole, rows)


@given(st.lists(st.dictionaries(DELIMITERS, CELLS, max_size=3), min_size=1), SIZES, LAYOUTS)
def test_an_array_in_pieces_equals_the_whole(rows: list[Any], size: int, layout: int) -> None:
    """An array of row objects read in pieces has the same rows."""
    body = orjson.dumps(rows, option=layout)
    result = read(body, size)
    assert result is None or result == ([], rows)


@pytest.mark.parametrize("layout", [0, orjson.OPT_INDENT_2])
def test_usual_bodies_are_read_in_pieces(layout: int) -> None:
    """Ordinary rows are read in many pieces and not left to the whole."""
    rows = [[f"2026-03-14T09:00:00.{n:07d}Z", "a [text], [with], brackets"] for n in range(200)]
    table = {"name": "PrimaryResult", "columns": [{"name": "a"}, {"name": "b"}], "rows": rows}
    body = BytesIO(orjson.dumps({"tables": [table]}, option=layout))
    frame = find_rows(body)
    assert frame is not None
    pieces = list(row_batches(body, frame, 500))
    assert len(pieces) > 10
    assert list(chain.from_iterable(pieces)) == rows


@pytest.mark.parametrize("layout", [0, orjson.OPT_INDENT_2])
@given(st.data())
def test_a_truncated_body_is_not_read_in_pieces(layout: int, data: st.DataObject) -> None:
    """A body that ends early, at any place, is not read in pieces."""
    rows = [["one", "],["], ["two", ']],"y":[["'], ["three", "]]}]}"]]
    table = {"name": "T", "columns": [{"name": "a"}, {"name": "b"}], "rows": rows}
    body = orjson.dumps({"tables": [table]}, option=layout)
    length = data.draw(st.integers(0, len(body) - 1))
    assert read(body[:length], data.draw(SIZES)) is None


def test_two_tables_are_left_to_the_whole() -> None:
    """A response of several tables is not read in pieces of any size."""
    table = {"name": "T", "columns": [{"name": "a"}], "rows": [["1"], ["2"]]}
    body = orjson.dumps({"tables": [table, table]})
    assert all(read(body, size) is None for size in range(1, len(body)))


def test_rows_outside_the_table_are_left_to_the_whole() -> None:
    """Rows outside the table are not read as the table's."""
    table = {"name": "T", "columns": [{"name": "a"}], "rows": []}
    body = orjson.dumps({"meta": {"rows": [["1"]]}, "tables": [table]})
    assert find_rows(BytesIO(body)) is None


@pytest.mark.parametrize("where", ["before", "after"])
def test_long_statistics_are_left_to_the_whole(where: str) -> None:
    """Statistics longer than the search limit leave the body to the whole."""
    table = {"name": "T", "columns": [{"name": "a"}], "rows": [["1"], ["2"]]}
    much: dict[str, Any] = {"statistics": ["x" * EDGE_BYTES]}
    tables: dict[str, Any] = {"tables": [table]}
    document = much | tables if where == "before" else tables | much
    assert find_rows(BytesIO(orjson.dumps(document))) is None
