"""A workspace, read through the real SDK, gives whole results or an error that says why."""

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from azure.core.exceptions import ClientAuthenticationError

from detection.errors import SourceError
from detection.kql.render import query
from detection.pipeline.invocation import Invocation
from detection.pipeline.job import run
from detection.rule.filters import RuleSettings
from detection.rule.log_rows import SIGN_IN_TABLE, Logs, SourceState
from detection.rule.ticks import DAY, HOUR, MINUTE, SECOND, format_time, parse_time
from detection.settings import rule_settings
from detection.sources import Arrivals, Correlated
from detection.sources.log_analytics.client import Limits, LogAnalytics
from detection.sources.recorded.folder import RecordedSource
from detection.sources.workspace.source import WorkspaceSource
from detection.state.folder import FolderStore
from detection.window import Mode, Window
from emulator.services.api_errors import api_error, semantic_error, too_many_rows
from emulator.services.identity import TOKEN
from tests.support import (
    ALLOWLIST,
    NOW,
    OPERATIONS,
    RECORDED,
    SIGN_INS,
    Collected,
    read_operations,
    read_sign_ins,
)
from tests.support.services.client import FakeCredential
from tests.support.services.log_analytics import (
    OTHER_PLAN,
    WORKSPACE,
    LogAnalyticsService,
    Reply,
    client_for,
    recorded_tables,
)

if TYPE_CHECKING:
    from tests.support.services.known_queries import Rows

TEN = parse_time(NOW)
WINDOW = Window(TEN - 2 * HOUR, TEN, Mode.SCHEDULED)
NOT_COMPARED = {"DurationMs", "BytesRead", "SignInsRead", "OperationsRead"}
SCENARIOS = sorted(path.parent.name for path in RECORDED.glob("*/expected.json"))

Connect = Callable[..., WorkspaceSource]


class Waits(list[float]):
    """A sleep function that only remembers its arguments."""

    __call__ = list.append


@pytest.fixture
def service() -> Iterator[LogAnalyticsService]:
    """Serve some sign-ins, operations and an allowlist; every request must be valid."""
    tables: dict[str, Rows] = {
        SIGN_INS: [sign_in(TEN - n * MINUTE, Id=f"s{n}") for n in range(8)],
        OPERATIONS: [operation(TEN - n * MINUTE, EventDataId=f"o{n}") for n in range(8)],
        ALLOWLIST: [{"IPOrRange": "192.0.2.0/24"}, {"IPOrRange": "203.0.113.5"}],
    }
    with LogAnalyticsService(tables) as running:
        yield running
    assert running.complaints == []


@pytest.fixture
def waits() -> Waits:
    """Return a sleep function that does not wait."""
    return Waits()


@pytest.fixture
def connect(service: LogAnalyticsService, waits: Waits) -> Iterator[Connect]:
    """Connect sources to the service, and close all connections at the end."""
    with ExitStack() as stack:

        def to_service(credential: FakeCredential | None = None, **more: Any) -> WorkspaceSource:
            client = stack.enter_context(client_for(service.endpoint, credential))
            options = {"workspace_id": WORKSPACE, "sleep": waits} | more
            return WorkspaceSource(client=client, **options)

        yield to_service


def sign_in(time: int, **values: object) -> dict[str, Any]:
    """Return a sign-in that matches clause 2."""
    return {
        "TimeGenerated": format_time(time),
        "ServicePrincipalId": "identity",
        "ResultType": "0",
        "ResourceDisplayName": "Azure Key Vault",
        "ServicePrincipalName": "",
        "IPAddress": "",
    } | values


def operation(time: int, **values: object) -> dict[str, Any]:
    """Return an operation that matches clause 3."""
    return {
        "TimeGenerated": format_time(time),
        "Caller": "identity",
        "OperationNameValue": "MICROSOFT.KEYVAULT/VAULTS/DELETE",
        "ActivityStatusValue": "Success",
        "ResourceGroup": "",
        "SubscriptionId": "",
        "CallerIpAddress": "",
        "ResourceId": "",
    } | values


