"""Reads the rows of CSV and TSV, a batch at a time."""

import csv
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from detection.errors import SourceError
from detection.sources.decode.json_stream import BYTE_ORDER_MARK
from detection.sources.decode.row_set import RowSet

FORMS: Final = {",": "CSV", ";": "CSV with semicolons", "\t": "TSV"}
_BATCH: Final = 2_000  # rows
_LONGEST_CELL: Final = 100_000_000  # characters; the module's own limit is less than some claims


def delimiter_of(line: str) -> str:
    """Return the delimiter in the first line of a file; "" if there is none."""
    counts = {each: line.count(each) for each in FORMS}
    best = max(counts, key=lambda each: counts[each])
    return best if counts[best] else ""


def csv_rows(stream: BinaryIO, where: str, delimiter: str) -> RowSet:
    """Return the rows of UTF-8 text, whose first line has the columns; all values are texts.

    Raises SourceError, also while the rows are read, if the text is damaged or cut short.
    """
    csv.field_size_limit(_LONGEST_CELL)
    records = _records(stream, where, delimiter)
    names = next(records, [])
    return RowSet(FORMS[delimiter], names, _batches(records), empty_is_null=True)


def _records(stream: BinaryIO, where: str, delimiter: str) -> Iterator[list[Any]]:
    """Yield the records that are not blank, the columns first."""
    # Lines end with a line feed alone: cells may hold other characters that end lines.
    lines = (line.decode("utf-8") for line in _without_mark(stream))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    count = 0
    try:
        for record in reader:
            if record:
                yield record
                count += 1
    except csv.Error as error:
        # A quote that nothing closes is usually the end of a file that was cut.
        raise SourceError(f"{where}: row {count} is damaged or cut short: {error}") from None
    except UnicodeDecodeError:
        raise SourceError(f"{where}: is not UTF-8 at row {count}: save it as UTF-8") from None


def _without_mark(stream: BinaryIO) -> Iterator[bytes]:
    for number, line in enumerate(stream):
        yield line if number else line.removeprefix(BYTE_ORDER_MARK)


def _batches(records: Iterator[list[Any]]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for record in records:
        batch.append(record)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    yield batch
