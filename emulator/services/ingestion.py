"""The Logs Ingestion API: `POST /dataCollectionRules/{id}/streams/{stream}` into a workspace.

A call is accepted whole or refused with the reason. The documentation of the service says less
about some of the calls than this checks: a row that the table could not store completely is
refused, so that nobody relies on a part of it.
"""

import gzip
import json
import re
import zlib
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

from emulator.kusto.tables import CUSTOM, Row
from emulator.kusto.workspace import Workspace
from emulator.services.clock import Clock
from emulator.services.http_server import LoopbackServer, QuietHandler

RULE_ID: Final = "dcr-0123456789abcdef0123456789abcdef"
CALL_BYTES: Final = 1_000_000
FIELD_BYTES: Final = 65_536
STREAMS: Final = {f"Custom-{table}": table for table in CUSTOM}

_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?Z", re.ASCII)
_RANGES: Final = {"int": 2**31, "long": 2**63}


class Refused(Exception):
    """The service refuses a call."""

    def __init__(self, status: int, complaint: str) -> None:
        super().__init__(complaint)
        self.status = status


class Delivery(NamedTuple):
    """The rows of a call that was accepted, each as its bytes, and the array that held them."""

    stream: str
    batch: bytes
    rows: list[bytes]


class Ingestion(LoopbackServer):
    """Adds the rows of calls that have the token to the tables of a workspace."""

    def __init__(self, workspace: Workspace, token: str, clock: Clock) -> None:
        super().__init__(partial(_Handler, self))
        self._workspace = workspace
        self._token = token
        self._clock = clock
        self.delivered: list[tuple[str, Row]] = []  # tables and rows, in order

    def take(self, target: str, headers: Mapping[str, str], body: bytes) -> None:
        """Accept all rows of a call or none; raises Refused."""
        delivery = check(target, headers, body, self._token)
        rows = [json.loads(row) for row in delivery.rows]
        table = STREAMS[delivery.stream]
        self._workspace.add(table, rows, self._clock.now())
        self.delivered += [(table, row) for row in rows]


class _Handler(QuietHandler):
    def __init__(self, service: Ingestion, *arguments: Any) -> None:
        self._service = service
        super().__init__(*arguments)

    def do_POST(self) -> None:
        """Take the rows of a call."""
        try:
            self._service.take(self.path, dict(self.headers.items()), self.body())
        except Refused as refusal:
            error = {"code": "Refused", "message": str(refusal)}
            self.answer(refusal.status, {"error": error})
        else:
            self.answer(204, None)


def check(target: str, headers: Mapping[str, str], body: bytes, token: str) -> Delivery:
    """Return the rows of a call to the one rule; raises Refused."""
    url = urlsplit(target)
    if headers.get("Authorization") != f"Bearer {token}":
        raise Refused(401, "the token is missing or another")
    match = re.fullmatch(r"/dataCollectionRules/([^/]+)/streams/([^/]+)", url.path)
    if match is None or match[1] != RULE_ID or match[2] not in STREAMS:
        raise Refused(404, f"no such rule or stream: {url.path}")
    if parse_qs(url.query) != {"api-version": ["2023-01-01"]}:
        raise Refused(400, f"another API version: {url.query}")
    batch = _unpacked(headers, body)
    return Delivery(match[2], batch, _rows(batch, CUSTOM[STREAMS[match[2]]]))


def _unpacked(headers: Mapping[str, str], body: bytes) -> bytes:
    """Return the JSON array of a call."""
    if headers.get("Content-Type") != "application/json":
        raise Refused(400, "the content is not called JSON")
    if headers.get("Content-Encoding") != "gzip":
        raise Refused(400, "the content is not called gzip")
    try:
        batch = gzip.decompress(body)
    except (OSError, EOFError, zlib.error) as error:
        raise Refused(400, f"the content is not gzip: {error}") from error
    if len(body) > CALL_BYTES or len(batch) > CALL_BYTES:
        raise Refused(413, f"{len(batch)} bytes, {len(body)} compressed, are too many")
    return batch


def _rows(batch: bytes, declared: Mapping[str, str]) -> list[bytes]:
    """Return the bytes of each row, after a check of each field.

    The answer of the real service to an empty array is not documented; this one accepts it.
    """
    if batch == b"[]":
        return []
    decoder = json.JSONDecoder(object_pairs_hook=_without_repeats)
    try:
        text = batch.decode()
        if not text.startswith("[{") or not text.endswith("}]"):
            raise Refused(400, "the content is not an array of objects")
        rows = []
        position = 0
        while position < len(text) - 1:
            row, end = decoder.raw_decode(text, position + 1)
            if text[end] not in ",]":
                raise Refused(400, f"{text[end]!r} between rows")
            _check(row, declared)
            rows.append(text[position + 1 : end].encode())
            position = end
    except ValueError as error:
        raise Refused(400, f"the content is not JSON in UTF-8: {error}") from error
    return rows


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise Refused(400, "a column stands twice in a row")
    return row


def _check(row: object, declared: Mapping[str, str]) -> None:
    """Refuse a row that the table could not store completely."""
    if not isinstance(row, dict):
        raise Refused(400, "a row is not an object")
    if "TimeGenerated" not in row:
        raise Refused(400, "a row has no TimeGenerated")
    for name, value in row.items():
        if name not in declared:
            raise Refused(400, f"{name} is not a column of the stream")
        if not _fits(value, declared[name]):
            raise Refused(400, f"{name} is not of type {declared[name]}")
        written = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        if len(written.encode()) >= FIELD_BYTES:  # half a surrogate pair raises UnicodeEncodeError
            raise Refused(400, f"{name} would be cut off")


def _fits(value: object, kind: str) -> bool:
    match kind:
        case "string":
            return isinstance(value, str)
        case "datetime":
            return value is None or (isinstance(value, str) and bool(_MOMENT.fullmatch(value)))
        case "dynamic":
            return isinstance(value, list | dict)
        case "boolean":
            return isinstance(value, bool)
        case "int" | "long":
            bound = _RANGES[kind]
            return type(value) is int and -bound <= value < bound
    return isinstance(value, float | int) and not isinstance(value, bool)
