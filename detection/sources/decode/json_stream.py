"""Reads the rows of a JSON body in pieces, so that a large table is never in memory as a whole.

The body is cut where it looks like the seam between two rows, and each piece is parsed. A piece
that begins with a row and parses as whole rows can only end with a row, so this is exact, whatever
text the rows contain. If a body cannot be read in this way, the caller parses it as a whole.
"""

import re
from collections.abc import Iterator
from io import SEEK_END
from typing import Any, BinaryIO, NamedTuple

import orjson

PIECE_BYTES = 100_000  # small enough that the decoded rows stay in a processor's cache
EDGE_BYTES = 1_000_000  # the document before the rows must fit into this, and that after them
MAX_SEAMS = 50  # give up after this many seams that turned out to be inside a text
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_ARRAY = re.compile(rb"\s*\[\s*(?=\{)")
_ROWS_MARKER = b'"rows":["here"'
_RESPONSE = re.compile(rb'"rows"\s*:\s*\[\s*(?=\[)')
_SEAMS = {b"[": re.compile(rb"\]\s*,\s*(?=\[)"), b"{": re.compile(rb"\}\s*,\s*(?=\{)")}


class Envelope(NamedTuple):
    """The document without its rows, and the offsets in bytes where these start and stop."""

    document: Any
    start: int
    stop: int


def find_rows(body: BinaryIO) -> Envelope | None:
    """Find the rows of an array of objects, or of an API response with one table.

    Returns None if this is not certain; the body may still hold a table.
    """
    body.seek(0)
    head = body.read(EDGE_BYTES)
    begin = len(BYTE_ORDER_MARK) if head.startswith(BYTE_ORDER_MARK) else 0
    array = _ARRAY.match(head, begin)
    match = array or _RESPONSE.search(head, begin)
    if match is None:
        return None
    start = match.end()
    tail_at = max(start, body.seek(0, SEEK_END) - EDGE_BYTES)
    body.seek(tail_at)
    tail = body.read()
    if array is not None:
        stop = len(tail.rstrip()) - 1
        return Envelope([], start, tail_at + stop) if tail[stop : stop + 1] == b"]" else None
    stop = len(tail)
    # The bracket that closes the rows is one of the body's last, so search from its end.
    for _ in range(MAX_SEAMS):
        stop = tail.rfind(b"]", 0, stop)
        if stop < 0:
            return None
        try:
            document = orjson.loads(head[begin : match.start()] + _ROWS_MARKER + tail[stop:])
        except ValueError:
            continue
        return Envelope(document, start, tail_at + stop) if _has_one_table(document) else None
    return None


def row_batches(
    body: BinaryIO, envelope: Envelope, piece_bytes: int = PIECE_BYTES
) -> Iterator[list[Any]]:
    """Yield all rows in order, in lists that each come from about `piece_bytes` bytes.

    Raises ValueError, after the last list at the latest, if the envelope does not fit the body.
    """
    body.seek(envelope.start)
    remaining = envelope.stop - envelope.start
    # Search for a seam near the end of the buffer, so that little of it is left over.
    search_from = piece_bytes * 7 // 8
    buffer, cut, false_seams = b"", search_from, 0
    while remaining:
        chunk = body.read(min(piece_bytes, remaining))
        if not chunk:
            raise ValueError("the body became shorter while it was read")
        remaining -= len(chunk)
        buffer += chunk
        seam = _SEAMS[buffer[:1]]
        while match := seam.search(buffer, cut):
            try:
                rows = orjson.loads(b"".join((b"[", memoryview(buffer)[: match.start() + 1], b"]")))
            except ValueError:
                false_seams += 1
                if false_seams == MAX_SEAMS:
                    raise
                cut = match.end()
                continue
            yield rows
            buffer, cut, false_seams = buffer[match.end() :], search_from, 0
    yield orjson.loads(b"".join((b"[", buffer, b"]")))


def _has_one_table(document: Any) -> bool:
    """Return True if the marker stands for the rows of the response's only table."""
    try:
        (table,) = document["tables"]
        return bool(table["rows"] == ["here"])
    except (KeyError, TypeError, ValueError):
        return False
