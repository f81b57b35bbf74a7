"""Findings and run records into their tables, through the Logs Ingestion API.

The service cuts a field of 64 KB or more off without a word, so fields are shortened here, and
the row's column Shortened says so. It takes at most 1 MB a call, so rows go in batches. A row is
taken at least once: a call whose answer was lost is made again. Errors say what was answered and
what to do, never what was sent: neither rows nor tokens, nor an answer that may repeat them.
"""

import gzip
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import Any, NamedTuple

import orjson
from azure.core import exceptions as azure
from azure.core.pipeline import PipelineResponse
from azure.core.pipeline.policies import RetryPolicy
from azure.monitor.ingestion import LogsIngestionClient

from detection.errors import DeliveryError
from detection.outbox import Outbox, Row

FIELD_BYTES = 65_535  # of a field's JSON, quotes and brackets included
CALL_BYTES = 1_000_000  # of a call's JSON array, before compression
PARTS = 16  # where a field is too long, no part of it keeps more than this share of the room
REFUSED = (400, 404, 413)  # answers that may be about one stream alone; 403 is about the rule
PATIENCE, CONNECT = 60.0, 10.0  # seconds, in each of the four tries

_REMEDIES = {
    400: "the stream's columns differ from the rows': deploy the infrastructure of this version",
    401: "the token was refused: check that the app's identity and LOGS_INGESTION_ENDPOINT are of "
    "the same tenant and cloud; a new role assignment takes up to 30 minutes",
    403: "give the app's identity the role Monitoring Metrics Publisher on the data collection "
    "rule; a new assignment takes up to 30 minutes",
    404: "check LOGS_INGESTION_RULE_ID (the rule's immutable id), the stream's name, and that "
    "LOGS_INGESTION_ENDPOINT belongs to the rule",
    413: f"{CALL_BYTES} bytes a call are too many: lower CALL_BYTES in sinks/ingestion.py",
    429: "the data collection rule is at its limit (2 GB or 12,000 calls a minute) and stayed so "
    "as long as it asked to wait: the next run tries again",
}
_SERVER = "the service is in trouble: the next run tries again"
_OTHER = "only 204 means that rows were taken: check LOGS_INGESTION_ENDPOINT"


class IngestionSink:
    """Sends every row through a client; findings before run records, oldest first."""

    def __init__(
        self,
        client: LogsIngestionClient,
        *,
        rule_id: str,
        findings_stream: str,
        runs_stream: str,
        patience: float = PATIENCE,
    ) -> None:
        """`patience`: how long to wait for an answer, or as an answer asks, before giving up."""
        self._client = client
        self._rule_id = rule_id
        self._streams = findings_stream, runs_stream
        self._patience = patience

    def deliver(self, outbox: Outbox) -> None:
        """Write every row down, then send stream by stream, as far as its calls are taken.

        A stream that is refused does not hold the other one up, for what was refused may be its
        rows alone; any other failure ends the delivery.
        """
        kinds = outbox.findings, outbox.runs
        # Level 6 takes three times as long to make a call a sixth smaller.
        calls = [
            [(gzip.compress(batch.body, compresslevel=1, mtime=0), batch.rows) for batch in each]
            for each in map(batches, kinds)
        ]
        taken = [0, 0]
        failures: list[DeliveryError] = []
        for place, stream in enumerate(self._streams):
            try:
                for body, rows in calls[place]:
                    self._send(stream, body)
                    taken[place] += rows
            except DeliveryError as error:
                failures.append(error)
                if error.status not in REFUSED:
                    break
        if failures:
            reasons = "; ".join(map(str, failures))
            raise DeliveryError(reasons, failures[0].status, (taken[0], taken[1])) from None

    def probe(self) -> None:
        """Send each stream a call without rows; raises DeliveryError as a delivery would."""
        for stream in self._streams:
            self._send(stream, gzip.compress(b"[]", mtime=0))

    def _send(self, stream: str, body: bytes) -> None:
        content = BytesIO(body)  # a file is sent as it is
        status = None

        def answered(response: PipelineResponse[Any, Any]) -> None:
            nonlocal status
            status = response.http_response.status_code
            content.seek(0)  # where a token must be renewed, the client repeats without rewinding
            wait = RetryPolicy[Any, Any]().get_retry_after(response) or 0
            if status >= 400 and wait > self._patience:
                raise DeliveryError(
                    f"{stream} was not taken: the service answered {status} and asks to wait "
                    f"{wait:.0f} s: a later run tries again"
                )

        try:
            self._client.upload(
                self._rule_id,
                stream,
                content,
                raw_response_hook=answered,
                retry_on_methods=["POST"],  # lost connections too: rows may repeat
                permit_redirects=False,  # the client would follow with an empty body
                connection_timeout=min(CONNECT, self._patience),
                read_timeout=self._patience,
                error_map={401: azure.HttpResponseError},  # its own error is the credential's
            )
        # What was answered may repeat the rows: it is kept out of tracebacks too.
        except azure.ClientAuthenticationError as error:
            reason = str(error.message).strip().partition("\n")[0]
            raise DeliveryError(
                f"{stream} was not sent, for want of a token: {reason:.200}: check the identity "
                "that the app runs as"
            ) from None
        except (azure.AzureError, ValueError, RecursionError) as error:
            cause = _cause(error, status)
            raise DeliveryError(f"{stream} was not taken: {cause}", status or 0) from None


