"""The class, the points of risk and the ATT&CK technique of an operation, by its name.

All of them are data: operation_catalog.csv has a line for each pattern of operation names, with
its MITRE ATT&CK technique (version 19), and operation_classes.csv a line for each class. Patterns
are in lower case, and `*` stands for any text or none. Of all patterns that fit a name, the most
specific counts: the one with the most characters that are not `*`. Of equally specific patterns the
one with more points counts.
"""

import csv
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from detection.rule.kql_text import ascii_lower, has

FOLDER: Final = Path(__file__).parent
ROUTINE, OTHER = "routine", "other"
# Writes and deletes are changes, which the rule matches. Actions only corroborate a finding.
CHANGE, ACTION = "change", "action"
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
    "technique": r"T[0-9]{4}(\.[0-9]{3})?",
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
        parts = map(re.escape, self.pattern.split("*"))
        return re.fullmatch(".*".join(parts), folded, re.DOTALL) is not None


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
_CATALOG: Final = read_catalog(FOLDER / "operation_catalog.csv", CLASSES)
CHANGES: Final = tuple(entry for entry in _CATALOG if CLASSES[entry.name].kind == CHANGE)
ACTIONS: Final = tuple(entry for entry in _CATALOG if CLASSES[entry.name].kind == ACTION)


@lru_cache(CACHE_SIZE)
def classify(operation: str) -> CatalogEntry:
    """Return the entry of a write or delete; the last entry, of class `other`, fits any name."""
    return _most_specific(CHANGES, operation) or CHANGES[-1]


@lru_cache(CACHE_SIZE)
def classify_action(operation: str) -> CatalogEntry | None:
    """Return the entry of an operation that the rule does not match, None if it has none."""
    return _most_specific(ACTIONS, operation)


@lru_cache(CACHE_SIZE)
def is_delete(operation: str) -> bool:
    """Return True if an operation deletes: its name has the term DELETE (clause 3)."""
    return has(operation, "DELETE")


def _most_specific(entries: tuple[CatalogEntry, ...], operation: str) -> CatalogEntry | None:
    folded = ascii_lower(operation)
    fitting = (entry for entry in entries if entry.fits(folded))
    return max(fitting, key=lambda entry: (entry.literal, entry.points), default=None)
