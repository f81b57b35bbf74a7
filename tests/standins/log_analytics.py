"""A Log Analytics service on loopback: real sockets, recorded rows, and every failure on demand.

It reads our own queries well enough to answer them: which table, which times, which statuses.
"""

import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from azure.core.credentials import TokenCredential
from azure.monitor.query import LogsQueryClient

from detection.rule.exclusions import EXCLUSIONS_TABLE
from detection.rule.terms import equals_ignoring_case, has_any
from detection.rule.ticks import DAY, parse, text_of
from tests.standins.client import TOKEN, FakeCredential, loopback
from tests.support import ALLOWLIST, EXCLUSIONS, OPERATIONS, SIGN_INS, response

WORKSPACE = "11111111-2222-3333-4444-555555555555"
PREFER = "wait=600,include-statistics=true"
KINDS = {SIGN_INS: "sign_ins", OPERATIONS: "operations"}
TABLES = (SIGN_INS, OPERATIONS, ALLOWLIST, EXCLUSIONS)
TOO_MANY = {
    "code": "PartialError",
    "message": "There were some errors when processing your query.",
    "details": [
        {
            "code": "EngineError",
            "message": "Something went wrong processing your query on the server.",
            "innererror": {
                "code": "-2133196797",
                "message": "Query result set has exceeded the internal record count limit "
                "(E_QUERY_RESULT_SET_TOO_LARGE)",
                "severity": 2,
                "severityName": "Error",
            },
        }
    ],
}

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Reply:
    """What to answer instead of the rows; `cut` bytes of the body are sent of all announced."""

    status: int = 200
    body: bytes | None = None  # None: the rows all the same
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    delay: float = 0.0
    error: object = None  # beside the rows


@dataclass
class Call:
    """One request that came, when it began and when it was answered."""

    kind: str
    query: str
    began: float
    ended: float = 0.0
    status: int = 0


class LogAnalyticsService:
    """Serves tables of rows until it is closed."""

    def __init__(self, tables: Mapping[str, Rows]) -> None:
        """Serve these; a table that is not named is missing."""
        self.tables = dict(tables)
        self.present: int | None = None  # rows ingested later are not there yet
        self.row_limit: int | None = None
        self.says_when_cut = True
        self.gate: threading.Barrier | None = None  # which reads of rows must reach together
        self.calls: list[Call] = []
        self.complaints: list[str] = []
        self._script: dict[str, deque[Reply]] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def script(self, kind: str, *replies: Reply) -> None:
        """Answer the next calls of a kind so, one after another."""
        with self._lock:
            self._script.setdefault(kind, deque()).extend(replies)

    def called(self, kind: str) -> list[Call]:
        """Return the calls of a kind so far."""
        return [call for call in self.calls if call.kind == kind]

    def next_reply(self, kind: str) -> Reply:
        """Take the reply that was scripted for this call."""
        with self._lock:
            waiting = self._script.get(kind)
            return waiting.popleft() if waiting else Reply()

    def answer(self, kind: str, query: str) -> tuple[int, dict[str, Any]]:
        """Return status and document for a query."""
        if kind == "exclusions":
            if EXCLUSIONS not in self.tables:
                return 400, semantic("SEM0260", "Unknown function: '_GetWatchlist'.")
            names = EXCLUSIONS_TABLE.columns
            items = self.tables[EXCLUSIONS]
            return 200, response(names, [[item.get(name) for name in names] for item in items])
        if kind == "allowlist":
            if ALLOWLIST not in self.tables:
                return 400, semantic("SEM0260", "Unknown function: '_GetWatchlist'.")
            return 200, self._allowlist()
        table = table_of(query)
        if table not in self.tables:
            problem = f"Failed to resolve table or column expression named '{table}'"
            return 400, semantic("SEM0100", f"'where' operator: {problem}")
        rows = [row for row in self.tables[table] if self._is_there(row)]
        answers: dict[str, Callable[[str, Rows], dict[str, Any]]] = {
            "latest": _latest,
            "arrivals": _arrivals,
            "history": _history,
        }
        return 200, answers.get(kind, self._rows)(query, rows)

    def _is_there(self, row: Mapping[str, Any]) -> bool:
        ingested = row.get("IngestionTime")
        return self.present is None or not ingested or parse(ingested) <= self.present

    def _rows(self, query: str, rows: Rows) -> dict[str, Any]:
        start = moment(r"TimeGenerated > \{}", query)
        end = moment(r"TimeGenerated <= \{}", query)
        chosen = [row for row in rows if start < parse(row["TimeGenerated"]) <= end]
        chosen = [row for row in chosen if _passes(row, query)]
        columns = re.findall(r"^ {4}(\w+)(?:,| =|$)", query.partition("| project")[2], re.MULTILINE)
        kept = chosen[: self.row_limit]
        document = response(columns, [[row.get(name) for name in columns] for row in kept])
        if len(kept) < len(chosen) and self.says_when_cut:
            document["error"] = TOO_MANY
        return document | {"statistics": {"query": {"executionTime": 0.01, "groups": [[1], [2]]}}}

    def _allowlist(self) -> dict[str, Any]:
        items: dict[str, tuple[str, Any]] = {}
        for row in self.tables[ALLOWLIST]:
            entry, updated = row.get("IPOrRange"), str(row.get("LastUpdatedTimeUTC") or "")
            item = str(row.get("_DTItemId") or entry)
            if item not in items or items[item][0] <= updated:
                items[item] = (updated, entry)
        return response(["IPOrRange"], [[entry] for _, entry in items.values()])


