"""Finds the rows in a JSON body some at a time, so that a large table is never decoded at once.

A piece that begins where a row begins and parses as whole rows can only end where a row ends, so
cutting at what looks like the seam between two rows, and parsing to make sure, is exact, whatever
the texts of the rows contain. Where this finds no way, the caller parses the whole body instead.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

AT_A_TIME = 100_000  # bytes, which decoded stay in a processor's cache
TRIES = 50  # seams that turn out to be inside a text before giving up

_ARRAY = re.compile(rb"\s*\[\s*(?=\{)")
_HERE = b'"rows":["here"'
_RESPONSE = re.compile(rb'"rows"\s*:\s*\[\s*(?=\[)')
_SEAMS = {b"[": re.compile(rb"\]\s*,\s*(?=\[)"), b"{": re.compile(rb"\}\s*,\s*(?=\{)")}


class Frame(NamedTuple):
    """What surrounds the rows (a document without them), and where they begin and end."""

    document: Any
    start: int
    stop: int


def find_frame(body: bytes) -> Frame | None:
    """Find the rows of an array of objects or of a response with one table; None if unclear."""
    array = _ARRAY.match(body)
    if array is not None:
        stop = len(body.rstrip()) - 1
        return Frame([], array.end(), stop) if body[stop:].rstrip() == b"]" else None
    response = _RESPONSE.search(body)
    if response is None:
        return None
    stop = len(body)
    for _ in range(TRIES):  # the bracket that closes the rows is among the last
        stop = body.rfind(b"]", response.end(), stop)
        if stop < 0:
            return None
        try:
            document = orjson.loads(body[: response.start()] + _HERE + body[stop:])
        except ValueError:
            continue
        return Frame(document, response.end(), stop) if _has_one_table(document) else None
    return None


def batches(body: bytes, frame: Frame, at_a_time: int = AT_A_TIME) -> Iterator[list[Any]]:
    """Yield all rows in order, lists of them that each come from `at_a_time` bytes or a few more.

    Raises ValueError, at the latest at the end, if the frame was mistaken.
    """
    seam, start = _SEAMS[body[frame.start : frame.start + 1]], frame.start
    whole = memoryview(body)
    while start < frame.stop:
        cut = start + at_a_time
        for _ in range(TRIES):
            found = seam.search(body, cut, frame.stop)
            end, cut = (found.start() + 1, found.end()) if found else (frame.stop, frame.stop)
            try:
                rows = orjson.loads(b"".join((b"[", whole[start:end], b"]")))
            except ValueError:
                continue
            break
        else:
            raise ValueError("no seam found")
        yield rows
        start = cut


def _has_one_table(document: Any) -> bool:
    """Whether what was found are the rows of a response's only table, and not of something else."""
    try:
        (table,) = document["tables"]
        return bool(table["rows"] == ["here"])
    except (KeyError, TypeError, ValueError):
        return False
