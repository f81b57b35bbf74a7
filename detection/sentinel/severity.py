"""The part of the score that fits into a query: operations of which one alone makes a finding High.

The points of an operation are those of the most specific entry of the catalogue that fits its name.
The catalogue is too long for a query; its entries of the highest severity are few. One regular
expression fits the names that they fit.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from typing import Final

from detection.ranking.classify import CHANGE, catalog
from detection.ranking.score import SEVERITY_BANDS, severity_of

TOP_SEVERITY: Final = SEVERITY_BANDS[0][1]
SEGMENT: Final = re.compile(r"[./]?[^./]+")


@cache
def top_pattern() -> str:
    """Return a regular expression for the operation names of the highest severity, in lower case.

    It also fits a name that fits a more specific pattern of a lower severity. No known name does.
    """
    entries = catalog(CHANGE).entries
    names = [each.pattern for each in entries if severity_of(each.points) == TOP_SEVERITY]
    endings = {SEGMENT.findall(name)[-1] for name in names}
    ending = endings.pop() if len(endings) == 1 else ""
    heads = _alternatives(name.removesuffix(ending) for name in names)
    return f"^{heads}{_expression(ending)}$"


@cache
def exceptions() -> tuple[str, ...]:
    """Return the names of lower severities in the catalogue that the regular expression fits."""
    pattern = re.compile(top_pattern())
    return tuple(
        entry.pattern
        for entry in catalog(CHANGE).entries
        if severity_of(entry.points) != TOP_SEVERITY and pattern.fullmatch(entry.pattern)
    )


def _alternatives(names: Iterable[str]) -> str:
    """Write patterns of the catalogue as one expression; a common beginning stands once."""
    tails: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        first, *rest = SEGMENT.findall(name) or [""]
        tails[first].append("".join(rest))
    found = [
        _expression(first) + (_alternatives(rest) if any(rest) else "")
        for first, rest in tails.items()
    ]
    return found[0] if len(found) == 1 else f"({'|'.join(found)})"


def _expression(pattern: str) -> str:
    """Write a pattern of the catalogue, in which `*` stands for any text, as an expression."""
    return re.escape(pattern).replace(r"\*", ".*")
