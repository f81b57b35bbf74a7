"""Parses one JSON document in UTF-8."""

import json
from typing import Any, Final, NoReturn

import orjson

from detection.errors import SourceError
from detection.sources.decode.json_stream import BYTE_ORDER_MARK
from detection.sources.decode.table import kql_tostring

_UTF_16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")


class NotJson(SourceError):
    """A body is not a JSON document."""


class NoTable(SourceError):
    """A JSON document holds no table; it is neither damaged nor incomplete."""


def parse_document(body: bytes, where: str) -> Any:
    """Parse UTF-8 JSON, with or without a byte order mark; `where` names it in errors.

    Raises NotJson if it is anything else.
    """
    if body[:2] in _UTF_16_MARKS:
        raise NotJson(f"{where}: is UTF-16, as some shells write it: save it as UTF-8")
    body = body.removeprefix(BYTE_ORDER_MARK)
    try:
        return orjson.loads(body)
    except ValueError:
        return _parse_leniently(body, where)


def _parse_leniently(body: bytes, where: str) -> Any:
    """Parse a body that orjson rejects, since logs may hold half of a surrogate pair.

    Each such half becomes U+FFFD, because UTF-8 cannot encode it. Everything else that orjson
    rejects raises NotJson, with the line and column.
    """

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    try:
        document = json.loads(body.decode("utf-8"), parse_constant=refuse)
        text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    except UnicodeDecodeError as error:
        raise NotJson(f"{where}: is not UTF-8 at byte {error.start}") from None
    except ValueError as error:
        raise NotJson(f"{where}: is not JSON: {error}") from None
    well_formed = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    try:
        return orjson.loads(well_formed)
    except ValueError:  # it is JSON, so only its depth can be the reason
        raise RecursionError from None


def excerpt(value: object) -> str:
    """Return the first 200 characters of a value's text."""
    try:
        return f"{kql_tostring(value):.200}"
    except TypeError:
        return "nested too deeply to be shown"
