"""A stand-in for Log Analytics: real sockets, recorded rows, and any failure on request.

It understands the tables, times, statuses and buckets of the product's own queries, and runs the
correlation queries unchanged in DuckDB. Its answers are those of the real service: a comment beside
each names the page or public thread that shows it.
"""

import json
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from azure.core.credentials import TokenCredential
from azure.monitor.query import LogsQueryClient

from detection.kql.constants import BUCKETS
from detection.kql.render import FOLDER
from detection.rule.exclusions import EXCLUSIONS_TABLE
from detection.rule.kql_text import equals_ignoring_case, has_any, is_blank
from detection.rule.log_rows import OPERATION_TABLE, SIGN_IN_TABLE
from detection.rule.ticks import DAY, format_time, from_datetime, parse_time
from detection.sources.identity_columns import ANSWER
from detection.sources.workspace.context import LATE_CHANGES_SHAPE
from detection.sources.workspace.counts import COUNT_COLUMNS
from tests.support import (
    ALLOWLIST,
    EXCLUSIONS,
    OPERATIONS,
    SIGN_INS,
    kusto,
    naive_rule,
    response,
)
from tests.support.kusto import bucket_of, duration
from tests.support.services.client import TOKEN, FakeCredential, loopback

ALWAYS = parse_time("9999-12-31")
WORKSPACE = "11111111-2222-3333-4444-555555555555"
PREFER = "wait=600,include-statistics=true"
TABLES = (SIGN_INS, OPERATIONS, ALLOWLIST, EXCLUSIONS)
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


def warned(*messages: str, severity: object = 3) -> dict[str, Any]:
    """Return the error beside the rows of a fuzzy union that skipped something.

    github.com/Azure/azure-sdk-for-python/issues/25137 shows the whole body; 3 is "Warning", 2 and
    1 are failures (learn.microsoft.com/kusto/concepts/partial-query-failures).
    """
    details = [
        {
            "code": "EngineError",
            "message": "Something went wrong processing your query on the server.",
            "innererror": {
                "code": "-2133196790",
                "message": message,
                "severity": severity,
                "severityName": "Warning",
            },
        }
        for message in messages
    ]
    return TOO_MANY | {"details": details}


def unresolved(table: str) -> str:
    """Return the service's message about a missing table.

    github.com/Azure/Azure-Sentinel/issues/2138 shows the words, azure-sdk-for-python/issues/25137
    too.
    """
    return f"'where' operator: Failed to resolve table or column expression named '{table}'"


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


class LogAnalyticsService:
    """Serves tables of rows until it is closed."""

    def __init__(self, tables: Mapping[str, Rows]) -> None:
        """Serve these tables; any other table is missing."""
        self.tables = dict(tables)
        self.workspaces = {WORKSPACE}  # each answers with these tables
        self.always: dict[str, Reply] = {}  # one answer to every call of a workspace
        self.present: int | None = (
            None  # rows with a later SeenFrom or IngestionTime are not returned
        )
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
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.005,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def endpoint(self) -> str:
        """Return the service's address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

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
        if kind == "clock":  # in UTC, to the tick: learn.microsoft.com/kusto/query/now-function
            now = self.present or from_datetime(datetime.now(UTC))
            return 200, response(["Now"], [[format_time(now)]])
        return self._answer(kind, query)

    def _answer(self, kind: str, query: str) -> tuple[int, dict[str, Any]]:
        if kind in {"allowlist", "exclusions"}:
            # In a workspace with watchlists, an unknown alias gives no row and no error.
            if not {ALLOWLIST, EXCLUSIONS} & self.tables.keys():
                return 400, semantic(*self.no_watchlists)
            return 200, self._allowlist() if kind == "allowlist" else self._exclusions()
        named = needed(query)
        if self.other_plan & set(named):
            return 400, failure("BadArgumentError", OTHER_PLAN)
        missing = [table for table in named if table not in self.tables]
        if missing and "isfuzzy=true" not in query:
            return 400, semantic("SEM0100", unresolved(missing[0]))
        extra = {"error": warned(*map(unresolved, missing))} if missing else {}
        there = {name: self._there(name) for name in (SIGN_INS, OPERATIONS)}
        answers: dict[str, Callable[[str, Mapping[str, Rows]], dict[str, Any]]] = {
            "latest": _latest,
            "arrivals": _arrivals,
            "count_sign_ins": _count_sign_ins,
            "count_operations": _count_operations,
            "addresses": _addresses,
            "correlate": _in_duckdb,
            "pairs": _in_duckdb,
            "near_misses": _near_misses,
            "baseline": _history,
            "actions": _actions,
            "identity_details": _details,
        }
        document = answers.get(kind, _rows)(query, there)
        return 200, (self._cut(document) if kind in LIMITED else document) | extra

    def _there(self, table: str) -> Rows:
        return [row for row in self.tables.get(table, []) if self._is_there(row)]

    def _is_there(self, row: Mapping[str, Any]) -> bool:
        seen = row.get("SeenFrom") or row.get("IngestionTime")
        return self.present is None or not seen or parse_time(seen) <= self.present

    def _cut(self, document: dict[str, Any]) -> dict[str, Any]:
        """Truncate the rows to the limit, with an error if so configured."""
        (table,) = document["tables"]
        if self.row_limit is not None and len(table["rows"]) > self.row_limit:
            table["rows"] = table["rows"][: self.row_limit]
            document |= {"error": TOO_MANY} if self.says_when_cut else {}
        return document | {"statistics": {"query": {"executionTime": 0.01, "groups": [[1], [2]]}}}

    def _allowlist(self) -> dict[str, Any]:
        items: dict[str, tuple[str, Any]] = {}
        for row in self.tables.get(ALLOWLIST, []):
            entry, updated = row.get("IPOrRange") or "", str(row.get("LastUpdatedTimeUTC") or "")
            item = str(row.get("_DTItemId") or entry)
            if item not in items or items[item][0] <= updated:
                items[item] = (updated, entry)
        return response(["IPOrRange"], [[entry] for _, entry in items.values()])

    def _exclusions(self) -> dict[str, Any]:
        names = EXCLUSIONS_TABLE.columns
        items = self.tables.get(EXCLUSIONS, [])
        return response(names, [[item.get(name) or "" for name in names] for item in items])


class _Handler(BaseHTTPRequestHandler):
    """Checks a request, and answers it from the script or with rows."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # otherwise an answer on an open connection takes 40 ms

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

    def log_message(self, *_: object) -> None:
        """Write no log."""

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
    paths = {name: folder / f"{name}.json" for name in TABLES}
    return {name: _read(path) for name, path in paths.items() if path.exists()}


