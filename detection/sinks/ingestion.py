"""Sends findings and run records to their tables through the Logs Ingestion API.

The service silently cuts fields of 64 KB or more. Fields are therefore shortened here, and the
row's column Shortened records it. A call holds at most 1 MB, so rows are sent in batches. A row
may arrive more than once: a call whose answer was lost is repeated. Errors give the answer's
status and the remedy. They never repeat rows, tokens, or the answer's text, which may hold rows.
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

FIELD_BYTES = 65_535  # of a field's JSON, with quotes and brackets
CALL_BYTES = 1_000_000  # of a call's JSON array, before compression
FIELD_PARTS = 16  # each part of a field that is too long keeps at most 1/16 of the limit
# Refusals that may concern one stream alone. A 403 concerns the data collection rule, so both.
STREAM_STATUSES = (400, 404, 413)
CALL_TIMEOUT_S = 120.0  # seconds for a call, with its retries and the waits between them
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
        timeout: float = CALL_TIMEOUT_S,
    ) -> None:
        """`timeout`: seconds after which a call ends, with or without an answer."""
        self._client = client
        self._rule_id = rule_id
        self._streams = findings_stream, runs_stream
        self._timeout = timeout

    def deliver(self, outbox: Outbox) -> None:
        """Encode all rows, then send them stream by stream.

        If the service refuses a stream, the other stream is still sent, because only the rows of
        the first may be the cause. Any other failure ends the delivery.
        """
        kinds = outbox.findings, outbox.runs
        # Level 6 takes three times as long and makes a call only a sixth smaller.
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
        """Make one call with its retries. The timeout also ends an answer that is too slow."""
        deadline = time.monotonic() + self._timeout
        try:
            run_with_timeout(self._timeout, partial(self._call, stream, body, deadline))
        except TimeoutError:
            raise DeliveryError(
                f"{stream}: rows not accepted: {timeout_reason(self._timeout)}"
            ) from None

    def _call(self, stream: str, body: bytes, deadline: float) -> None:
        content = BytesIO(body)  # the client sends a file as it is
        status = None

        def on_response(response: PipelineResponse[Any, Any]) -> None:
            nonlocal status
            status = response.http_response.status_code
            content.seek(0)  # after it renews a token, the client repeats without rewinding
            if status < 400:
                return
            wait, left = _requested_wait(response), deadline - time.monotonic()
            if left <= 0:  # the caller has stopped waiting
                raise DeliveryError(timeout_reason(self._timeout))
            if wait > left:
                raise DeliveryError(
                    f"{stream}: rows not accepted: the service answered {status} and asked to wait "
                    f"{wait:.0f} s, longer than the {self._timeout:g} s of a call: try again later",
                    status,
                )

        try:
            self._client.upload(
                self._rule_id,
                stream,
                content,
                raw_response_hook=on_response,
                retry_on_methods=["POST"],  # also after a lost connection: rows may repeat
                permit_redirects=False,  # the client would follow a redirect with an empty body
                connection_timeout=min(CONNECT_TIMEOUT_S, self._timeout),
                read_timeout=self._timeout / 2,  # leaves time for a retry
                timeout=self._timeout,
                # The client's own error for a 401 is the one that the credential raises.
                error_map={401: azure.HttpResponseError},
            )
        # The answer may repeat the rows: `from None` keeps it out of tracebacks.
        except azure.ClientAuthenticationError as error:
            raise DeliveryError(
                f"{stream}: rows not sent: {explain_token_failure(error)}"
            ) from None
        except azure.ServiceResponseTimeoutError:
            raise DeliveryError(
                f"{stream}: rows not accepted: {timeout_reason(self._timeout)}"
            ) from None
        except (azure.AzureError, OSError, ValueError, RecursionError) as error:
            reason, answered = refusal_reason(error, status)
            raise DeliveryError(f"{stream}: rows not accepted: {reason}", answered) from None


class Batch(NamedTuple):
    """The rows of one call as a JSON array, and their number."""

    body: bytes
    rows: int


def batches(rows: Iterable[Row]) -> Iterator[Batch]:
    """Yield the rows in batches, each with as many rows as one call can hold."""
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
    """Return a row's JSON, shortened if it is too long; equal rows give equal bytes."""
    try:
        line, limit = orjson.dumps(row), FIELD_BYTES
        if len(line) > limit:  # otherwise no field is too long
            line = orjson.dumps(shorten_row(row, limit))
        while len(line) + 2 > CALL_BYTES and limit > FIELD_PARTS:
            limit //= 2
            line = orjson.dumps(shorten_row(row, limit))
    except TypeError as error:
        raise DeliveryError(
            f"nothing was sent, because a row cannot be written as JSON ({error}): this is a bug "
            "in the program, please report it"
        ) from error
    return line


def shorten_row(row: Row, limit: int = FIELD_BYTES) -> Row:
    """Return the row with fields of at most `limit` bytes of JSON; sets Shortened if it cut any."""
    fitted = {name: _shorten_value(value, limit) for name, value in row.items()}
    return row if fitted == row else fitted | {"Shortened": True}


def _shorten_value(value: Any, limit: int) -> Any:
    """Cut the end of a text, array or object that is too long; characters stay whole."""
    if _json_size(value) <= limit:
        return value
    parts: Any
    build: type[Any]
    match value:
        case str():
            parts, build = value[:limit], str
        case list() | tuple():
            parts, build = [_shorten_value(item, limit // FIELD_PARTS) for item in value], list
        case dict():
            parts, build = (
                [(key, _shorten_value(value[key], limit // FIELD_PARTS)) for key in value],
                dict,
            )
        case _:
            return value
    counts = range(len(parts) + 1)
    too_many = bisect_right(counts, limit, key=lambda count: _json_size(build(parts[:count])))
    return build(parts[: max(too_many - 1, 0)])


def _json_size(value: object) -> int:
    return len(orjson.dumps(value))


def _requested_wait(response: PipelineResponse[Any, Any]) -> float:
    """Return the seconds that an answer asks to wait; 0 if its headers cannot be read.

    The client's own retries would fail on an unreadable header, so it is removed.
    """
    try:
        return RetryPolicy[Any, Any]().get_retry_after(response) or 0
    except (ValueError, OverflowError):
        headers = response.http_response.headers
        for name in ("Retry-After", "retry-after-ms", "x-ms-retry-after-ms"):
            headers.pop(name, None)
        return 0
