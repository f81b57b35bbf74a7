"""Finds the rows in a JSON body some at a time, so that a large table is never held at once.

A piece that begins where a row begins and parses as whole rows can only end where a row ends, so
cutting at what looks like the seam between two rows, and parsing to make sure, is exact, whatever
the texts of the rows contain. Where this finds no way, the caller parses the whole body instead.
"""

import re
from collections.abc import Iterator
from io import SEEK_END
from typing import Any, BinaryIO, NamedTuple

import orjson

PIECE_BYTES = 100_000  # bytes, which decoded stay in a processor's cache
EDGE_BYTES = 1_000_000  # bytes within which what comes before the rows, and what after, must fit
MAX_SEAMS = 50  # seams that turn out to be inside a text before giving up
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_ARRAY = re.compile(rb"\s*\[\s*(?=\{)")
_ROWS_MARKER = b'"rows":["here"'
_RESPONSE = re.compile(rb'"rows"\s*:\s*\[\s*(?=\[)')
_SEAMS = {b"[": re.compile(rb"\]\s*,\s*(?=\[)"), b"{": re.compile(rb"\}\s*,\s*(?=\{)")}


class Envelope(NamedTuple):
    """What surrounds the rows (a document without them), and where they begin and end."""

    document: Any
    start: int
    stop: int


def find_rows(body: BinaryIO) -> Envelope | None:
    """Find the rows of an array of objects or of a response with one table; None if unclear."""
    body.seek(0)
    head = body.read(EDGE_BYTES)
    begin = len(BYTE_ORDER_MARK) if head.startswith(BYTE_ORDER_MARK) else 0
    array = _ARRAY.match(head, begin)
    found = array or _RESPONSE.search(head, begin)
    if found is None:
        return None
    start = found.end()
    tail_at = max(start, body.seek(0, SEEK_END) - EDGE_BYTES)
    body.seek(tail_at)
    tail = body.read()
    if array is not None:
        stop = len(tail.rstrip()) - 1
        return Envelope([], start, tail_at + stop) if tail[stop : stop + 1] == b"]" else None
    stop = len(tail)
    for _ in range(MAX_SEAMS):  # the bracket that closes the rows is among the last
        stop = tail.rfind(b"]", 0, stop)
        if stop < 0:
            return None
        try:
            document = orjson.loads(head[begin : found.start()] + _ROWS_MARKER + tail[stop:])
        except ValueError:
            continue
        return Envelope(document, start, tail_at + stop) if _has_one_table(document) else None
    return None


def row_batches(
    body: BinaryIO, frame: Envelope, at_a_time: int = PIECE_BYTES
) -> Iterator[list[Any]]:
    """Yield all rows in order, lists of them that each come from about `at_a_time` bytes.

    Raises ValueError, at the latest at the end, if the frame was mistaken.
    """
    body.seek(frame.start)
    left = frame.stop - frame.start
    near = at_a_time * 7 // 8  # seams are looked for from here, so that a piece is nearly all
    held, cut, tries = b"", near, 0
    while left:
        more = body.read(min(at_a_time, left))
        if not more:
            raise ValueError("the body has become shorter")
        left -= len(more)
        held += more
        seam = _SEAMS[held[:1]]
        while found := seam.search(held, cut):
            try:
                rows = orjson.loads(b"".join((b"[", memoryview(held)[: found.start() + 1], b"]")))
            except ValueError:
                tries += 1
                if tries == MAX_SEAMS:
                    raise
                cut = found.end()
                continue
            yield rows
            held, cut, tries = held[found.end() :], near, 0
    yield orjson.loads(b"".join((b"[", held, b"]")))


def _has_one_table(document: Any) -> bool:
    """Whether what was found are the rows of a response's only table, and not of something else."""
    try:
        (table,) = document["tables"]
        return bool(table["rows"] == ["here"])
    except (KeyError, TypeError, ValueError):
        return False
