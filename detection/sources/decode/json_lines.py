"""Reads JSON Lines, a batch at a time."""

from collections.abc import Iterator
from typing import Any, BinaryIO, Final

import orjson

from detection.sources.decode.json_document import parse_document
from detection.sources.decode.json_stream import BYTE_ORDER_MARK, PIECE_BYTES
from detection.sources.decode.row_set import RowSet

FORM: Final = "JSON Lines"
RECORDS: Final = "records"  # the member with the rows of a message to an event hub


def line_rows(stream: BinaryIO, where: str) -> RowSet:
    """Return the rows of UTF-8 text with one JSON object a line, or one event hub message a line.

    Raises SourceError, while the rows are read, for a line that is not JSON.
    """
    return RowSet(FORM, None, _batches(stream, where))


def _batches(stream: BinaryIO, where: str) -> Iterator[list[Any]]:
    batch: list[Any] = []
    size = 0
    for number, line in enumerate(stream, 1):
        body = line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line
        if not body.strip():
            continue
        try:
            row = orjson.loads(body)
        except ValueError:
            row = parse_document(body, f"{where}: line {number}")
        records = row.get(RECORDS) if isinstance(row, dict) else None
        if isinstance(records, list):
            batch += records
        else:
            batch.append(row)
        size += len(body)
        if size >= PIECE_BYTES:
            yield batch
            batch, size = [], 0
    yield batch