def semantic(code: str, message: str) -> dict[str, Any]:
    """Return the service's error for a query that names something unknown."""
    return failure("BadArgumentError", "SemanticError", (code, message))


def failure(*codes: str | tuple[str, str]) -> dict[str, Any]:
    """Return an error document, with each error inside the one before."""
    error: dict[str, Any] = {}
    for code in reversed(codes):
        name, message = code if isinstance(code, tuple) else (code, f"{code} happened.")
        error = {"code": name, "message": message} | ({"innererror": error} if error else {})
    return {"error": error | {"correlationId": "f3b2c1d0-0000-4000-8000-000000000000"}}


def kind_of(query: str) -> str:
    """Return the name of a query, which is in the first comment of its file."""
    first = query.partition("\n")[0]
    (name,) = [name for name, begins in BEGINNINGS.items() if begins == first]
    return KINDS[name]


def needed(query: str) -> list[str]:
    """Return the tables in a query, in order."""
    return re.findall(rf"^ *({SIGN_INS}|{OPERATIONS})$", query, re.MULTILINE)


def part_of(query: str, table: str) -> str:
    """Return the part of a query about one of the tables; sign-ins come first."""
    before, found, after = query.partition(OPERATIONS)
    return after if table == OPERATIONS and found else before


def time_in(pattern: str, query: str) -> int:
    """Return the time that a pattern captures in a query."""
    found = re.search(pattern.replace(r"\{}", r"datetime\(([^)]+)\)"), query)
    assert found is not None, pattern
    return parse_time(found[1])


def _chosen(query: str, table: str, there: Mapping[str, Rows]) -> Rows:
    """Apply clause 2 or 3, with the times, statuses and buckets in the query."""
    text = part_of(query, table)
    start, end = time_in(r"TimeGenerated > \{}", text), time_in(r"TimeGenerated <= \{}", text)
    now = time_in(r"ingestion_time\(\) <= \{}", text)
    between = re.search(r"Bucket between \((\d+) \.\. (\d+)\)", query)
    low, high = map(int, between.groups()) if between else (0, BUCKETS)
    rows = [row for row in there[table] if start < parse_time(row["TimeGenerated"]) <= end]
    rows = [row for row in rows if parse_time(row.get("IngestionTime") or "1970-01-01") <= now]
    rows = [row for row in rows if low <= bucket_of(identity_of(row)) <= high]
    if table == SIGN_INS:
        return [row for row in rows if row["ResultType"] == "0" and _is_target(row)]
    statuses = re.search(r"in~ \((.*?)\)", text)
    assert statuses is not None
    accepted = [*json.loads(f"[{statuses[1]}]"), "Succeeded"]
    return [row for row in rows if _is_change(row) and _status_in(row, accepted)]


