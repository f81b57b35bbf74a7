"""One query to a Log Analytics workspace: the request, patience, and what each answer means.

The SDK's own query_workspace decodes an answer twice and builds a dict for each row, so this sends
the request through the same client (its credential, its transport) and reads the body itself. All
that the SDK does not look at is looked at here: status, empty bodies, pages of a proxy, bodies cut
short, and answers that hold only part of the rows.
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
from detection.sources.log_analytics.error_body import ApiError, document_of, is_only_warnings
from detection.sources.log_analytics.http_exchange import HttpResponse, exchange

if TYPE_CHECKING:
    from azure.monitor.query import LogsQueryClient

SERVER_TIMEOUT_S: Final = (
    600  # seconds that the service may take for a query, which is its own limit
)
READ_TIMEOUT_S: Final = SERVER_TIMEOUT_S + 60  # a minute for the largest answer, of 100 MB
MAX_RETRY_WAIT_S: Final = 120  # seconds spent between the tries of one query, all in all
MAX_CONCURRENT_QUERIES: Final = 5  # at once; the service lets one identity's others wait
ROWS_PER_PARTITION: Final = 50_000  # rows of both tables, in some 15 MB of JSON
MIN_ROWS_PER_PARTITION: Final = 20_000
MAX_ROWS_IN_PROCESS: Final = 4_000_000  # rows of both tables
BROKEN_ANSWER: Final = "the answer ends early or is not JSON"

Sleep = Callable[[float], None]


class Limits(NamedTuple):
    """Bounds on the reading of one workspace.

    `rows_per_answer`: the rows at which the API cuts an answer. `read_timeout`: seconds until an
    answer must be complete. `deadline`: the moment (of time.monotonic) after which nothing is
    queried or read. `concurrent_queries`: queries that run at the same time.
    `rows_per_partition`: rows in memory at the same time, unless one identity has more.
    `rows_in_process`: a window of more rows is correlated in the workspace's cluster.
    """

    rows_per_answer: int = ROW_LIMIT
    read_timeout: float = READ_TIMEOUT_S
    deadline: float = inf
    concurrent_queries: int = MAX_CONCURRENT_QUERIES
    rows_per_partition: int = ROWS_PER_PARTITION
    rows_in_process: float = MAX_ROWS_IN_PROCESS

    def shared(self, among: int) -> "Limits":
        """Return what each of several workspaces may take that are read at the same time."""
        return self._replace(
            concurrent_queries=max(self.concurrent_queries // among, 1),
            rows_per_partition=max(
                self.rows_per_partition // among,
                min(self.rows_per_partition, MIN_ROWS_PER_PARTITION),
            ),
        )


class Answer(NamedTuple):
    """The rows that a query gave, all of them, and the size of the body they came in."""

    table: Table
    size: int


class LogAnalytics:
    """Asks one workspace, through a client whose credential and endpoint the caller has chosen."""

    def __init__(
        self,
        *,
        client: "LogsQueryClient",
        workspace_id: str,
        sleep: Sleep = time.sleep,
        limits: Limits = Limits(),  # noqa: B008 - it cannot change
    ) -> None:
        """Name the workspace by the id that its overview page shows."""
        self._workspace_id = workspace_id
        self._client = client
        self._sleep = sleep
        self._limits = limits

    def where(self, shape: TableShape) -> str:
        """Return what errors call a table of this workspace."""
        return self.called(shape.name)

    def called(self, table: str) -> str:
        """Return what errors call the table of this name."""
        return f"{table} in workspace {self._workspace_id}"

    def rest(self, shape: TableShape) -> None:
        """Wait a moment before something is asked again that was answered oddly."""
        self._sleep(min(RETRY_WAIT_S, self._time_left(self.where(shape))))

    def table(self, query: str, shape: TableShape, *columns: str) -> Answer:
        """Return what a query gives that sums a table up in these columns, all as text.

        Raises what ask() raises.
        """
        return self.ask(query, summary_shape(shape, *columns))

    def ask_once_more_if_partial(self, query: str, shape: TableShape, arrival: str = "") -> Answer:
        """Ask what cannot be asked for in halves: once more, where the answer is not whole.

        A cluster that is short of memory for a moment says what one says that can never answer.
        Raises what ask() raises.
        """
        try:
            return self.ask(query, shape, arrival)
        except PartialResult:
            self.rest(shape)
            return self.ask(query, shape, arrival)

    def ask(self, query: str, shape: TableShape, arrival: str = "") -> Answer:
        """Return what a query gives; `shape` names the table asked, and its columns.

        `arrival` names the column that says when a row came, if there is one.

        Raises NotThere for a table that is missing, CutShort for an answer that lacks
        rows, and SourceError for everything else that is not the whole answer.
        """
        where = self.where(shape)
        waited = 0.0
        for attempt in count(1):
            try:
                return self._try(query, shape, arrival, where)
            except TransientError as error:
                waited += error.pause
                if attempt >= error.tries or waited > MAX_RETRY_WAIT_S:
                    times = "once" if attempt == 1 else f"{attempt} times"
                    raise SourceError(
                        f"{where}: {error}; asked {times}, the next run asks again"
                    ) from None
                self._sleep(min(error.pause, self._time_left(where)))
        raise AssertionError

    def _try(self, query: str, shape: TableShape, arrival: str, where: str) -> Answer:
        """Ask once."""
        status, headers, body = self._exchange(query, where)
        if status != 200:
            raise_for_response(status, headers, body, shape=shape, query=query, called=self.called)
        return self._answer(body, shape, arrival, where)

    def _time_left(self, where: str) -> float:
        """Return the seconds left to ask in, more than none."""
        left = self._limits.deadline - time.monotonic()
        if left <= 0:
            raise SourceError(f"{where}: no time was left to ask; the next run asks")
        return left

    def _exchange(self, query: str, where: str) -> HttpResponse:
        """Send the request and read the whole body."""
        request = HttpRequest(
            "POST",
            f"/workspaces/{quote(self._workspace_id, safe='')}/query",
            json={"query": query},
            headers={"Prefer": f"wait={SERVER_TIMEOUT_S},include-statistics=true"},
        )
        seconds = min(self._limits.read_timeout, self._time_left(where))
        return exchange(self._client, request, seconds, where)

    def _answer(self, body: bytes, shape: TableShape, arrival: str, where: str) -> Answer:
        """Decode the body of an answer that says that it is one."""
        start = body[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
        if not start:
            raise TransientError(EMPTY_ANSWER)
        if start.startswith(b"<"):
            raise TransientError(
                "the answer is a web page, not JSON: check for a proxy or sign-in page on the way"
            )
        try:
            table = decode_table(body, shape, where, arrival)
        except SourceError as error:
            document = document_of(body)
            if document is None:
                raise TransientError(BROKEN_ANSWER) from None
            if isinstance(document, dict) and document.get("error"):
                if not is_only_warnings(document["error"]):
                    raise PartialResult(str(ApiError.by(document["error"]))) from None
                return self._answer(_without_error(body), shape, arrival, where)
            # What follows is a value from a row.
            raise SourceError(re.sub(r"(unreadable|not an array)\b.*", r"\1", str(error))) from None
        if len(table.rows) >= self._limits.rows_per_answer:
            raise PartialResult(f"the answer has {len(table.rows)} rows, the most there can be")
        return Answer(table, len(body))


def summary_shape(shape: TableShape, *columns: str) -> TableShape:
    """Return the shape of an answer that sums a table up in these columns, all as text."""
    return shape._replace(columns=columns, required=len(columns), shared=0, timed=False)


def _without_error(body: bytes) -> bytes:
    """Return an answer without the warnings beside its rows; they may show to be no JSON."""
    try:
        document = json.loads(body.decode("utf-8-sig"))
    except ValueError:
        raise TransientError(BROKEN_ANSWER) from None
    del document["error"]
    return json.dumps(document).encode()