class Batch(NamedTuple):
    """The rows of one call as a JSON array, and how many they are."""

    body: bytes
    rows: int


def batches(rows: Iterable[Row]) -> Iterator[Batch]:
    """Yield the rows, as many in each batch as a call takes."""
    batch: list[bytes] = []
    size = 1
    for row in rows:
        line = written(row)
        if batch and size + len(line) + 1 > CALL_BYTES:
            yield _batch(batch)
            batch, size = [], 1
        batch.append(line)
        size += len(line) + 1  # the comma or bracket after it
    if batch:
        yield _batch(batch)


def _batch(lines: list[bytes]) -> Batch:
    return Batch(b"[" + b",".join(lines) + b"]", len(lines))


def written(row: Row) -> bytes:
    """Return a row's JSON, shortened where it must be; the same row gives the same bytes."""
    try:
        line, limit = orjson.dumps(row), FIELD_BYTES
        if len(line) > limit:  # else no field is
            line = orjson.dumps(shortened(row, limit))
        while len(line) + 2 > CALL_BYTES and limit > PARTS:
            limit //= 2
            line = orjson.dumps(shortened(row, limit))
    except TypeError as error:
        raise DeliveryError(
            f"nothing was sent, because a row cannot be written as JSON ({error}): this is a "
            "mistake in the program; report it"
        ) from error
    return line


def shortened(row: Row, limit: int = FIELD_BYTES) -> Row:
    """Return the row with fields of at most `limit` bytes of JSON, and Shortened if that cut."""
    fitted = {name: _fitted(value, limit) for name, value in row.items()}
    return row if fitted == row else fitted | {"Shortened": True}


def _fitted(value: Any, limit: int) -> Any:
    """Leave out what a text, array or object has too much at its end, down to whole characters."""
    if _size(value) <= limit:
        return value
    parts: Any
    build: type[Any]
    match value:
        case str():
            parts, build = value[:limit], str
        case list() | tuple():
            parts, build = [_fitted(item, limit // PARTS) for item in value], list
        case dict():
            parts, build = [(key, _fitted(value[key], limit // PARTS)) for key in value], dict
        case _:
            return value
    counts = range(len(parts) + 1)
    too_many = bisect_right(counts, limit, key=lambda count: _size(build(parts[:count])))
    return build(parts[: max(too_many - 1, 0)])


def _size(value: object) -> int:
    return len(orjson.dumps(value))


def _cause(error: Exception, status: int | None) -> str:
    """Say what was answered, or what became of the connection, and what to do."""
    if isinstance(error, azure.ServiceRequestError):
        return (
            f"the endpoint cannot be reached ({_root(error)}): check LOGS_INGESTION_ENDPOINT "
            "(https), name resolution and firewall"
        )
    if status is None or isinstance(error, azure.ServiceResponseError):
        broke = "the connection to LOGS_INGESTION_ENDPOINT broke before the answer"
        return f"{broke} ({_root(error)}): the next run sends the rows again"
    code = str(getattr(getattr(error, "error", None), "code", ""))
    named = f" ({code})" if re.fullmatch(r"[A-Za-z]{3,60}", code) else ""
    remedy = _REMEDIES.get(status, _SERVER if status >= 500 else _OTHER)
    return f"the service answered {status}{named}: {remedy}"


def _root(error: BaseException) -> str:
    """Name the innermost cause: in the system's words if it has any."""
    inner = getattr(error, "inner_exception", None) or error.__cause__ or error.__context__
    if inner is not None:
        return _root(inner)
    return str(getattr(error, "strerror", None) or type(error).__name__)
