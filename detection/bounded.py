"""How much of logs, watchlists and messages a run record takes.

A record is made every hour, and stays in the state as long as it cannot be delivered. So all that
somebody else can make long is cut; the numbers beside it tell of all. Entries keep their
characters, as they are data; sentences become one line that is safe to print.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Final

from detection.printable import shortened

ENTRIES: Final = 100  # of a list
ENTRY: Final = 200  # characters of each
SENTENCE: Final = 2_000  # characters of one sentence, which may hold a command to run
TEXT: Final = 4_000  # characters of all sentences together
LEFT_OUT: Final = "..."


def cut(text: str, most: int = ENTRY) -> str:
    """Return the text, or both its ends if it has more than so many characters.

    Where an entry begins is its name; where it ends, or a message does, is what is wrong with it.
    """
    if len(text) <= most:
        return text
    end = most // 2
    return text[: most - end - len(LEFT_OUT)] + LEFT_OUT + text[-end:]


def entries(texts: Iterable[str]) -> list[str]:
    """Return the first of some entries, each cut."""
    return list(map(cut, islice(texts, ENTRIES)))


def numbered(counts: Iterable[tuple[str, int]]) -> list[str]:
    """Return the first of some entries, each cut, and its number whole."""
    numbers = ((text, f": {number}") for text, number in islice(counts, ENTRIES))
    return [cut(text, ENTRY - len(number)) + number for text, number in numbers]


def sentences(texts: Iterable[str]) -> str:
    """Return sentences as one printable line."""
    return shortened(". ".join(shortened(text, SENTENCE) for text in texts), TEXT)
