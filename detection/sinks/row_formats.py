"""The forms of findings for other programs: JSON Lines, one JSON array, and CSV."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Final, Protocol

import orjson

from detection.outbox import Row
from detection.printable import printable
from detection.schema import Finding, columns

# A spreadsheet takes a cell that begins with one of these for a formula, also in their full width.
FORMULA_STARTS: Final = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
NEUTRAL: Final = "'"  # before such a cell; a spreadsheet takes the rest for text


class RowFormat(Protocol):
    """The text of rows in one form, piece by piece: before the first row, of each, at the end."""

    def begin(self) -> str:
        """Return the text before the first row."""
        ...

    def row(self, row: Row, *, is_first: bool) -> str:
        """Return the text of a row."""
        ...

    def end(self, *, is_empty: bool) -> str:
        """Return the text after the last row; `is_empty`: there was none."""
        ...


class JsonLines:
    """One JSON object a line."""

    def begin(self) -> str:
        """Return nothing."""
        return ""

    def row(self, row: Row, *, is_first: bool) -> str:
        """Return the row and a line break."""
        del is_first
        return json_of(row) + "\n"

    def end(self, *, is_empty: bool) -> str:
        """Return nothing."""
        del is_empty
        return ""


class JsonArray:
    """One JSON array of all rows, one row a line."""

    def begin(self) -> str:
        """Return the opening bracket."""
        return "["

    def row(self, row: Row, *, is_first: bool) -> str:
        """Return the row, after the comma that divides it from the row before."""
        return ("\n" if is_first else ",\n") + json_of(row)

    def end(self, *, is_empty: bool) -> str:
        """Return the closing bracket."""
        return "]\n" if is_empty else "\n]\n"


class Csv:
    """CSV (RFC 4180, in UTF-8, with line feeds) with the columns of findings, in their order.

    Lists and objects are JSON. A cell that a spreadsheet would take for a formula begins with an
    apostrophe. Invisible characters but line breaks become U+FFFD.
    """

    columns: Final = [name for name, _ in columns(Finding)]

    def begin(self) -> str:
        """Return the line of columns."""
        return _csv_line(self.columns)

    def row(self, row: Row, *, is_first: bool) -> str:
        """Return the row, which may take several lines."""
        del is_first
        return _csv_line([_csv_cell(row.get(name)) for name in self.columns])

    def end(self, *, is_empty: bool) -> str:
        """Return nothing."""
        del is_empty
        return ""


def encoded(form: RowFormat, rows: Iterable[Row]) -> Iterator[bytes]:
    """Yield all rows in a form, in UTF-8."""
    yield form.begin().encode()
    is_first = True
    for row in rows:
        yield form.row(row, is_first=is_first).encode()
        is_first = False
    yield form.end(is_empty=is_first).encode()


def json_of(value: object) -> str:
    """Return a row, or a value of one, as JSON.

    Invisible characters are escaped, because a terminal may show the line. The JSON value is the
    same.
    """
    text = orjson.dumps(value).decode()
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def _csv_line(cells: Iterable[object]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _csv_cell(value: object) -> object:
    """Return the value of a cell; only text can be taken for a formula."""
    if isinstance(value, list | dict):
        return json_of(value)
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return value
    text = printable(value)
    return NEUTRAL + text if value.lstrip().startswith(FORMULA_STARTS) else text
