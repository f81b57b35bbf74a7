"""Rows of CSV and of JSON Lines are read a batch at a time."""

import io

import pytest

from detection.errors import SourceError
from detection.sources.decode.csv_rows import csv_rows, delimiter_of
from detection.sources.decode.json_lines import line_rows

LINE = b'{"a":"' + b"x" * 90 + b'"}\n'


def test_lines_are_read_in_pieces() -> None:
    """The first batch is a small part of the file."""
    stream = io.BytesIO(LINE * 50_000)
    batches = iter(line_rows(stream, "x").batches)
    assert 900 < len(next(batches)) < 2_000
    assert stream.tell() < 200_000
    assert sum(map(len, batches)) > 48_000


def test_csv_is_read_in_pieces() -> None:
    """The first batch is a small part of the file."""
    stream = io.BytesIO(b"a,b\n" + b'"1",2\n' * 100_000)
    rows = csv_rows(stream, "x", ",")
    batches = iter(rows.batches)
    assert (rows.names, len(next(batches))) == (["a", "b"], 2_000)
    assert stream.tell() < 20_000
    assert sum(map(len, batches)) == 98_000


def test_blank_lines_are_no_rows() -> None:
    """Files often end with some."""
    assert [*line_rows(io.BytesIO(b'\n{"a":1}\n \n{"a":2}\n\n'), "x").batches] == [
        [{"a": 1}, {"a": 2}]
    ]
    assert [*csv_rows(io.BytesIO(b"a\n\n1\n\n"), "x", ",").batches] == [[["1"]]]


def test_a_cell_may_be_long() -> None:
    """Claims and properties can be longer than the csv module's own limit."""
    text = b"x" * 1_000_000
    assert [*csv_rows(io.BytesIO(b"a,b\n1," + text), "x", ",").batches] == [[["1", text.decode()]]]


def test_half_of_a_surrogate_pair_in_a_line_is_replaced() -> None:
    """It is JSON that cannot be encoded as UTF-8, as in other files."""
    assert [*line_rows(io.BytesIO(b'{"a":"\\ud800"}\n{"a":1}'), "x").batches] == [
        [{"a": "\ufffd"}, {"a": 1}]
    ]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"a":1}\n{"a":\n', "x: line 2: is not JSON"),
        (b'{"a":1}\n\xff\n', "x: line 2: is not UTF-8 at byte 0"),
    ],
)
def test_a_damaged_line_is_named(body: bytes, message: str) -> None:
    """The error has the number of the line."""
    with pytest.raises(SourceError, match=message):
        list(line_rows(io.BytesIO(body), "x").batches)


@pytest.mark.parametrize(
    ("line", "delimiter"), [("a,b;c,d", ","), ("a;b", ";"), ("a\tb,c\td", "\t"), ("a", "")]
)
def test_the_header_tells_the_delimiter(line: str, delimiter: str) -> None:
    """It is the one that the header has most often."""
    assert delimiter_of(line) == delimiter
