"""Text from logs, watchlists and answers, made safe to print and to log; and counts with a noun.

Such text may hold characters that move a terminal's cursor, turn the reading direction or are
invisible. Each of them becomes U+FFFD, so that a reader sees that something was there.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Final

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
LEFT_OUT = " [...] "


def printable(text: str) -> str:
    """Return the text with every invisible character replaced by U+FFFD; line breaks stay."""
    if text.isprintable():
        return text
    return "".join(c if c == "\n" or c.isprintable() else REPLACEMENT for c in text)


def one_line(text: str) -> str:
    """Return the text as one line that is safe to print: white space becomes single blanks."""
    return printable(" ".join(text.split()))


def shortened(text: str, length: int) -> str:
    """Return the text as one line of at most `length` characters; a longer one loses its middle.

    A message begins with the event and ends with the remedy, so both ends stay. A word, such as an
    address or an id, is only cut if it fills half of the length.
    """
    line = one_line(text)
    if len(line) <= length:
        return line
    half = (length - len(LEFT_OUT)) // 2
    head, tail = line[: half + 1], line[-half - 1 :]
    head = head.rpartition(" ")[0] or head[:-1]
    tail = tail.partition(" ")[2] or tail[1:]
    return f"{head}{LEFT_OUT}{tail}"


MAX_ENTRIES: Final = 100  # entries of a list
MAX_ENTRY_LENGTH: Final = 200  # characters of each entry
MAX_SENTENCE_LENGTH: Final = 2_000  # characters of one sentence, which may hold a command to run
MAX_TEXT_LENGTH: Final = 4_000  # characters of all sentences together
ELLIPSIS: Final = "..."


def counted(number: object, singular: str, plural: str = "") -> str:
    """Return a number with its noun: "1 row", "2 rows"; `plural` is for nouns without a plain s."""
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def shorten_middle(text: str, most: int = MAX_ENTRY_LENGTH) -> str:
    """Return the text; one of more than `most` characters loses its middle.

    An entry begins with its name and ends with its problem, so both ends stay.
    """
    if len(text) <= most:
        return text
    end = most // 2
    return text[: most - end - len(ELLIPSIS)] + ELLIPSIS + text[-end:]


def first_entries(texts: Iterable[str]) -> list[str]:
    """Return the first MAX_ENTRIES texts, each shortened to MAX_ENTRY_LENGTH."""
    return list(map(shorten_middle, islice(texts, MAX_ENTRIES)))


def numbered_entries(counts: Iterable[tuple[str, int]]) -> list[str]:
    """Return the first MAX_ENTRIES as "text: number"; only the text is shortened."""
    numbers = ((text, f": {number}") for text, number in islice(counts, MAX_ENTRIES))
    return [
        shorten_middle(text, MAX_ENTRY_LENGTH - len(number)) + number for text, number in numbers
    ]


def join_sentences(texts: Iterable[str]) -> str:
    """Return the sentences as one printable line of at most MAX_TEXT_LENGTH characters."""
    return shortened(
        ". ".join(shortened(text, MAX_SENTENCE_LENGTH) for text in texts), MAX_TEXT_LENGTH
    )
