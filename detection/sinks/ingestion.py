"""Findings and run records into their tables, through the Logs Ingestion API.

The service cuts a field of 64 KB or more off without a word, so fields are shortened here, and
the row's column Shortened says so. It takes at most 1 MB a call, so rows go in batches. A row is
taken at least once: a call whose answer was lost is made again. Errors say what was answered and
what to do, never what was sent: neither rows nor tokens, nor an answer that may repeat them.
"""

import gzip
import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import partial
from io import BytesIO
from typing import Any, NamedTuple

import orjson
from azure.core import exceptions as azure
from azure.core.pipeline import PipelineResponse
from azure.core.pipeline.policies import RetryPolicy
from azure.monitor.ingestion import LogsIngestionClient

from detection.credential_errors import explain_token_failure
from detection.errors import DeliveryError
from detection.outbox import Outbox, Row
from detection.sinks.ingestion_errors import refusal_reason, timeout_reason
from detection.threads import run_with_timeout

FIELD_BYTES = 65_535  # of a field's JSON, quotes and brackets included
CALL_BYTES = 1_000_000  # of a call's JSON array, before compression
FIELD_PARTS = 16  # where a field is too long, no part of it keeps more than this share of the room
STREAM_STATUSES = (
    400,
    404,
    413,
)  # answers that may be about one stream alone; 403 is about the rule
CALL_TIMEOUT_S = 120.0  # seconds for a call, with its repeats and the waits between them
CONNECT_TIMEOUT_S = 10.0


class IngestionSink:
    """Sends every row through a client; findings before run records, oldest first."""

    def __init__(
        self,
        client: LogsIngestionClient,
        *,
        rule_id: str,
        findings_stream: str,
        runs_stream: str,
        patience: float = CALL_TIMEOUT_S,
    ) -> None:
        """`patience`: the seconds after which a call is over, whatever was answered by then."""
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
                if error.status not in STREAM_STATUSES:
                    break
        if failures:
            reasons = "; ".join(map(str, failures))
            raise DeliveryError(reasons, failures[0].status, (taken[0], taken[1])) from None

    def probe(self) -> None:
        """Send each stream a call without rows; raises DeliveryError as a delivery would."""
        for stream in self._streams:
            self._send(stream, gzip.compress(b"[]", mtime=0))

    def _send(self, stream: str, body: bytes) -> None:
        """Make one call and its repeats; an answer that comes byte by byte holds nobody up."""
        ends = time.monotonic() + self._patience
        try:
            run_with_timeout(self._patience, partial(self._call, stream, body, ends))
        except TimeoutError:
            raise DeliveryError(
                f"{stream} was not taken: {timeout_reason(self._patience)}"
            ) from None

    def _call(self, stream: str, body: bytes, ends: float) -> None:
        content = BytesIO(body)  # a file is sent as it is
        status = None

        def answered(response: PipelineResponse[Any, Any]) -> None:
            nonlocal status
            status = response.http_response.status_code
            content.seek(0)  # where a token must be renewed, the client repeats without rewinding
            if status < 400:
                return
            wait, left = _wait(response), ends - time.monotonic()
            if left <= 0:  # nobody waits for this call any more
                raise DeliveryError(timeout_reason(self._patience))
            if wait > left:
                raise DeliveryError(
                    f"{stream} was not taken: the service answered {status} and asks to wait "
                    f"{wait:.0f} s, longer than a call may take",
                    status,
                )

        try:
            self._client.upload(
                self._rule_id,
                stream,
                content,
                raw_response_hook=answered,
                retry_on_methods=["POST"],  # lost connections too: rows may repeat
                permit_redirects=False,  # the client would follow with an empty body
                connection_timeout=min(CONNECT_TIMEOUT_S, self._patience),
                read_timeout=self._patience / 2,  # of silence, which leaves time for a repeat
                timeout=self._patience,
                error_map={401: azure.HttpResponseError},  # its own error is the credential's
            )
        # What was answered may repeat the rows: it is kept out of tracebacks too.
        except azure.ClientAuthenticationError as error:
            raise DeliveryError(f"{stream} was not sent: {explain_token_failure(error)}") from None
        except azure.ServiceResponseTimeoutError:
            raise DeliveryError(
                f"{stream} was not taken: {timeout_reason(self._patience)}"
            ) from None
        except (azure.AzureError, OSError, ValueError, RecursionError) as error:
            reason, told = refusal_reason(error, status)
            raise DeliveryError(f"{stream} was not taken: {reason}", told) from None


class Batch(NamedTuple):
    """The rows of one call as a JSON array, and how many they are."""

    body: bytes
    rows: int


def batches(rows: Iterable[Row]) -> Iterator[Batch]:
    """Yield the rows, as many in each batch as a call takes."""
    batch: list[bytes] = []
    size = 1
    for row in rows:
        line = encode_row(row)
        if batch and size + len(line) + 1 > CALL_BYTES:
            yield _batch(batch)
            batch, size = [], 1
        batch.append(line)
        size += len(line) + 1  # the comma or bracket after it
    if batch:
        yield _batch(batch)


def _batch(lines: list[bytes]) -> Batch:
    return Batch(b"[" + b",".join(lines) + b"]", len(lines))


def encode_row(row: Row) -> bytes:
    """Return a row's JSON, shortened where it must be; the same row gives the same bytes."""
    try:
        line, limit = orjson.dumps(row), FIELD_BYTES
        if len(line) > limit:  # else no field is
            line = orjson.dumps(shorten_row(row, limit))
        while len(line) + 2 > CALL_BYTES and limit > FIELD_PARTS:
            limit //= 2
            line = orjson.dumps(shorten_row(row, limit))
    except TypeError as error:
        raise DeliveryError(
            f"nothing was sent, because a row cannot be written as JSON ({error}): this is a "
            "mistake in the program; report it"
        ) from error
    return line


def shorten_row(row: Row, limit: int = FIELD_BYTES) -> Row:
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
            parts, build = [_fitted(item, limit // FIELD_PARTS) for item in value], list
        case dict():
            parts, build = [(key, _fitted(value[key], limit // FIELD_PARTS)) for key in value], dict
        case _:
            return value
    counts = range(len(parts) + 1)
    too_many = bisect_right(counts, limit, key=lambda count: _size(build(parts[:count])))
    return build(parts[: max(too_many - 1, 0)])


def _size(value: object) -> int:
    return len(orjson.dumps(value))


def _wait(response: PipelineResponse[Any, Any]) -> float:
    """Return the seconds that an answer asks to wait; what cannot be read asks nothing.

    The client's own retries would end over it, so it is taken out.
    """
    try:
        return RetryPolicy[Any, Any]().get_retry_after(response) or 0
    except (ValueError, OverflowError):
        headers = response.http_response.headers
        for name in ("Retry-After", "retry-after-ms", "x-ms-retry-after-ms"):
            headers.pop(name, None)
        return 0
