"""Runs one query on a Log Analytics workspace: sends it, retries it, and decodes the answer.

The SDK's own query_workspace decodes an answer twice and builds a dict for each row. This module
sends the request through the same client (its credential and transport) and decodes the body
itself. It also checks what the SDK ignores: the status, empty bodies, a proxy's pages, incomplete
bodies, and answers that hold only part of the rows.
"""

import json
import re
import time
from collections.abc import Callable
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

from azure.core.rest import HttpRequest

from detection.errors import SourceError
from detection.rule.log_rows import TableShape
from detection.sources.decode.response import decode_table
from detection.sources.decode.table import ROW_LIMIT, Table
from detection.sources.log_analytics.api_errors import (
    EMPTY_ANSWER,
    RETRY_WAIT_S,
    PartialResult,
    TransientError,
    raise_for_response,
)
from detection.sources.log_analytics.error_body import ApiError, is_only_warnings, parse_document
from detection.sources.log_analytics.http_exchange import HttpResponse, exchange

if TYPE_CHECKING:
    from azure.monitor.query import LogsQueryClient

SERVER_TIMEOUT_S: Final = 600  # for running a query; the service allows no more
READ_TIMEOUT_S: Final = SERVER_TIMEOUT_S + 60  # a minute to receive the largest answer, 100 MB
MAX_RETRY_WAIT_S: Final = 120  # between all tries of one query together
MAX_CONCURRENT_QUERIES: Final = 5  # the service queues further ones of the same identity
ROWS_PER_PARTITION: Final = 50_000  # of both tables, about 15 MB of JSON
MIN_ROWS_PER_PARTITION: Final = 20_000
MAX_ROWS_IN_PROCESS: Final = 4_000_000  # of both tables
BROKEN_ANSWER: Final = "the answer ends early or is not JSON"

Sleep = Callable[[float], None]


