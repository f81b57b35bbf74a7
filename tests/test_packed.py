"""Rows that are kept small until somebody asks for them."""

import zlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.outbox import (
    CompressedRow,
    PendingRows,
)
from tests.support.states import ROWS

Row = Mapping[str, Any]
SEVERAL = st.lists(
    st.tuples(st.lists(ROWS, max_size=4), st.sampled_from(("plain", "made", "packed")))
)


def kept(rows: list[Row], how: str) -> Sequence[Row]:
    """Return rows in one of the ways in which they may wait."""
    made = PendingRows[Row]([partial(dict, row) for row in rows])
    return {"plain": rows, "made": made, "packed": PendingRows[Row](list(made.packed()))}[how]


@given(SEVERAL)
def test_however_rows_are_kept_they_come_out_as_they_were(
    several: list[tuple[list[Row], str]],
) -> None:
    """Rows kept in several ways and put together come out in order, and packed by one model."""
    expected = [list(row.items()) for rows, _ in several for row in rows]
    joined = PendingRows.joined(*(kept(rows, how) for rows, how in several))
    assert [list(row.items()) for row in joined] == expected
    packed = list(joined.packed())
    assert len({row.model for row in packed}) <= 1
    assert [list(row().items()) for row in packed] == expected
    assert list(PendingRows[Row](packed).packed()) == packed


@given(st.lists(ROWS, min_size=1, max_size=4), st.data())
def test_a_packed_row_that_is_cut_short_is_noticed(rows: list[Row], data: st.DataObject) -> None:
    """No part of a packed row passes for a row, and none with something behind it."""
    packed = data.draw(
        st.sampled_from([*PendingRows[Row]([partial(dict, row) for row in rows]).packed()])
    )
    cut = data.draw(st.integers(0, len(packed.body) - 1))
    for body in (packed.body[:cut], packed.body + b"x"):
        with pytest.raises((ValueError, zlib.error)):
            CompressedRow(body, packed.model)()


def test_rows_are_equal_to_rows() -> None:
    """Rows compare like lists of rows, however they are kept."""
    rows: list[Row] = [{"n": 1}, {"n": 2}]
    assert PendingRows.joined(rows) == rows
    assert rows == PendingRows.joined(rows)
    assert PendingRows.joined(rows) != rows[:1]
    assert PendingRows.joined(rows) != 5
