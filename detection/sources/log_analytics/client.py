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
from detection.sources.log_analytics.api_errors import EMPTY, PAUSE, CutShort, MayPass, refuse
from detection.sources.log_analytics.error_body import Said, document_of, is_whole
from detection.sources.log_analytics.http_exchange import Exchanged, exchange

if TYPE_CHECKING:
    from azure.monitor.query import LogsQueryClient

WAIT: Final = 600  # seconds that the service may take for a query, which is its own limit
READ_TIMEOUT: Final = WAIT + 60  # which leaves a minute for the largest answer, of 100 MB
PATIENCE: Final = 120  # seconds spent between the tries of one query, all in all
QUERIES: Final = 5  # at once; the service lets one identity's others wait
TOGETHER: Final = 50_000  # rows of both tables, in some 15 MB of JSON
LEAST_TOGETHER: Final = 20_000
HERE: Final = 4_000_000  # rows of both tables
BROKEN: Final = "the answer ends early or is not JSON"

Sleep = Callable[[float], None]


class Limits(NamedTuple):
    """What one workspace may take while it is read.

    `rows` are the most that an answer has, `silence` the seconds that the service may take until
    an answer is whole, `until` the moment (of time.monotonic) from which nothing is asked or read
    any more. `queries` run at once, `together` rows are in memory at once where identities can be
    told apart, and a window of more than `here` rows is correlated in the workspace.
    """

    rows: int = ROW_LIMIT
    silence: float = READ_TIMEOUT
    until: float = inf
    queries: int = QUERIES
    together: int = TOGETHER
    here: float = HERE

    def shared(self, among: int) -> "Limits":
        """Return what each of several workspaces may take that are read at the same time."""
        return self._replace(
            queries=max(self.queries // among, 1),
            together=max(self.together // among, min(self.together, LEAST_TOGETHER)),
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
        self._sleep(min(PAUSE, self._time_left(self.where(shape))))

    def table(self, query: str, shape: TableShape, *columns: str) -> Answer:
        """Return what a query gives that sums a table up in these columns, all as text.

        Raises what ask() raises.
        """
        return self.ask(query, summary(shape, *columns))

    def undivided(self, query: str, shape: TableShape, arrival: str = "") -> Answer:
        """Ask what cannot be asked for in halves: once more, where the answer is not whole.

        A cluster that is short of memory for a moment says what one says that can never answer.
        Raises what ask() raises.
        """
        try:
            return self.ask(query, shape, arrival)
        except CutShort:
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
            except MayPass as error:
                waited += error.pause
                if attempt >= error.tries or waited > PATIENCE:
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
            refuse(status, headers, body, shape=shape, query=query, called=self.called)
        return self._answer(body, shape, arrival, where)

    def _time_left(self, where: str) -> float:
        """Return the seconds left to ask in, more than none."""
        left = self._limits.until - time.monotonic()
        if left <= 0:
            raise SourceError(f"{where}: no time was left to ask; the next run asks")
        return left

    def _exchange(self, query: str, where: str) -> Exchanged:
        """Send the request and read the whole body."""
        request = HttpRequest(
            "POST",
            f"/workspaces/{quote(self._workspace_id, safe='')}/query",
            json={"query": query},
            headers={"Prefer": f"wait={WAIT},include-statistics=true"},
        )
        seconds = min(self._limits.silence, self._time_left(where))
        return exchange(self._client, request, seconds, where)

    def _answer(self, body: bytes, shape: TableShape, arrival: str, where: str) -> Answer:
        """Decode the body of an answer that says that it is one."""
        start = body[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
        if not start:
            raise MayPass(EMPTY)
        if start.startswith(b"<"):
            raise MayPass(
                "the answer is a web page, not JSON: check for a proxy or sign-in page on the way"
            )
        try:
            table = decode_table(body, shape, where, arrival)
        except SourceError as error:
            document = document_of(body)
            if document is None:
                raise MayPass(BROKEN) from None
            if isinstance(document, dict) and document.get("error"):
                if not is_whole(document["error"]):
                    raise CutShort(str(Said.by(document["error"]))) from None
                return self._answer(_without_error(body), shape, arrival, where)
            # What follows is a value from a row.
            raise SourceError(re.sub(r"(unreadable|no array)\b.*", r"\1", str(error))) from None
        if len(table.rows) >= self._limits.rows:
            raise CutShort(f"the answer has {len(table.rows)} rows, the most there can be")
        return Answer(table, len(body))


def summary(shape: TableShape, *columns: str) -> TableShape:
    """Return the shape of an answer that sums a table up in these columns, all as text."""
    return shape._replace(columns=columns, required=len(columns), shared=0, timed=False)


def _without_error(body: bytes) -> bytes:
    """Return an answer without the warnings beside its rows; they may show to be no JSON."""
    try:
        document = json.loads(body.decode("utf-8-sig"))
    except ValueError:
        raise MayPass(BROKEN) from None
    del document["error"]
    return json.dumps(document).encode()