def _is_target(row: Mapping[str, Any]) -> bool:
    return has_any(row["ResourceDisplayName"] or "", ("Key Vault", "Storage", "Blob"))


def _is_change(row: Mapping[str, Any]) -> bool:
    name = row["OperationNameValue"] or ""
    return has_any(name, ("WRITE", "DELETE")) and not has_any(name, ("READ", "LIST", "GET"))


def _status_in(row: Mapping[str, Any], accepted: Iterable[str]) -> bool:
    status = row["ActivityStatusValue"] or ""
    return any(equals_ignoring_case(status, one) for one in accepted)


def identity_of(row: Mapping[str, Any]) -> str:
    """Return the identity of a row."""
    return str(row.get("ServicePrincipalId", row.get("Caller")) or "")


def _signed_in(query: str, there: Mapping[str, Rows]) -> set[str]:
    """Return the identities that signed in, or None if the query does not use them."""
    if SIGN_INS not in query:
        return set()
    names = {identity_of(row).lower() for row in _chosen(query, SIGN_INS, there)}
    return {name for name in names if not is_blank(name)}


def _rows(query: str, there: Mapping[str, Rows]) -> dict[str, Any]:
    table = OPERATIONS if OPERATIONS in query else SIGN_INS
    rows = _chosen(query, table, there)
    if table == OPERATIONS and SIGN_INS in query:
        known = _signed_in(query, there)
        rows = [row for row in rows if identity_of(row).lower() in known]
    listed = part_of(query, table).partition("| project\n")[2]
    away = set(query.rpartition("| project-away ")[2].strip().split(", "))
    named = re.findall(r"^ {4}(\w+)(?:,| =|$)", listed, re.MULTILINE)
    columns = [name for name in named if name not in away]
    return response(columns, [[row.get(name) for name in columns] for row in rows])


def _count_sign_ins(query: str, there: Mapping[str, Rows]) -> dict[str, Any]:
    rows = _chosen(query, SIGN_INS, there)
    counts = Counter(bucket_of(identity_of(row)) for row in rows)
    return response(["Bucket", "Matched"], [list(item) for item in counts.items()])


def _count_operations(query: str, there: Mapping[str, Rows]) -> dict[str, Any]:
    known = _signed_in(query, there)
    listed = re.search(r"Accepted = Fold\(ActivityStatusValue\) in \((.*?)\)$", query, re.MULTILINE)
    assert listed is not None
    accepted = json.loads(f"[{listed[1]}]")
    counts: dict[int, list[int]] = {}
    for row in _chosen(query, OPERATIONS, there):
        who, fits = identity_of(row), _status_in(row, accepted)
        counted = counts.setdefault(bucket_of(who), [0] * len(COUNT_COLUMNS))
        counted[(who.lower() not in known) * 2 + (not fits)] += 1
        counted[-1] += fits and is_blank(who)
    return response(["Bucket", *COUNT_COLUMNS], [[bucket, *n] for bucket, n in counts.items()])


def _addresses(query: str, there: Mapping[str, Rows]) -> dict[str, Any]:
    rows = _chosen(query, SIGN_INS, there)
    counts = Counter((row.get("IPAddress") or "").strip() for row in rows)
    return response(["Address", "Matched"], [list(item) for item in counts.items()])


def _in_duckdb(query: str, there: Mapping[str, Rows]) -> dict[str, Any]:
    """Run the query unchanged on the rows."""
    connection = kusto.database()
    for shape in (SIGN_IN_TABLE, OPERATION_TABLE):
        rows = [
            [
                parse_time(row["TimeGenerated"]),
                *(row.get(name) or "" for name in shape.columns[1:]),
                parse_time(row["IngestionTime"]) if row.get("IngestionTime") else None,
            ]
            for row in there[shape.name]
        ]
        kusto.fill(connection, shape.name, rows)
    found = kusto.ask(connection, query)
    return kusto.as_response(found)


def _details(query: str, there: Mapping[str, Rows]) -> dict[str, Any]:
    """Run the query unchanged on the rows."""
    connection = kusto.database(kusto.DETAILED)
    for table, rows in there.items():
        kusto.fill_detailed(connection, table, rows)
    found = kusto.ask(connection, query)
    time, *names = ANSWER.columns
    cells = [[format_time(row[time]), *(row[name] for name in names)] for row in found]
    return response(ANSWER.columns, cells)


