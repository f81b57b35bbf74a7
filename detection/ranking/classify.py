"""The class, the points of risk and the ATT&CK technique of an operation, by its name.

All of them are data: operation_catalog.csv has a line for each pattern of operation names, with
its MITRE ATT&CK technique (version 19; none where none fits), and operation_classes.csv a line for
each class. Patterns are in lower case, and `*` stands for any text or none. Of all patterns that
fit a name, the most specific counts: the one with the most characters that are not `*`. Of equally
specific patterns the one with more points counts.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

from detection.rule.kql_text import ascii_lower, has

FOLDER: Final = Path(__file__).parent
ROUTINE, OTHER = "routine", "other"
# Writes and deletes are changes, which the rule matches. Actions only corroborate a finding.
CHANGE, ACTION = "change", "action"
ANY_PROVIDER: Final = "*"
CACHE_SIZE: Final = 10_000  # operation names remembered; a tenant uses some hundred

# The columns of both files, and the form of their values.
CLASS_COLUMNS: Final = {
    "class": r"[a-z]+( [a-z]+)*",
    "kind": f"{CHANGE}|{ACTION}",
    "colour": r"#[0-9a-f]{6}",
    "dark_colour": r"#[0-9a-f]{6}",
    "description": r"\S.*",
}
CATALOG_COLUMNS: Final = {
    "class": r"\S.*",
    "points": r"[0-9]{1,3}",
    "technique": r"(T[0-9]{4}(\.[0-9]{3})?)?",
    "pattern": r"\S+",
    "words": r"\S.*",
}


class OperationClass(NamedTuple):
    """A class of operations, with its colours in the report: on a light and on a dark page."""

    name: str
    kind: str
    colour: str
    dark_colour: str
    description: str


class CatalogEntry(NamedTuple):
    """A pattern of operation names, with its class, its points and a phrase for a sentence."""

    name: str
    points: int
    technique: str
    pattern: str
    words: str

    @property
    def literal(self) -> int:
        """The number of characters that are not `*`: how specific the pattern is."""
        return len(self.pattern) - self.pattern.count("*")

    def fits(self, folded: str) -> bool:
        """Return True if the pattern fits an operation name in lower case."""
        if "*" not in self.pattern:
            return folded == self.pattern
        first, *middle, last = self.pattern.split("*")
        if not (folded.startswith(first) and folded.endswith(last)):
            return False
        at, end = len(first), len(folded) - len(last)
        for part in middle:
            if (found := folded.find(part, at, end)) < 0:
                return False
            at = found + len(part)
        return at <= end


class Catalog:
    """The entries of one kind, arranged so that few of them are compared with a name."""

    def __init__(self, entries: Iterable[CatalogEntry]) -> None:
        """Arrange the entries by full name, or by resource provider if a pattern names one."""
        self.entries: Final = tuple(entries)
        self._full_names: dict[str, CatalogEntry] = {}
        self._patterns: defaultdict[str, list[CatalogEntry]] = defaultdict(list)
        for entry in self.entries:
            provider = _provider(entry.pattern)
            if "*" not in entry.pattern:
                self._full_names[entry.pattern] = entry
            else:
                self._patterns[ANY_PROVIDER if "*" in provider else provider].append(entry)

    def most_specific(self, operation: str) -> CatalogEntry | None:
        """Return the most specific entry that fits an operation's name, None if none fits."""
        folded = ascii_lower(operation)
        patterns = chain(
            self._patterns.get(_provider(folded), ()), self._patterns.get(ANY_PROVIDER, ())
        )
        fitting = [entry for entry in patterns if entry.fits(folded)]
        if folded in self._full_names:
            fitting.append(self._full_names[folded])
        return max(fitting, key=lambda entry: (entry.literal, entry.points), default=None)


def read_classes(path: Path) -> dict[str, OperationClass]:
    """Return the classes of a file by name; raises ValueError for a bad line."""
    found = [OperationClass(*values) for _, values in _read(path, CLASS_COLUMNS)]
    classes = {each.name: each for each in found}
    if len(classes) < len(found):
        raise ValueError(f"{path.name}: a class has two lines")
    return classes


def read_catalog(path: Path, classes: Mapping[str, OperationClass]) -> list[CatalogEntry]:
    """Return the entries of a file, in order; raises ValueError for a bad line."""
    found = []
    for line, (name, points, *others) in _read(path, CATALOG_COLUMNS):
        if name not in classes:
            raise ValueError(f"{path.name}, line {line}: there is no class {name!r}")
        found.append(CatalogEntry(name, int(points), *others))
    return found


def _read(path: Path, columns: Mapping[str, str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the values of each line; raises ValueError for a bad one."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file, strict=True)
        try:
            if (header := next(rows, None)) != list(columns):
                raise ValueError(f"{path.name}: the header is {header}, not {list(columns)}")
            for row in rows:
                if len(row) != len(columns):
                    raise ValueError(
                        f"{path.name}, line {rows.line_num}: {len(row)} values, not {len(columns)}"
                    )
                for value, (column, form) in zip(row, columns.items(), strict=True):
                    if not re.fullmatch(form, value):
                        raise ValueError(
                            f"{path.name}, line {rows.line_num}: {value!r} is no {column}"
                        )
                yield rows.line_num, row
        except csv.Error as error:
            raise ValueError(f"{path.name}, line {rows.line_num}: {error}") from None


CLASSES: Final = read_classes(FOLDER / "operation_classes.csv")
CHANGE_CLASSES: Final = frozenset(name for name, each in CLASSES.items() if each.kind == CHANGE)


@cache
def _entries() -> list[CatalogEntry]:
    return read_catalog(FOLDER / "operation_catalog.csv", CLASSES)


@cache
def catalog(kind: str) -> Catalog:
    """Return the entries of CHANGE or ACTION; the first call reads the file."""
    return Catalog(entry for entry in _entries() if CLASSES[entry.name].kind == kind)


@lru_cache(CACHE_SIZE)
def classify(operation: str) -> CatalogEntry:
    """Return the entry of a write or delete; the last entry, of class `other`, fits any name."""
    changes = catalog(CHANGE)
    return changes.most_specific(operation) or changes.entries[-1]


@lru_cache(CACHE_SIZE)
def classify_action(operation: str) -> CatalogEntry | None:
    """Return the entry of an operation that the rule does not match, None if it has none."""
    return catalog(ACTION).most_specific(operation)


@lru_cache(CACHE_SIZE)
def is_delete(operation: str) -> bool:
    """Return True if an operation deletes: its name has the term DELETE (clause 3)."""
    return has(operation, "DELETE")


def _provider(name: str) -> str:
    """Return the resource provider that a name or a pattern begins with."""
    return name.partition("/")[0]