class _Handler(BaseHTTPRequestHandler):
    """Checks a request, and answers it as scripted or with rows."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or an answer on a kept connection takes 40 ms

    def __init__(self, service: LogAnalyticsService, *arguments: Any) -> None:
        self._service = service
        super().__init__(*arguments)

    def do_POST(self) -> None:
        """Answer a query."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        problem = self._problem(body)
        if problem:
            self._service.complaints.append(problem)
            self._send(Reply(418), json.dumps({"error": {"message": problem}}).encode())
            return
        query = json.loads(body)["query"]
        call = Call(kind_of(query), query, time.monotonic())
        self._service.calls.append(call)
        reply = self._service.next_reply(call.kind)
        if self._service.gate is not None and call.kind in {*KINDS.values(), "allowlist"}:
            self._service.gate.wait(5)
        time.sleep(reply.delay)
        content = reply.body
        if content is None:
            status, document = self._service.answer(call.kind, query)
            extra = {"error": reply.error} if reply.error else {}
            content = json.dumps(document | extra).encode()
            reply = Reply(status, headers=reply.headers, cut=reply.cut)
        call.status, call.ended = reply.status, time.monotonic()
        self._send(reply, content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _problem(self, body: bytes) -> str:
        """Return what is wrong with a request, "" for nothing."""
        checks = {
            "path": self.path == f"/v1/workspaces/{WORKSPACE}/query",
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
            self.wfile.write(content[: reply.cut])
        except OSError:  # the client gave up waiting
            self.close_connection = True
        if reply.cut is not None:
            self.close_connection = True


def client_for(endpoint: str, credential: TokenCredential | None = None) -> LogsQueryClient:
    """Return the SDK's client for a service on loopback."""
    return LogsQueryClient(credential or FakeCredential(), endpoint=endpoint, **loopback())


def recorded_tables(folder: Path) -> dict[str, Rows]:
    """Read a recorded folder as row objects."""
    paths = {name: folder / f"{name}.json" for name in TABLES}
    return {name: _read(path) for name, path in paths.items() if path.exists()}


def semantic(code: str, message: str) -> dict[str, Any]:
    """Return the service's answer to a query with something that is not there."""
    return failure("BadArgumentError", "SemanticError", (code, message))


def failure(*codes: str | tuple[str, str]) -> dict[str, Any]:
    """Return an error document, each error inside the one before it."""
    error: dict[str, Any] = {}
    for code in reversed(codes):
        name, message = code if isinstance(code, tuple) else (code, f"{code} happened.")
        error = {"code": name, "message": message} | ({"innererror": error} if error else {})
    return {"error": error | {"correlationId": "f3b2c1d0-0000-4000-8000-000000000000"}}


def code_of(query: str) -> list[str]:
    """Return a query's lines without comments."""
    return [line.strip() for line in query.splitlines() if line and not line.startswith("//")]


def table_of(query: str) -> str:
    """Return the table that a query begins with."""
    return code_of(query)[0]


MARKS = {
    f'_GetWatchlist("{ALLOWLIST}")': "allowlist",
    f'_GetWatchlist("{EXCLUSIONS}")': "exclusions",
    'endswith "/action"': "actions",
    "bin(TimeGenerated, 1d)": "history",
    "Latest = max(": "latest",
    "Earliest = ": "arrivals",
}


def kind_of(query: str) -> str:
    """Return which of our queries one is."""
    marked = (kind for mark, kind in MARKS.items() if mark in query)
    return next(marked, None) or KINDS[table_of(query)]


def moment(pattern: str, query: str) -> int:
    """Return the time that stands at the braces of a pattern."""
    found = re.search(pattern.replace(r"\{}", r"datetime\(([^)]+)\)"), query)
    assert found is not None, pattern
    return parse(found[1])


def _passes(row: Mapping[str, Any], query: str) -> bool:
    """Apply clause 2 or 3, and the statuses that the query names."""
    statuses = re.search(r"ActivityStatusValue in~ \((.*?)\)", query)
    if statuses is None:
        services = ("Key Vault", "Storage", "Blob")
        return row["ResultType"] == "0" and has_any(row["ResourceDisplayName"] or "", services)
    callers = re.search(r"Caller in~ \((.*?)\)", query)
    if callers is not None:
        return (
            any(equals_ignoring_case(row["Caller"] or "", c) for c in json.loads(f"[{callers[1]}]"))
            and any(
                equals_ignoring_case(row["ActivityStatusValue"] or "", status)
                for status in json.loads(f"[{statuses[1]}]")
            )
            and (row["OperationNameValue"] or "").lower().endswith("/action")
        )
    accepted = [*json.loads(f"[{statuses[1]}]"), "Succeeded"]
    status, name = row["ActivityStatusValue"] or "", row["OperationNameValue"] or ""
    is_change = has_any(name, ("WRITE", "DELETE")) and not has_any(name, ("READ", "LIST", "GET"))
    return is_change and any(equals_ignoring_case(status, one) for one in accepted)


def _latest(query: str, rows: Rows) -> dict[str, Any]:
    now = moment(r"TimeGenerated <= \{}", query)
    times = [parse(row["TimeGenerated"]) for row in rows]
    newest = max((time for time in times if now - DAY < time <= now), default=None)
    return response(["Latest"], [[None if newest is None else text_of(newest)]])


def _history(query: str, rows: Rows) -> dict[str, Any]:
    start = moment(r"TimeGenerated > \{}", query)
    end = moment(r"TimeGenerated <= \{}", query)
    days = {
        (
            row["TimeGenerated"][:10],
            row["Caller"],
            row["OperationNameValue"],
            row.get("ResourceGroup"),
        )
        for row in rows
        if start < parse(row["TimeGenerated"]) <= end and _passes(row, query)
    }
    names = ("TimeGenerated", "Caller", "OperationNameValue", "ResourceGroup")
    return response(names, sorted(days, key=str))


def _arrivals(query: str, rows: Rows) -> dict[str, Any]:
    since = moment(r"ingestion_time\(\) > \{}", query)
    now = moment(r"ingestion_time\(\) <= \{}", query)
    too_late = moment(r"TooLate = countif\(TimeGenerated <= \{}", query)
    examined = moment(r" Late = .* TimeGenerated <= \{}", query)
    came = [row for row in rows if row.get("IngestionTime")]
    came = [row for row in came if since < parse(row["IngestionTime"]) <= now]
    times = [parse(row["TimeGenerated"]) for row in came]
    reachable = [time for time in times if time > too_late]
    earliest = text_of(min(reachable)) if reachable else None
    late = sum(time <= examined for time in reachable)
    columns = ["Earliest", "Late", "TooLate"]
    return response(columns, [[earliest, late, len(times) - len(reachable)]])


def _read(path: Path) -> Rows:
    document = json.loads(path.read_text("utf-8-sig"))
    if isinstance(document, list):
        return [
            {name: None if value == "None" else value for name, value in row.items()}
            for row in document
        ]
    (table,) = document["tables"]
    return objects([column["name"] for column in table["columns"]], table["rows"])


def objects(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Rows:
    """Return rows as objects."""
    return [dict(zip(columns, row, strict=True)) for row in rows]
