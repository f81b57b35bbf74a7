"""Text of unknown origin, made safe to print and to log."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.printable import one_line, printable


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain text, even of \u00e9 and \u4e2d", "plain text, even of \u00e9 and \u4e2d"),
        ("\x1b[2Jgone", "\ufffd[2Jgone"),
        ("a\u202eb\u200bc\x9bd", "a\ufffdb\ufffdc\ufffdd"),
        ("two\nlines", "two\nlines"),
    ],
)
def test_what_cannot_be_seen_is_replaced(raw: str, shown: str) -> None:
    """Escape sequences, marks of direction and zero-width characters show as U+FFFD."""
    assert printable(raw) == shown


@given(st.text())
def test_one_line_is_one_printable_line(text: str) -> None:
    """Whatever a text holds, one_line() gives characters that can be seen, and no line break."""
    assert one_line(text).isprintable()
