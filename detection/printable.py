"""Text from logs, watchlists and answers, made safe to print and to log.

Such text may hold what moves a terminal's cursor, turns the reading direction or shows nothing at
all. Every such character becomes U+FFFD, so that it can be seen that something was there.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Final

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
LEFT_OUT = " [...] "


def printable(text: str) -> str:
    """Return the text with every character that cannot be seen replaced; line breaks stay."""
    if text.isprintable():
        return text
    return "".join(c if c == "\n" or c.isprintable() else REPLACEMENT for c in text)


def one_line(text: str) -> str:
    """Return the text as one line that is safe to print: white space becomes single blanks."""
    return printable(" ".join(text.split()))


def shortened(text: str, length: int) -> str:
    """Return the text as one line of at most `length` characters, without its middle if need be.

    A message tells what happened at its beginning and what to do at its end, so both stay. No
    word, such as an address or an id, is cut unless it fills half of the length.
    """
    line = one_line(text)
    if len(line) <= length:
        return line
    half = (length - len(LEFT_OUT)) // 2
    head, tail = line[: half + 1], line[-half - 1 :]
    head = head.rpartition(" ")[0] or head[:-1]
    tail = tail.partition(" ")[2] or tail[1:]
    return f"{head}{LEFT_OUT}{tail}"


MAX_ENTRIES: Final = 100  # of a list
MAX_ENTRY_LENGTH: Final = 200  # characters of each
MAX_SENTENCE_LENGTH: Final = 2_000  # characters of one sentence, which may hold a command to run
MAX_TEXT_LENGTH: Final = 4_000  # characters of all sentences together
ELLIPSIS: Final = "..."


def shorten_middle(text: str, most: int = MAX_ENTRY_LENGTH) -> str:
    """Return the text, or both its ends if it has more than so many characters.

    Where an entry begins is its name; where it ends, or a message does, is what is wrong with it.
    """
    if len(text) <= most:
        return text
    end = most // 2
    return text[: most - end - len(ELLIPSIS)] + ELLIPSIS + text[-end:]


def first_entries(texts: Iterable[str]) -> list[str]:
    """Return the first of some entries, each cut."""
    return list(map(shorten_middle, islice(texts, MAX_ENTRIES)))


def numbered_entries(counts: Iterable[tuple[str, int]]) -> list[str]:
    """Return the first of some entries, each cut, and its number whole."""
    numbers = ((text, f": {number}") for text, number in islice(counts, MAX_ENTRIES))
    return [
        shorten_middle(text, MAX_ENTRY_LENGTH - len(number)) + number for text, number in numbers
    ]


def join_sentences(texts: Iterable[str]) -> str:
    """Return sentences as one printable line."""
    return shortened(
        ". ".join(shortened(text, MAX_SENTENCE_LENGTH) for text in texts), MAX_TEXT_LENGTH
    )
