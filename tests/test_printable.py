"""Text of unknown origin, made safe to print and to log."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.printable import counted, one_line, printable, shortened


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


@given(st.text(), st.integers(20, 60))
def test_a_shortened_text_is_one_line_of_that_length(text: str, length: int) -> None:
    """Whatever is shortened fits, and what fits is not shortened."""
    told = shortened(text * 5, length)
    assert len(told) <= length
    assert told.isprintable()
    assert shortened(text[:20], 20) == one_line(text[:20])


def test_a_shortened_text_keeps_both_ends_and_whole_words() -> None:
    """The middle goes, as the end says what to do; addresses and ids are not cut."""
    text = "it failed at https://example.com/a " + "because " * 40 + "see https://example.com/b"
    told = shortened(text, 100)
    assert told.startswith("it failed at https://example.com/a because [...] because ")
    assert told.endswith(" see https://example.com/b")
    assert shortened("x" * 100, 27) == "x" * 10 + " [...] " + "x" * 10


@given(st.text())
def test_one_line_is_one_printable_line(text: str) -> None:
    """Whatever a text holds, one_line() gives characters that can be seen, and no line break."""
    assert one_line(text).isprintable()


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 entries"), (1, "1 entry"), (2, "2 entries")], ids=str
)
def test_a_noun_agrees_with_its_number(number: int, text: str) -> None:
    """Only one is singular, with a plural that is given or made with an s."""
    assert counted(number, "entry", "entries") == text
    assert counted(number, "row") == text.replace("entries", "rows").replace("entry", "row")
