"""The outbox: rows come out as they went in, and a position says which of them were delivered."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.outbox import Outbox, OutboxPosition, PendingRows, Row, RowCompressor, pending
from tests.support.states import ROWS

LISTS = st.lists(ROWS, max_size=4)


@given(LISTS, LISTS)
def test_rows_come_out_as_they_went_in(rows: list[Row], more: list[Row]) -> None:
    """Rows that are compressed and put together come out whole, in order, with their columns."""
    waiting = PendingRows.of(rows).followed_by(PendingRows.of(more))
    expected = [list(row.items()) for row in rows + more]
    assert [list(row.items()) for row in waiting] == expected
    assert [list(waiting[place].items()) for place in range(len(waiting))] == expected
    assert list(waiting[1:3]) == (rows + more)[1:3]


@given(LISTS, LISTS)
def test_rows_that_wait_together_share_one_dictionary(rows: list[Row], more: list[Row]) -> None:
    """Rows of another dictionary are compressed again, and rows of the same one are not."""
    first, second = PendingRows.of(rows), PendingRows.of(more)
    waiting = first.followed_by(second)
    assert waiting.dictionary == (first if rows else second).dictionary
    assert waiting.bodies[: len(rows)] == first.bodies
    again = waiting.followed_by(PendingRows.of(more, waiting.dictionary))
    assert again.bodies[: len(waiting)] == waiting.bodies


def test_an_empty_outbox_keeps_no_dictionary() -> None:
    """After the last row was delivered nothing of it is left."""
    waiting = Outbox(PendingRows.of([{"n": 1}]))
    left = waiting.after(waiting.end)
    assert pending(left.findings).dictionary == b""


@given(st.lists(ROWS, min_size=1, max_size=4), st.data())
def test_a_damaged_row_is_noticed(rows: list[Row], data: st.DataObject) -> None:
    """No part of a compressed row passes for a row, and no row with something behind it does."""
    waiting = PendingRows.of(rows)
    body = data.draw(st.sampled_from(waiting.bodies))
    cut = data.draw(st.integers(0, len(body) - 1))
    for damaged in (body[:cut], body + b"x"):
        with pytest.raises((ValueError, zlib.error)):
            list(PendingRows[Row](waiting.dictionary, [damaged]))


def test_a_value_that_json_cannot_hold_is_an_error() -> None:
    """A row that cannot be written is noticed when it is decided, before the state is written."""
    with pytest.raises(TypeError):
        RowCompressor().compress({"n": object()})


def test_compressed_rows_equal_plain_rows() -> None:
    """Rows compare like lists of rows, compressed or not."""
    rows: list[Row] = [{"n": 1}, {"n": 2}]
    assert PendingRows.of(rows) == rows
    assert rows == PendingRows.of(rows)
    assert PendingRows.of(rows) != rows[:1]
    assert PendingRows.of(rows) != 5


@given(LISTS, LISTS, st.integers(0, 5), st.integers(0, 9))
def test_a_position_stays_right_while_rows_are_added(
    rows: list[Row], more: list[Row], delivered: int, begin: int
) -> None:
    """Rows that are added later do not change which rows lie after a position."""
    outbox = Outbox(PendingRows.of(rows), [], OutboxPosition(begin, begin))
    position = outbox.begin.advanced(min(delivered, len(rows)), 0)
    grown = outbox.with_rows(PendingRows.of(more), {"RunId": "r"})
    assert grown.after(position).findings == (rows + more)[min(delivered, len(rows)) :]
    assert grown.after(position).runs == [{"RunId": "r"}]
    assert grown.after(position).after(position).findings == grown.after(position).findings


@given(st.lists(ROWS, max_size=6))
def test_rows_are_sorted_by_a_key(rows: list[Row]) -> None:
    """Rows come by the key, smallest first; rows of one key keep their order, and all stay."""

    def key(row: Row) -> int:
        return len(row) % 3

    assert list(pending(rows).sorted(key)) == sorted(rows, key=key)
