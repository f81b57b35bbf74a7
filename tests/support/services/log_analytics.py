"""The emulated Log Analytics, with any failure on request.

Its failures are those of the real service: a comment beside each names the page or public thread
that shows it.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from azure.core.credentials import TokenCredential
from azure.monitor.query import LogsQueryClient

from detection.kql.render import FOLDER
from detection.rule.ticks import from_datetime, parse_time
from detection.sources.recorded.raw_tables import raw_tables
from emulator.kusto.workspace import QueryRefused, Workspace
from emulator.services.api_errors import api_error, semantic_error, too_many_rows
from emulator.services.http_server import LoopbackServer, QuietHandler
from emulator.services.identity import TOKEN
from emulator.services.log_analytics import refused, respond_with_rows
from tests.support import (
    ALLOWLIST,
    EXCLUSIONS,
    OPERATIONS,
    SIGN_INS,
)
from tests.support.services import known_queries
from tests.support.services.client import FakeCredential, loopback
from tests.support.services.known_queries import Rows, needed

ALWAYS = parse_time("9999-12-31")
WORKSPACE = "11111111-2222-3333-4444-555555555555"
PREFER = "wait=600,include-statistics=true"
TABLES = (SIGN_INS, OPERATIONS, ALLOWLIST, EXCLUSIONS)
WATCHLISTS = {"allowlist": ALLOWLIST, "exclusions": EXCLUSIONS}  # tables by the kind of query
KINDS = {  # of the product's queries, by file name
    **{path.stem: path.stem for path in FOLDER.glob("*.kql")},
    "read_sign_ins": "sign_ins",
    "read_operations": "operations",
}
# A workspace without Microsoft Sentinel has no function for watchlists. These are Kusto's words
# from learn.microsoft.com/kusto, and the words of Log Analytics about another unknown function
# (in the warnings of a fuzzy union, github.com/Azure/Azure-Sentinel/issues/13874). No public
# source shows the error code for an unknown function in a query of its own.
NO_WATCHLISTS = (
    ("SEM0260", "Unknown function: '_GetWatchlist'."),
    ("SEM0100", "'project' operator: Failed to resolve tabular function named '_GetWatchlist'"),
)
# github.com/grafana/grafana/issues/89818, github.com/Azure/azure-sdk-for-go/issues/24606
OTHER_PLAN = (
    "UnsupportedApiQueryValidationError",
    (
        "Query of Basic Logs table is not supported with the API "
        "'https://api.loganalytics.io/v1/workspaces/{workspaceId}/query'.\nYou can use "
        "'https://api.loganalytics.io/v1/workspaces/{workspaceId}/search' instead.\nTo learn more "
        "on queries on Basic Logs table, read here: https://aka.ms/basicLogsQueryAPI."
    ),
)
# github.com/Bert-JanP/Sentinel-Automation/issues/2
TOO_COMPLEX = (
    "SyntaxError",
    (
        "Request is invalid and cannot be processed: Semantic error: CRT0015: Query complexity "
        "exceeded: the relational operators tree exceeded the limits."
    ),
)
# github.com/microsoft/fabric-toolbox/issues/31
LOW_MEMORY = (
    "EngineError",
    (
        "Query execution lacks memory resources to complete (80DA0007): Partial query failure: Low "
        "memory condition (E_LOW_MEMORY_CONDITION). (message: 'bad allocation "
        "(E_LOW_MEMORY_CONDITION)', details: '')."
    ),
)
# learn.microsoft.com/kusto/concepts/query-limits (the message),
# github.com/microsoft/Kusto-Query-Language/issues/140 (the code)
RUNAWAY = (
    "-2133196799",
    (
        "Partial query failure: Runaway query (E_RUNAWAY_QUERY). (message: The ClusterBy operator "
        "has exceeded the memory budget during evaluation. Results may be incorrect or incomplete)"
    ),
)
LIMITED = {
    "sign_ins",
    "operations",
    "correlate",
    "pairs",
    "recording",
}  # the kinds whose rows a test may limit
BEGINNINGS = {
    name: (FOLDER / f"{name}.kql").read_text("utf-8").partition("\n")[0] for name in KINDS
}


@dataclass(frozen=True)
class Reply:
    """A scripted answer; of its body only `cut` bytes are sent, though all are announced.

    `drip` seconds pass before each byte of the body.
    """

    status: int = 200
    body: bytes | None = None  # None: the usual rows
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    delay: float = 0.0
    drip: float = 0.0
    after: threading.Event | None = None  # an event to wait for
    error: object = None  # an error beside the rows


@dataclass
class Call:
    """One received request, with the times when it began and was answered."""

    kind: str
    query: str
    began: float
    ended: float = 0.0
    status: int = 0
    workspace: str = WORKSPACE
    rows: int = 0


class LogAnalyticsService(LoopbackServer):
    """Serves tables of rows until it is closed."""

    def __init__(self, tables: Mapping[str, Rows]) -> None:
        """Serve these tables; any other table is missing."""
        super().__init__(partial(_Handler, self))
        self.tables = dict(tables)
        self.workspaces = {WORKSPACE}  # each answers with these tables
        self.always: dict[str, Reply] = {}  # one answer to every call of a workspace
        self.present: int | None = (
            None  # rows with a later SeenFrom or IngestionTime are not returned
        )
        self.quick = True  # answer the product's own queries without DuckDB where possible
        self.pace = 0.0  # seconds before each answer
        self.other_plan: set[str] = set()  # tables that are not on the Analytics plan
        self.no_watchlists = NO_WATCHLISTS[0]  # the error of a workspace without watchlists
        self.row_limit: int | None = None
        self.says_when_cut = True
        self.gate: threading.Barrier | None = None  # kinds of queries that wait for each other
        self.gated: Collection[str] = ()
        self.calls: list[Call] = []
        self.complaints: list[str] = []
        self._script: dict[str, deque[Reply]] = {}
        self._contents: dict[str, list[int]] | None = None
        self._lock = threading.Lock()

    def script(self, kind: str, *replies: Reply) -> None:
        """Script answers to the next calls of a kind, or of a kind "of" a table, in order."""
        with self._lock:
            self._script.setdefault(kind, deque()).extend(replies)

    def recover(self) -> None:
        """Drop the rest of the script."""
        with self._lock:
            self._script.clear()

    def called(self, kind: str) -> list[Call]:
        """Return the calls of a kind so far."""
        return [call for call in self.calls if call.kind == kind]

    def next_reply(self, call: Call) -> Reply:
        """Return the scripted reply to this call."""
        with self._lock:
            named = needed(call.query)[-1:]
            for kind in (call.kind, *(f"{call.kind} of {table}" for table in named)):
                if waiting := self._script.get(kind):
                    return waiting.popleft()
        return Reply()

    def answer(self, kind: str, query: str) -> tuple[int, dict[str, Any]]:
        """Return status and document for a query."""
        named = needed(query)
        if self.other_plan & set(named):
            return 400, api_error("BadArgumentError", OTHER_PLAN)
        now = self.present or from_datetime(datetime.now(UTC))
        missing = [table for table in named if table not in self.tables]
        no_watchlists = kind in WATCHLISTS and not set(WATCHLISTS.values()) & self.tables.keys()
        if self.quick and not missing and not no_watchlists:
            there = {name: self._there(name) for name in self.tables}
            if document := known_queries.answer(kind, query, there, now):
                return 200, self._cut(document) if kind in LIMITED else document
        try:
            document = respond_with_rows(self._workspace().ask(query, now))
        except QueryRefused as refusal:
            if refusal.missing.startswith("_"):
                return 400, semantic_error(*self.no_watchlists)
            return 400, refused(refusal)
        return 200, self._cut(document) if kind in LIMITED else document

    def _there(self, table: str) -> Rows:
        return [row for row in self.tables.get(table, []) if self._is_there(row)]

    def _is_there(self, row: Mapping[str, Any]) -> bool:
        seen = row.get("SeenFrom") or row.get("IngestionTime")
        return self.present is None or not seen or parse_time(seen) <= self.present

    def _workspace(self) -> Workspace:
        """Return a workspace with the tables as they are now."""
        with self._lock:
            there = {name: self._there(name) for name in self.tables}
            contents = {name: list(map(id, rows)) for name, rows in there.items()}
            if contents != self._contents:
                self._contents, self._emulated = contents, Workspace(there)
            return self._emulated

    def _cut(self, document: dict[str, Any]) -> dict[str, Any]:
        """Truncate the rows to the limit, with an error if so configured."""
        (table,) = document["tables"]
        if self.row_limit is not None and len(table["rows"]) > self.row_limit:
            table["rows"] = table["rows"][: self.row_limit]
            document |= {"error": too_many_rows()} if self.says_when_cut else {}
        return document | {"statistics": {"query": {"executionTime": 0.01, "groups": [[1], [2]]}}}


class _Handler(QuietHandler):
    """Checks a request, and answers it from the script or with rows."""

    def __init__(self, service: LogAnalyticsService, *arguments: Any) -> None:
        self._service = service
        super().__init__(*arguments)

    def do_POST(self) -> None:  # noqa: N802 - its name in http.server
        """Answer a query."""
        body = self.body()
        problem = self._problem(body)
        if problem:
            self._service.complaints.append(problem)
            self._send(Reply(418), json.dumps({"error": {"message": problem}}).encode())
            return
        query = json.loads(body)["query"]
        workspace = self.path.split("/")[3]
        call = Call(kind_of(query), query, time.monotonic(), workspace=workspace)
        self._service.calls.append(call)
        reply = self._service.always.get(workspace) or self._service.next_reply(call)
        if self._service.gate is not None and call.kind in self._service.gated:
            self._service.gate.wait(60)
        time.sleep(reply.delay or self._service.pace)
        if reply.after is not None:
            reply.after.wait(300)
        content = reply.body
        if content is None:
            status, document = self._service.answer(call.kind, query)
            extra = {"error": reply.error} if reply.error else {}
            content = json.dumps(document | extra).encode()
            reply = Reply(status, headers=reply.headers, cut=reply.cut, drip=reply.drip)
        call.status, call.ended = reply.status, time.monotonic()
        self._send(reply, content)

    def _problem(self, body: bytes) -> str:
        """Return the problem with a request, or ""."""
        checks = {
            "path": self.path
            in {f"/v1/workspaces/{name}/query" for name in self._service.workspaces},
            "token": self.headers.get("Authorization") == f"Bearer {TOKEN}",
            "type": self.headers.get("Content-Type") == "application/json",
            "prefer": self.headers.get("Prefer") == PREFER,
            "body": list(json.loads(body)) == ["query"],
        }
        return ", ".join(name for name, fine in checks.items() if not fine)

    def _send(self, reply: Reply, content: bytes) -> None:
        try:
            self.send_response(reply.status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if reply.status != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            for piece in _pieces(content[: reply.cut], reply.drip):
                self.wfile.write(piece)
                time.sleep(reply.drip)
        except OSError:  # the client stopped waiting
            self.close_connection = True
        if reply.cut is not None:
            self.close_connection = True


def _pieces(content: bytes, drip: float) -> Iterator[bytes]:
    """Yield a body whole, or byte by byte."""
    step = 1 if drip else len(content) or 1
    yield from (content[at : at + step] for at in range(0, len(content), step))


def client_for(endpoint: str, credential: TokenCredential | None = None) -> LogsQueryClient:
    """Return the SDK's client for a service on loopback."""
    return LogsQueryClient(credential or FakeCredential(), endpoint=endpoint, **loopback())


def recorded_tables(folder: Path) -> dict[str, Rows]:
    """Return a recorded folder's tables as row objects."""
    return {name: rows for name, rows in raw_tables(folder).items() if name in TABLES}


def kind_of(query: str) -> str:
    """Return the name of a query of the product, which is in the first comment of its file."""
    first = query.partition("\n")[0]
    return next((KINDS[name] for name, begins in BEGINNINGS.items() if begins == first), "other")