def read(source: WorkspaceSource) -> Logs:
    """Return all parts of the window, combined."""
    parts = [
        part.logs if isinstance(part, Correlated) else part
        for part in source.parts(WINDOW, TEN, RuleSettings())
    ]
    return replace(
        parts[-1],
        sign_ins=[row for part in parts for row in part.sign_ins],
        operations=[row for part in parts for row in part.operations],
        bytes_read=sum(part.bytes_read for part in parts),
    )


def ids(logs: Logs) -> tuple[list[str], list[str]]:
    """Return the ids of the rows read, in order."""
    sign_ins, operations = read_sign_ins(logs), read_operations(logs)
    return [row["Id"] for row in sign_ins], [row["EventDataId"] for row in operations]


def play(scenario: str, folder: Path, source_for: Callable[[int], Any]) -> Collected:
    """Run the job at `now` and at each time in `later`, with one state throughout."""
    expected = json.loads((RECORDED / scenario / "expected.json").read_text("utf-8"))
    settings = rule_settings(expected.get("environment", {}))
    sink = Collected()
    for now in map(parse_time, (expected["now"], *expected.get("later", []))):
        invocation = Invocation("recorded", now, settings)
        outcome = run(source_for(now), sink, FolderStore(folder), invocation)
        assert not outcome.failures
    return sink