def _near_misses(query: str, there: Mapping[str, Rows]) -> dict[str, Any]:
    """Count with nested loops; tests/kql/test_near_misses_in_duckdb.py runs the query itself."""
    texts = {
        name: json.loads(f"[{found[1]}]")
        for name, pattern in (
            ("excluded", r"Trimmed\(IPAddress\) !in \((.*?)\)$"),
            ("accepted", r"Fold\(ActivityStatusValue\) in \((.*?)\) and"),
        )
        if (found := re.search(pattern, query, re.MULTILINE))
    }
    span = re.search(r"countif\(Last >= At - (\d+)(tick|[smh])", query)
    assert span is not None
    until = time_in(r"TimeGenerated > \{} or", query)
    at = time_in(r"IngestionTime > \{}", query)
    operations = [
        row
        for row in _chosen(query, OPERATIONS, there)
        if parse_time(row["TimeGenerated"]) > until
        or parse_time(row.get("IngestionTime") or "1970-01-01") > at
    ]
    sign_ins = [
        row
        for row in _chosen(query, SIGN_INS, there)
        if (row.get("IPAddress") or "").strip() not in texts["excluded"]
    ]
    missed = naive_rule.near_misses(
        sign_ins, operations, [], (0, ALWAYS), duration(*span.groups()), texts["accepted"]
    )
    counts = Counter(names[:3] for names in missed)
    return response(LATE_CHANGES_SHAPE.columns, [[*names, n] for names, n in counts.items()])


def _timed(query: str, there: Mapping[str, Rows]) -> Rows:
    """Return the operations with the times and statuses in a query."""
    start, end = time_in(r"TimeGenerated > \{}", query), time_in(r"TimeGenerated <= \{}", query)
    statuses = re.search(r"ActivityStatusValue in~ \((.*?)\)", query)
    assert statuses is not None
    accepted = json.loads(f"[{statuses[1]}]")
    return [
        row
        for row in there[OPERATIONS]
        if start < parse_time(row["TimeGenerated"]) <= end and _status_in(row, accepted)
    ]


def _actions(query: str, there: Mapping[str, Rows]) -> dict[str, Any]:
    callers = re.search(r"Caller in~ \((.*?)\)$", query, re.MULTILINE)
    assert callers is not None
    names = {name.lower() for name in json.loads(f"[{callers[1]}]")}
    rows = [row for row in _timed(query, there) if identity_of(row).lower() in names]
    rows = [row for row in rows if str(row["OperationNameValue"]).lower().endswith("/action")]
    columns = [*OPERATION_TABLE.columns, "IngestionTime"]
    return response(columns, [[row.get(name) for name in columns] for row in rows])


def _history(query: str, there: Mapping[str, Rows]) -> dict[str, Any]:
    start, end = time_in(r"TimeGenerated > \{}", query), time_in(r"TimeGenerated <= \{}", query)
    signed_in = {
        identity_of(row).lower()
        for row in there[SIGN_INS]
        if start < parse_time(row["TimeGenerated"]) <= end
    }
    days: set[tuple[str, ...]] = set()
    for row in _timed(query, there):
        if _is_change(row) and identity_of(row).lower() in signed_in:
            day, who = row["TimeGenerated"][:10], row["Caller"].lower()
            group = (row.get("ResourceGroup") or "").lower()
            days.add((day, who, row["OperationNameValue"].lower(), group, ""))
            if row.get("CallerIpAddress"):
                days.add((day, who, "", "", row["CallerIpAddress"]))
    names = ("TimeGenerated", "Caller", "OperationNameValue", "ResourceGroup", "CallerIpAddress")
    return response(names, sorted(days))


def _latest(query: str, there: Mapping[str, Rows]) -> dict[str, Any]:
    rows = there[needed(query)[0]]
    now = time_in(r"TimeGenerated <= \{}", query)
    times = [parse_time(row["TimeGenerated"]) for row in rows]
    newest = max((time for time in times if now - DAY < time <= now), default=None)
    return response(["Latest"], [[None if newest is None else format_time(newest)]])


def _arrivals(query: str, there: Mapping[str, Rows]) -> dict[str, Any]:
    rows = there[needed(query)[0]]
    since = time_in(r"ingestion_time\(\) > \{}", query)
    now = time_in(r"ingestion_time\(\) <= \{}", query)
    too_late = time_in(r"TooLate = countif\(TimeGenerated <= \{}", query)
    examined = time_in(r" Late = .* TimeGenerated <= \{}", query)
    oldest = time_in(r"where TimeGenerated > \{}", query)
    came = [row for row in rows if row.get("IngestionTime")]
    came = [row for row in came if parse_time(row["TimeGenerated"]) > oldest]
    came = [row for row in came if since < parse_time(row["IngestionTime"]) <= now]
    times = [parse_time(row["TimeGenerated"]) for row in came]
    reachable = [time for time in times if time > too_late]
    earliest = format_time(min(reachable)) if reachable else None
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