class Limits(NamedTuple):
    """Limits on reading one workspace.

    `rows_per_answer`: the API truncates an answer at this number of rows. `read_timeout`: seconds
    until an answer must be complete. `deadline`: the time (time.monotonic, seconds) after which
    nothing is queried or read. `concurrent_queries`: queries that may run at the same time.
    `rows_per_partition`: rows of both tables in memory at the same time, unless one identity has
    more. `rows_in_process`: a window of more rows is correlated in the workspace's cluster.
    """

    rows_per_answer: int = ROW_LIMIT
    read_timeout: float = READ_TIMEOUT_S
    deadline: float = inf
    concurrent_queries: int = MAX_CONCURRENT_QUERIES
    rows_per_partition: int = ROWS_PER_PARTITION
    rows_in_process: float = MAX_ROWS_IN_PROCESS

    def shared(self, among: int) -> "Limits":
        """Return the limits for each of `among` workspaces that are read at the same time."""
        return self._replace(
            concurrent_queries=max(self.concurrent_queries // among, 1),
            rows_per_partition=max(
                self.rows_per_partition // among,
                min(self.rows_per_partition, MIN_ROWS_PER_PARTITION),
            ),
        )


class Answer(NamedTuple):
    """All rows of a query, and the size of the answer's body in bytes."""

    table: Table
    size: int


class LogAnalytics:
    """Runs queries on one workspace, through a client with the caller's credential and endpoint."""

    def __init__(
        self,
        *,
        client: "LogsQueryClient",
        workspace_id: str,
        sleep: Sleep = time.sleep,
        limits: Limits = Limits(),  # noqa: B008 - it cannot change
    ) -> None:
        """`workspace_id` is the Workspace ID on the overview page; `sleep` takes seconds."""
        self._workspace_id = workspace_id
        self._client = client
        self._sleep = sleep
        self._limits = limits

    def describe(self, shape: TableShape) -> str:
        """Return the name of a table and of this workspace, as an error message begins."""
        return self.describe_table(shape.name)

    def describe_table(self, table: str) -> str:
        """Return the same for a table or watchlist, given its name."""
        return f"{table} in workspace {self._workspace_id}"

    def pause_before_retry(self, shape: TableShape) -> None:
        """Wait, before the caller repeats a query whose answer contradicts another one."""
        self._sleep(min(RETRY_WAIT_S, self._seconds_left(self.describe(shape))))

    def query_summary(self, query: str, shape: TableShape, *columns: str) -> Answer:
        """Run a query whose answer has these columns, all text, instead of those of the table.

        Raises what run_query() raises.
        """
        return self.run_query(query, summary_shape(shape, *columns))

    def run_query_retrying_partial(
        self, query: str, shape: TableShape, arrival_column: str = ""
    ) -> Answer:
        """Run a query that cannot be split into halves; run it once more if its answer is partial.

        A cluster that is short of memory for a moment gives the same error as one that can never
        answer. Raises what run_query() raises.
        """
        try:
            return self.run_query(query, shape, arrival_column)
        except PartialResult:
            self.pause_before_retry(shape)
            return self.run_query(query, shape, arrival_column)

    def run_query(self, query: str, shape: TableShape, arrival_column: str = "") -> Answer:
        """Run a query and return its complete answer; retry it if a failure may pass.

        `shape` names the table and the columns of the answer; `arrival_column` names the column
        with the ingestion times, if any.

        Raises TableMissing for a missing table, PartialResult for an answer that lacks rows, and
        SourceError for any other failure.
        """
        where = self.describe(shape)
        waited = 0.0
        for attempt in count(1):
            try:
                return self._send_once(query, shape, arrival_column, where)
            except TransientError as error:
                waited += error.pause
                if attempt >= error.tries or waited > MAX_RETRY_WAIT_S:
                    times = "once" if attempt == 1 else f"{attempt} times"
                    raise SourceError(
                        f"{where}: {error}; tried {times}, the next run tries again"
                    ) from None
                self._sleep(min(error.pause, self._seconds_left(where)))
        raise AssertionError

    def _send_once(self, query: str, shape: TableShape, arrival_column: str, where: str) -> Answer:
        """Send the query once and decode the answer."""
        status, headers, body = self._exchange(query, where)
        if status != 200:
            raise_for_response(
                status, headers, body, shape=shape, query=query, describe_table=self.describe_table
            )
        return self._decode_answer(body, shape, arrival_column, where)

    def _seconds_left(self, where: str) -> float:
        """Return the seconds until the deadline, more than 0; raises SourceError after it."""
        left = self._limits.deadline - time.monotonic()
        if left <= 0:
            raise SourceError(f"{where}: no time was left to query it; the next run queries it")
        return left

    def _exchange(self, query: str, where: str) -> HttpResponse:
        """Send the request and read the complete answer."""
        request = query_request(self._workspace_id, query)
        seconds = min(self._limits.read_timeout, self._seconds_left(where))
        return exchange(self._client, request, seconds, where)

    def _decode_answer(
        self, body: bytes, shape: TableShape, arrival_column: str, where: str
    ) -> Answer:
        """Decode the body of an answer with status 200."""
        start = body[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
        if not start:
            raise TransientError(EMPTY_ANSWER)
        if start.startswith(b"<"):
            raise TransientError(
                "the answer is a web page, not JSON: look for a proxy or a sign-in page on the way"
            )
        try:
            table = decode_table(body, shape, where, arrival_column)
        except SourceError as error:
            document = parse_document(body)
            if document is None:
                raise TransientError(BROKEN_ANSWER) from None
            if isinstance(document, dict) and document.get("error"):
                if not is_only_warnings(document["error"]):
                    raise PartialResult(str(ApiError.parse(document["error"]))) from None
                return self._decode_answer(_without_error(body), shape, arrival_column, where)
            # The rest of the message may hold a value of a row, which no error may show.
            raise SourceError(re.sub(r"(unreadable|not an array)\b.*", r"\1", str(error))) from None
        if len(table.rows) >= self._limits.rows_per_answer:
            raise PartialResult(f"the answer has {len(table.rows)} rows, the maximum of one query")
        return Answer(table, len(body))


def query_request(workspace_id: str, query: str) -> HttpRequest:
    """Return the request that runs a query on a workspace."""
    return HttpRequest(
        "POST",
        f"/workspaces/{quote(workspace_id, safe='')}/query",
        json={"query": query},
        headers={"Prefer": f"wait={SERVER_TIMEOUT_S},include-statistics=true"},
    )


def summary_shape(shape: TableShape, *columns: str) -> TableShape:
    """Return the shape of an answer that summarises a table in these columns, all text."""
    return shape._replace(columns=columns, required=len(columns), shared=0, timed=False)


def _without_error(body: bytes) -> bytes:
    """Return the body without its `error`; raises TransientError if it is not JSON after all."""
    try:
        document = json.loads(body.decode("utf-8-sig"))
    except ValueError:
        raise TransientError(BROKEN_ANSWER) from None
    del document["error"]
    return json.dumps(document).encode()