def comparable(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the comparable fields of a run record, without latest rows over a day old."""
    row = {name: value for name, value in record.items() if name not in NOT_COMPARED}
    of_a_folder = r"no file in \S+ has its rows; if the workspace does not have the table, "
    row["Reason"] = re.sub(of_a_folder, "", row["Reason"])
    oldest = parse_time(row["TimeGenerated"]) - DAY
    for name in ("LatestSignIn", "LatestOperation"):
        row[name] = row[name] if row[name] and parse_time(row[name]) > oldest else None
    return row


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_over_http_equals_the_recorded_one(scenario: str, tmp_path: Path) -> None:
    """Findings are the same, and run records differ only in the rows that were not transferred."""
    folder = RECORDED / scenario
    recorded = play(scenario, tmp_path / "1", lambda *_: RecordedSource(folder))
    with (
        LogAnalyticsService(recorded_tables(folder)) as service,
        client_for(service.endpoint) as client,
    ):

        def source_for(now: int) -> WorkspaceSource:
            service.present = now
            return WorkspaceSource(client=client, workspace_id=WORKSPACE)

        queried = play(scenario, tmp_path / "2", source_for)
    assert service.complaints == []
    assert queried.findings == recorded.findings
    assert list(map(comparable, queried.runs)) == list(map(comparable, recorded.runs))


def test_the_whole_answer_is_read(connect: Connect) -> None:
    """One read gives rows, entries, states and the newest times, and counts the bytes."""
    logs = read(connect())
    assert ids(logs) == ([f"s{n}" for n in range(8)], [f"o{n}" for n in range(8)])
    assert logs.allowlist == ["192.0.2.0/24", "203.0.113.5"]
    assert set(logs.states.values()) == {SourceState.OK}
    assert logs.latest == {SIGN_INS: TEN, OPERATIONS: TEN}
    assert logs.bytes_read > 1000


def test_the_token_is_requested_for_the_endpoint(
    connect: Connect, service: LogAnalyticsService
) -> None:
    """The scope is the endpoint's default, as other clouds need."""
    credential = FakeCredential()
    read(connect(credential))
    assert set(credential.scopes) == {f"{service.endpoint}/.default"}


@pytest.mark.parametrize("table", [SIGN_INS, OPERATIONS, ALLOWLIST])
def test_a_missing_table_counts_as_empty(
    table: str, connect: Connect, service: LogAnalyticsService
) -> None:
    """A missing table or watchlist has the state Missing, gives no rows and affects no other."""
    del service.tables[table]
    source = connect()
    logs = read(source)
    assert logs.states[table] is SourceState.MISSING
    assert [state for name, state in logs.states.items() if name != table] == [SourceState.OK] * 2
    arrivals = source.arrivals(since=0, now=TEN, examined=TEN, too_late=0)
    assert arrivals == Arrivals(missing=frozenset({table} & {SIGN_INS, OPERATIONS}))


@pytest.mark.parametrize("code", ["SEM0001", "SEM0260", ""])
def test_only_the_known_code_means_a_missing_table(
    code: str, connect: Connect, service: LogAnalyticsService
) -> None:
    """The same words under another code are an error."""
    problem = f"Failed to resolve table or column expression named '{SIGN_INS}'"
    service.script("sign_ins", Reply(400, json_body(semantic_error(code, problem))))
    with pytest.raises(SourceError, match="the query was refused"):
        read(connect())


def test_rows_that_do_not_match_keep_a_table_from_being_empty(
    connect: Connect, service: LogAnalyticsService
) -> None:
    """A table is empty only if no row at all has arrived since the window's start."""
    service.tables[SIGN_INS] = [sign_in(TEN - MINUTE, ResultType="7000215")]
    service.tables[OPERATIONS] = [operation(TEN - 3 * HOUR)]
    service.tables[ALLOWLIST] = []
    logs = read(connect())
    assert ids(logs) == ([], [])
    assert logs.states == {
        SIGN_INS: SourceState.OK,
        OPERATIONS: SourceState.EMPTY,
        ALLOWLIST: SourceState.EMPTY,
    }
    assert logs.latest == {SIGN_INS: TEN - MINUTE, OPERATIONS: TEN - 3 * HOUR}


def test_rows_ingested_later_are_not_read(connect: Connect, service: LogAnalyticsService) -> None:
    """A row ingested after the moment of reading has not arrived."""
    for row, ingested in zip(service.tables[SIGN_INS], (TEN - 1, TEN, TEN + 1, None), strict=False):
        row["IngestionTime"] = ingested and format_time(ingested)
    assert ids(read(connect()))[0] == ["s0", "s1", "s3", "s4", "s5", "s6", "s7"]


def test_arrivals_of_both_tables_are_combined(
    connect: Connect, service: LogAnalyticsService
) -> None:
    """The earliest is that of both tables, and the counts are sums."""
    late = {"IngestionTime": format_time(TEN - SECOND)}
    service.tables[SIGN_INS] = [sign_in(TEN - hour * HOUR, **late) for hour in (1, 4, 30)]
    service.tables[OPERATIONS] = [operation(TEN - hour * HOUR, **late) for hour in (3, 6, 40)]
    arrivals = connect().arrivals(
        since=TEN - HOUR, now=TEN, examined=TEN - 2 * HOUR, too_late=TEN - 24 * HOUR
    )
    assert arrivals == Arrivals(earliest=TEN - 6 * HOUR, late=3, too_late=2)


def json_body(document: Mapping[str, object]) -> bytes:
    """Return a document as a response body."""
    return json.dumps(document).encode()


def refused(status: int, *codes: str | tuple[str, str], **headers: str) -> Reply:
    """Return a reply with an error document; `_` in a header's name stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, json_body(api_error(*codes)), named)


HTML = b"<!DOCTYPE html><html><body>Gateway says no</body></html>"
NO_COLUMN = ("SEM0100", "'where' operator: Failed to resolve scalar expression named 'Caller'")
NO_OTHER_TABLE = ("SEM0100", "Failed to resolve table or column expression named 'Heartbeat'")
NO_FUNCTION = ("SEM0260", "Unknown function: '_GetWatchlist'.")
ROLE = "Log Analytics Data Reader or Reader"
TOKENS = "az account show"
FAILURES = {
    "401": (refused(401, "InvalidTokenError"), TOKENS, 1),
    "401-claims": (refused(401, "TokenExpired", WWW_Authenticate='Bearer error="x"'), TOKENS, 1),
    "401-html": (Reply(401, HTML), TOKENS, 1),
    "401-role": (refused(401, "InsufficientAccessError"), ROLE, 1),
    "403": (refused(403, "InsufficientAccessError"), "up to 30 minutes", 1),
    "403-token": (refused(403, "InvalidTokenError"), TOKENS, 1),
    "403-authorization": (refused(403, "AuthorizationRequiredError"), TOKENS, 1),
    "403-audience": (refused(403, "InvalidAuthenticationTokenAudience"), "LOGS_QUERY_ENDPOINT", 1),
    "400-plan": (refused(400, "BadArgumentError", OTHER_PLAN), "set the table's plan to Analy", 1),
    "403-html": (Reply(403, HTML), ROLE, 1),
    "404": (refused(404, "WorkspaceNotFoundError"), "check WORKSPACE_IDS", 1),
    "400-column": (refused(400, "BadArgumentError", "SemanticError", NO_COLUMN), "'Caller'", 1),
    "400-table": (refused(400, "BadArgumentError", NO_OTHER_TABLE), "'Heartbeat'", 1),
    "400-function": (refused(400, "BadArgumentError", NO_FUNCTION), "_GetWatchlist", 1),
    "400-syntax": (
        refused(400, "BadArgumentError", "SyntaxError", ("SYN0002", "no")),
        "SYN0002",
        1,
    ),
    "400-html": (Reply(400, HTML), "HTTP 400: no reason given", 1),
    "400-retry-after": (refused(400, "Odd", Retry_After="1"), "HTTP 400: Odd", 1),
    "410": (Reply(410, b""), "HTTP 410", 1),
    "302": (Reply(302, b"", {"X-Elsewhere": "no location"}), "is a redirect (HTTP 302)", 1),
    "307": (Reply(307, b"", {"Location": "/elsewhere"}), "is a redirect (HTTP 307)", 1),
    "429": (refused(429, "ThrottledError"), "throttled the query", 3),
    "408": (refused(408, "Timeout"), "HTTP 408", 2),
    "500": (refused(500, "InternalServerError"), "InternalServerError", 2),
    "502-html": (Reply(502, HTML), "HTTP 502", 2),
    "503-html": (Reply(503, HTML), "HTTP 503", 2),
    "504": (refused(504, "GatewayTimeout"), "took too long", 2),
    "504-html": (Reply(504, HTML), "took too long", 2),
    "204": (Reply(204, b""), "the answer is empty", 2),
    "200-empty": (Reply(200, b""), "the answer is empty", 2),
    "200-blank": (Reply(200, b"\xef\xbb\xbf \n"), "the answer is empty", 2),
    "200-html": (Reply(200, HTML), "web page", 2),
    "200-text": (Reply(200, b"all is well"), "ends early or is not JSON", 2),
    "200-cut-json": (
        Reply(200, b'{"tables":[{"name":"PrimaryResult","columns":[]'),
        "ends early",
        2,
    ),
    "200-cut-body": (Reply(cut=50), "before the answer was complete", 2),
    "200-cut-at-once": (Reply(cut=0), "before the answer was complete", 2),
    "200-no-table": (Reply(200, b'{"tables":[]}'), "has no table", 1),
    "200-null": (Reply(200, b"null"), "ends early or is not JSON", 2),
    "200-columns": (
        Reply(200, json_body({"tables": [{"name": "PrimaryResult", "columns": [], "rows": []}]})),
        "has no column",
        1,
    ),
    "200-error": (Reply(error=too_many_rows()), "E_QUERY_RESULT_SET_TOO_LARGE", 0),
    "200-other-error": (Reply(error={"code": "Strange", "message": "odd"}), "Strange: odd", 0),
}
KINDS = ("sign_ins", "operations", "allowlist", "latest", "count_sign_ins", "count_operations")


CASES = [(name, kind) for name in FAILURES for kind in KINDS]
CASES.remove(("400-function", "allowlist"))  # a missing watchlist looks the same


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_no_failure_looks_like_an_empty_result(
    name: str, kind: str, connect: Connect, service: LogAnalyticsService, waits: Waits
) -> None:
    """A failure of any query is a one-line error that says what to do, after few tries."""
    reply, said, tries = FAILURES[name]
    service.script(kind, *[reply] * 40)
    with pytest.raises(SourceError) as caught:
        read(connect())
    message = str(caught.value)
    assert said in message
    assert WORKSPACE in message
    assert "\n" not in message
    assert TOKEN not in message
    assert len(message) < 600
    if tries:
        queries = [call.query for call in service.called(kind)]
        assert max(map(queries.count, queries)) == tries
        assert sum(waits) <= 120 * len(set(queries))


@pytest.mark.parametrize("name", FAILURES)
def test_no_failure_looks_like_no_arrivals(
    name: str, connect: Connect, service: LogAnalyticsService
) -> None:
    """The query for late rows fails as clearly as the others."""
    reply, said, _ = FAILURES[name]
    service.script("arrivals", *[reply] * 8)
    with pytest.raises(SourceError, match=re.escape(said)):
        connect().arrivals(since=0, now=TEN, examined=TEN, too_late=0)


@pytest.mark.parametrize("name", [name for name, (*_, tries) in FAILURES.items() if tries > 1])
def test_a_temporary_failure_is_retried(
    name: str, connect: Connect, service: LogAnalyticsService, waits: Waits
) -> None:
    """The second try gives all rows."""
    service.script("operations", FAILURES[name][0])
    assert len(read(connect()).operations) == 8
    assert waits == [10.0 if name == "429" else 1.0]


@pytest.mark.parametrize("body", [b'{"tables": [{"rows": [[]]}]}', b"[1]", b'{"tables": 1}'])
def test_an_answer_of_another_shape_is_an_error(
    body: bytes, connect: Connect, service: LogAnalyticsService
) -> None:
    """JSON that is not a table of rows is an error."""
    service.script("sign_ins", Reply(200, body))
    with pytest.raises(SourceError, match=SIGN_INS):
        read(connect())


@pytest.mark.parametrize("kind", ["latest", "arrivals"])
@pytest.mark.parametrize("values", [[], [["x", "y", "z"]], [[None, None, None]] * 2])
def test_an_invalid_summary_is_an_error(
    values: list[list[object]], kind: str, connect: Connect, service: LogAnalyticsService
) -> None:
    """A summary query must give one readable row; anything else is an error."""
    names = ("Latest", "Late", "TooLate") if kind == "latest" else ("Earliest", "Late", "TooLate")
    columns = [{"name": name, "type": "string"} for name in names]
    table = {"name": "PrimaryResult", "columns": columns, "rows": values}
    service.script(kind, *[Reply(200, json_body({"tables": [table]}))] * 2)
    source = connect()
    reads: dict[str, Callable[[], object]] = {
        "latest": lambda: read(source),
        "arrivals": lambda: source.arrivals(since=0, now=TEN, examined=TEN, too_late=0),
    }
    with pytest.raises(SourceError):
        reads[kind]()


def test_retry_after_in_seconds_is_obeyed(
    connect: Connect, service: LogAnalyticsService, waits: Waits
) -> None:
    """The client sleeps for the seconds in Retry-After, and the third try may succeed."""
    throttled = [refused(429, "ThrottledError", Retry_After=text) for text in ("50", "60.5")]
    service.script("sign_ins", *throttled)
    assert len(read(connect()).sign_ins) == 8
    assert waits == [50.0, 60.5]


def test_retry_after_as_a_date_is_obeyed(
    connect: Connect, service: LogAnalyticsService, waits: Waits
) -> None:
    """Retry-After may also be a date."""
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    service.script("sign_ins", refused(429, "ThrottledError", Retry_After=moment))
    read(connect())
    assert 30 < waits[0] <= 40


@pytest.mark.parametrize(("texts", "slept"), [(("121",), []), (("70", "70"), [70.0])])
def test_a_wait_over_two_minutes_is_not_begun(
    texts: tuple[str, ...],
    slept: list[float],
    connect: Connect,
    service: LogAnalyticsService,
    waits: Waits,
) -> None:
    """Waits add up to two minutes at most, and a longer one is not begun."""
    service.script("sign_ins", *[refused(429, "Throttled", Retry_After=text) for text in texts])
    with pytest.raises(SourceError, match=f"after {texts[-1]} s"):
        read(connect())
    assert waits == slept


@pytest.mark.parametrize("text", ["", "soon", "-5", "0", "1e9", "9" * 400, "Mon, 99 Foo 1 x"])
def test_an_unreadable_retry_after_means_ten_seconds(
    text: str, connect: Connect, service: LogAnalyticsService, waits: Waits
) -> None:
    """Without a readable Retry-After the client waits ten seconds."""
    service.script("sign_ins", refused(429, "ThrottledError", Retry_After=text))
    assert len(read(connect()).sign_ins) == 8
    assert waits == [10.0]


def test_a_query_without_answer_is_tried_twice(
    connect: Connect, service: LogAnalyticsService
) -> None:
    """A query without an answer is sent twice and no more."""
    service.script("sign_ins", *[Reply(delay=60)] * 4)
    with pytest.raises(SourceError, match=r"no complete answer within .* tried 2 times"):
        read(connect(limits=Limits(read_timeout=1.5)))
    assert len(service.called("sign_ins")) == 2


def test_an_unreachable_service_is_a_network_error(waits: Waits) -> None:
    """An error about the network says that the service cannot be reached."""
    with LogAnalyticsService({}) as gone:
        endpoint = gone.endpoint
    with client_for(endpoint) as client:
        source = WorkspaceSource(client=client, workspace_id=WORKSPACE, sleep=waits)
        with pytest.raises(SourceError, match="cannot be reached"):
            read(source)


def test_no_token_is_an_error_about_the_identity(connect: Connect) -> None:
    """A credential that fails is not retried."""

    class Broken(FakeCredential):
        def get_token_info(self, *_: object, **__: object) -> Any:
            raise ClientAuthenticationError("No identity\nwas found.")

    with pytest.raises(SourceError, match=r"no token .* No identity was found\..*az login"):
        read(connect(Broken()))


class Stalling(NamedTuple):
    """A token whose first expiry check blocks until `go_on` is set."""

    token: str
    looked: threading.Event
    go_on: threading.Event
    refresh_on: int | None = None

    @property
    def expires_on(self) -> int:
        """Return a time in the far future."""
        if not self.looked.is_set():
            self.looked.set()
            assert self.go_on.wait(60)
        return 2**40


def test_a_refused_token_fails_only_its_own_query(
    service: LogAnalyticsService, waits: Waits
) -> None:
    """If a 401 makes the SDK drop its token, a query that is under way is retried."""
    looked, go_on = threading.Event(), threading.Event()

    class Once(FakeCredential):
        def get_token_info(self, *_: object, **__: object) -> Any:
            return Stalling(self.token, looked, go_on)

    service.script("latest", Reply(), refused(401, "InvalidTokenError"))
    with client_for(service.endpoint, Once()) as client, ThreadPoolExecutor() as threads:
        workspace = LogAnalytics(client=client, workspace_id=WORKSPACE, sleep=waits)
        shape = SIGN_IN_TABLE
        text = query("latest", table=shape, now=TEN)
        workspace.query_summary(text, shape, "Latest")  # from here on there is a token
        other = threads.submit(workspace.query_summary, text, shape, "Latest")
        assert looked.wait(60)
        with pytest.raises(SourceError, match=TOKENS):
            workspace.query_summary(text, shape, "Latest")
        go_on.set()
        assert len(other.result().table.rows) == 1
    assert waits == [1]


def test_a_long_reason_is_shortened(connect: Connect, service: LogAnalyticsService) -> None:
    """The innermost message is shortened to one line of 300 characters, its start and its end."""
    reason = ("SYN0001", "first\r\n\x1b[31m " + "x" * 5000 + " the remedy\u202e")
    service.script("sign_ins", refused(400, "BadArgumentError", "SyntaxError", reason))
    with pytest.raises(SourceError) as caught:
        read(connect())
    message = str(caught.value)
    assert "SYN0001: first \ufffd[31m [...] " in message
    assert message.endswith(" [...] the remedy\ufffd)")
    assert len(message) < 450


@pytest.mark.parametrize("limit", [3, 4, 7])
def test_split_reads_lose_and_repeat_nothing(
    limit: int, connect: Connect, service: LogAnalyticsService
) -> None:
    """With few rows in an answer, the combined result is still the whole one."""
    seams = [TEN - HOUR + step for step in (-1, 0, 1)]
    service.tables[SIGN_INS] += [sign_in(time, Id=f"seam{time}") for time in seams]
    whole = read(connect())
    service.row_limit = limit
    cut = read(connect())
    service.row_limit = None
    counted = read(connect(limits=Limits(rows_per_answer=limit)))
    for logs in (cut, counted):
        assert sorted(logs.sign_ins) == sorted(whole.sign_ins)
        assert sorted(logs.operations) == sorted(whole.operations)
        assert logs.states == whole.states


def test_a_full_answer_is_not_taken_as_complete(
    connect: Connect, service: LogAnalyticsService
) -> None:
    """An answer with exactly as many rows as the limit may be cut, so it is split."""
    service.row_limit, service.says_when_cut = 3, False
    logs = read(connect(limits=Limits(rows_per_answer=3)))
    assert len(logs.sign_ins) == len(logs.operations) == 8


def test_a_second_with_too_many_rows_is_an_error(
    connect: Connect, service: LogAnalyticsService
) -> None:
    """Rows that cannot be read whole in the shortest time are an error."""
    service.tables[OPERATIONS] = [operation(TEN - HOUR - 5, EventDataId=f"o{n}") for n in range(4)]
    service.row_limit = 3
    with pytest.raises(
        SourceError, match=r"AzureActivity .*exceed one answer .*next run tries again"
    ):
        read(connect())
    assert len(service.called("operations")) < 30


def test_a_table_that_vanishes_between_halves_is_an_error(
    connect: Connect, service: LogAnalyticsService
) -> None:
    """If a table vanishes between two halves, that is an error and not a missing table."""
    missing = semantic_error(
        "SEM0100", f"Failed to resolve table or column expression named '{SIGN_INS}'"
    )
    service.script(
        "sign_ins", Reply(error=too_many_rows()), Reply(), Reply(400, json_body(missing))
    )
    with pytest.raises(SourceError, match="disappeared"):
        read(connect())


def test_tables_and_watchlist_are_read_in_parallel(
    connect: Connect, service: LogAnalyticsService
) -> None:
    """All queries of one step are sent before any is answered."""
    for kinds in (
        {"count_sign_ins", "count_operations", "allowlist"},
        {"sign_ins", "operations"},
    ):
        service.gate, service.gated = threading.Barrier(len(kinds)), kinds
        service.calls.clear()
        read(connect())
        calls = [call for call in service.calls if call.kind in kinds]
        assert len(calls) == len(kinds)
        assert max(call.began for call in calls) < min(call.ended for call in calls)
        assert not service.gate.broken


@pytest.mark.parametrize("queries", [1, 2, 5])
def test_parallel_queries_are_limited(
    queries: int, connect: Connect, service: LogAnalyticsService
) -> None:
    """The service allows five queries at a time for one identity, over all workspaces."""
    for kind in (*KINDS, "latest"):
        service.script(kind, Reply(delay=0.1 * queries))
    read(connect(limits=Limits(concurrent_queries=queries)))
    assert len(service.calls) == 7
    at_once = [
        sum(other.began <= call.began < other.ended for other in service.calls)
        for call in service.calls
    ]
    assert max(at_once) == queries


def test_parallel_workspaces_share_the_limits() -> None:
    """Workspaces that are read in parallel share the limits on queries and rows."""
    whole = Limits(concurrent_queries=5, rows_per_partition=200_000)
    assert whole.shared(1) == whole
    assert whole.shared(5) == Limits(concurrent_queries=1, rows_per_partition=40_000)
    assert whole.shared(50) == Limits(
        concurrent_queries=1, rows_per_partition=20_000
    )  # fewer rows would mean many queries


def test_after_the_deadline_nothing_is_queried(
    connect: Connect, service: LogAnalyticsService
) -> None:
    """After the deadline the read is an error, and the service receives nothing."""
    with pytest.raises(SourceError, match="no time was left to query it"):
        read(connect(limits=Limits(deadline=time.monotonic())))
    assert service.calls == []


def test_a_silent_service_is_not_waited_for_past_the_deadline(
    connect: Connect, service: LogAnalyticsService
) -> None:
    """An answer that does not come before the deadline is not waited for."""
    service.script("sign_ins", *[Reply(delay=60)] * 4)
    with pytest.raises(SourceError, match=r"no time was left|no complete answer within \d s"):
        read(connect(limits=Limits(deadline=time.monotonic() + 2)))
    assert len(service.called("sign_ins")) == 1


def test_hostile_content_is_unchanged(connect: Connect, service: LogAnalyticsService) -> None:
    """Quotes, control characters, JSON inside text and very long texts come through unchanged."""
    texts = [
        "\"'`; drop table x //",
        "line\r\nbreak\x00\x01\x1b[31m\x7f\u2028",
        '],["rows":[["here"]],"error":{"code":"PartialError"}',
        "x" * 100_000,
        "\U0001f600 \u202e \ufeff",
        '{"tables":[]}',
    ]
    service.tables[SIGN_INS] = [sign_in(TEN, ServicePrincipalName=text) for text in texts]
    service.tables[ALLOWLIST] = [{"IPOrRange": text} for text in texts]
    logs = read(connect())
    assert [row["ServicePrincipalName"] for row in read_sign_ins(logs)] == texts
    assert logs.allowlist == texts


def test_half_a_surrogate_pair_is_replaced(connect: Connect, service: LogAnalyticsService) -> None:
    """Half a surrogate pair becomes the replacement character, and its row stays."""
    service.tables[SIGN_INS] = [sign_in(TEN, ServicePrincipalName="a\ud83db")]
    (row,) = read_sign_ins(read(connect()))
    assert row["ServicePrincipalName"] == "a\ufffdb"


def test_a_cut_answer_with_half_a_surrogate_pair_is_still_cut(
    connect: Connect, service: LogAnalyticsService
) -> None:
    """Text that is hard to parse does not hide that rows are missing."""
    service.tables[SIGN_INS] = [sign_in(TEN - n * MINUTE, Id="\udc00") for n in range(8)]
    service.row_limit = 3
    assert len(read(connect()).sign_ins) == 8


@pytest.mark.parametrize("row", [["not a time: hunter2", "i", "0", "Blob"], "hunter2"])
def test_no_row_is_quoted_in_an_error(
    row: object, connect: Connect, service: LogAnalyticsService
) -> None:
    """An error gives the position of an unreadable value and does not show it."""
    names = ("TimeGenerated", "ServicePrincipalId", "ResultType", "ResourceDisplayName")
    columns = [{"name": name, "type": "string"} for name in names]
    table = {"name": "PrimaryResult", "columns": columns, "rows": [row]}
    service.script("sign_ins", Reply(200, json_body({"tables": [table]})))
    with pytest.raises(SourceError, match="row 1") as caught:
        read(connect())
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "401", "500", "429", "200-cut-body"])
def test_neither_token_nor_rows_are_logged(
    name: str,
    connect: Connect,
    service: LogAnalyticsService,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither the token nor log content appears in any log, the SDK's included."""
    caplog.set_level(logging.DEBUG)
    service.tables[SIGN_INS] = [sign_in(TEN, ServicePrincipalName="hunter2")]
    source = connect()
    if name:
        service.script("sign_ins", *[FAILURES[name][0]] * 3)
        with pytest.raises(SourceError):
            read(source)
    else:
        read(source)
    assert caplog.text
    assert TOKEN not in caplog.text
    assert "hunter2" not in caplog.text


def test_a_workspace_id_stays_inside_its_part_of_the_path(
    connect: Connect, service: LogAnalyticsService
) -> None:
    """An id with a slash, a question mark or braces reaches no other address."""
    with pytest.raises(SourceError, match="HTTP 418: path"):
        read(connect(workspace_id="../x/query?a={endpoint}#"))
    assert set(service.complaints) == {"path"}
    service.complaints.clear()


@pytest.mark.parametrize("wrong", [{"alias": 'x"); drop'}, {"exclusions_alias": 'x"); drop'}])
def test_a_name_that_cannot_be_quoted_is_refused_at_once(
    wrong: dict[str, Any], connect: Connect, service: LogAnalyticsService
) -> None:
    """A name that cannot be written into a query is an error before any query."""
    with pytest.raises(ValueError, match="put into a query"):
        connect(**wrong)
    assert service.calls == []
