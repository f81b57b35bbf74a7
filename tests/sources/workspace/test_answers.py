"""Unusual answers of a workspace give whole results or an error about the right table."""

import contextlib
import gc
import json
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from azure.core.rest import HttpRequest

from detection.errors import SourceError
from detection.kql.render import FOLDER
from detection.pipeline.invocation import Invocation, Outcome
from detection.pipeline.job import run
from detection.rule.filters import RuleSettings
from detection.rule.log_rows import OPERATION_TABLE, SIGN_IN_TABLE, SourceState
from detection.rule.ticks import DAY, HOUR, MINUTE, format_time, parse_time
from detection.sources import LogSource
from detection.sources.log_analytics.api_errors import TransientError
from detection.sources.log_analytics.client import Limits
from detection.sources.log_analytics.http_exchange import exchange
from detection.sources.recorded.folder import RecordedSource
from detection.sources.workspace.kusto_correlation import GROUP_COLUMNS
from detection.sources.workspace.source import WorkspaceSource
from detection.state import ReadOnlyStore
from detection.state.folder import FolderStore
from emulator.services.api_errors import api_error, left_out, semantic_error, unresolved
from tests.sources.workspace.test_source import WINDOW, ids, operation, read, sign_in
from tests.support import (
    ALLOWLIST,
    EXCLUSIONS,
    NOW,
    OPERATIONS,
    SIGN_INS,
    Collected,
    response,
    response_of,
    write_table,
)
from tests.support.services.log_analytics import (
    LOW_MEMORY,
    NO_WATCHLISTS,
    WORKSPACE,
    LogAnalyticsService,
    Reply,
    client_for,
)

TEN = parse_time(NOW)
KINDS = ("sign_ins", "operations", "allowlist", "latest", "count_sign_ins", "count_operations")
LIVE = {"python": Limits(rows_in_process=math.inf), "workspace": Limits(rows_in_process=-1)}

Connect = Callable[..., WorkspaceSource]


@pytest.fixture
def service() -> Iterator[LogAnalyticsService]:
    """Serve eight sign-ins and operations of one identity, and an allowlist."""
    tables = {
        SIGN_INS: [sign_in(TEN - n * MINUTE, Id=f"s{n}") for n in range(8)],
        OPERATIONS: [operation(TEN - n * MINUTE, EventDataId=f"o{n}") for n in range(8)],
        ALLOWLIST: [{"IPOrRange": "192.0.2.0/24"}],
    }
    with LogAnalyticsService(tables) as running:
        yield running
    assert running.complaints == []


@pytest.fixture
def connect(service: LogAnalyticsService) -> Iterator[Connect]:
    """Connect sources to the service, and close all connections at the end."""
    with ExitStack() as stack:

        def to_service(**more: Any) -> WorkspaceSource:
            client = stack.enter_context(client_for(service.endpoint))
            options: dict[str, Any] = {"workspace_id": WORKSPACE, "sleep": lambda _: None} | more
            return WorkspaceSource(client=client, **options)

        yield to_service


def run_once(source: LogSource) -> tuple[Outcome, dict[str, Any]]:
    """Run once; return the outcome and its record."""
    outcome = run(source, Collected(), ReadOnlyStore(), Invocation(WORKSPACE, TEN))
    (record,) = outcome.records
    return outcome, dict(record)


def refused(status: int, *codes: str | tuple[str, str]) -> Reply:
    """Return a reply with an error document."""
    return Reply(status, json.dumps(api_error(*codes)).encode())


def no_rows(*columns: str) -> Reply:
    """Return an answer without rows."""
    return Reply(200, json.dumps(response(columns, [])).encode())


# Warnings beside rows


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("severity", [3, 4])
def test_rows_beside_a_warning_are_whole(
    severity: int, kind: str, connect: Connect, service: LogAnalyticsService
) -> None:
    """If the service only warns, the rows are used, and the query runs once."""
    service.tables[SIGN_INS][0]["ServicePrincipalName"] = "half a pair \udc00"
    whole = read(connect())
    service.calls.clear()
    error = left_out(unresolved("SomeTable_CL"), "another warning", severity=severity)
    service.script(kind, Reply(error=error))
    logs = read(connect())
    assert (logs.sign_ins, logs.operations) == (whole.sign_ins, whole.operations)
    assert (logs.states, logs.allowlist) == (whole.states, whole.allowlist)
    assert max(len(service.called(kind)) for kind in (*KINDS[:3], *KINDS[4:])) == 1


WARNED = left_out("w")["details"]
GRAVER: dict[str, dict[str, Any]] = {
    "error": left_out("graver", severity=2),
    "failure": left_out("graver", severity=1),
    "no number": left_out("graver", severity="3"),
    "no severity": left_out("graver", severity=None),
    "one of two": left_out("graver")
    | {"details": WARNED + left_out("graver", severity=2)["details"]},
    "no details": left_out("graver") | {"details": [], "message": "graver"},
    "other details": left_out("graver") | {"details": ["x"], "message": "graver"},
    "another code": {"code": "Strange", "message": "graver", "details": WARNED},
}


@pytest.mark.parametrize("case", GRAVER)
def test_rows_beside_an_error_are_not_whole(
    case: str, connect: Connect, service: LogAnalyticsService
) -> None:
    """Any other error beside rows means that rows may be missing, and the message quotes it."""
    service.script("latest", *[Reply(error=GRAVER[case])] * 4)  # of two tables, twice each
    with pytest.raises(SourceError, match="the summary is incomplete") as caught:
        read(connect())
    assert ("graver" in str(caught.value)) == (case != "another code")


# Errors about one of two tables


def test_without_the_sign_in_table_every_hour_is_a_warning(
    connect: Connect, service: LogAnalyticsService, tmp_path: Path
) -> None:
    """The hours pass, changes are counted, and the warning names the missing category alone."""
    del service.tables[SIGN_INS]
    source, store = connect(), FolderStore(tmp_path)
    for hour, matched in enumerate((9, 10, 2)):
        service.tables[OPERATIONS].append(operation(TEN + hour * HOUR - 1, EventDataId=f"h{hour}"))
        invocation = Invocation(WORKSPACE, TEN + hour * HOUR)
        outcome = run(source, Collected(), store, invocation)
        (record,) = outcome.records
        assert outcome.failures == []
        assert (record["Status"], record["SignInsState"]) == ("Warning", "Missing")
        assert "ManagedIdentitySignInLogs in Entra ID" in record["Reason"]
        assert "plan is Analytics" in record["Reason"]
        assert record["OperationsState"] == "Ok"
        assert record["OperationsMatched"] == matched
    assert source.probe(OPERATION_TABLE, TEN, RuleSettings())[0] is SourceState.OK
    assert source.probe(SIGN_IN_TABLE, TEN, RuleSettings())[0] is SourceState.MISSING


def test_no_query_of_a_run_is_a_fuzzy_union() -> None:
    """A fuzzy union could hide an error behind the warning that it always gives."""
    texts = {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.kql")}
    fuzzy = {name for name, text in texts.items() if "isfuzzy" in text}
    assert fuzzy == {
        *("investigate_activity.kql", "investigate_data_access.kql", "investigate_rights.kql"),
        "excluded_addresses.kql",  # of the query for analysts and the scheduled rule
    }


@pytest.mark.parametrize("table", [SIGN_INS, OPERATIONS])
def test_a_table_on_another_plan_is_named(
    table: str, connect: Connect, service: LogAnalyticsService
) -> None:
    """The error names the table on the other plan and what to do, and not the other table."""
    (other,) = {SIGN_INS, OPERATIONS} - {table}
    service.other_plan = {table}
    source = connect()
    outcome, record = run_once(source)
    assert record["Status"] == "Failure"
    (message,) = outcome.failures
    assert message.startswith(f"{table} in workspace {WORKSPACE}: is on a plan")
    assert message.endswith("set the table's plan to Analytics")
    assert other not in message
    assert "/search" not in message
    shapes = {shape.name: shape for shape in (SIGN_IN_TABLE, OPERATION_TABLE)}
    assert source.probe(shapes[other], TEN, RuleSettings())[0] is SourceState.OK
    with pytest.raises(SourceError, match=f"{table} .* plan to Analytics"):
        source.probe(shapes[table], TEN, RuleSettings())


def test_a_mixture_of_plans_names_all_tables(
    connect: Connect, service: LogAnalyticsService
) -> None:
    """If the service says that one of several tables is on another plan, the error names all."""
    words = "The query should contain a single Basic or Auxiliary Logs table."
    service.script("operations", refused(400, "BadArgumentError", ("Some", words)))
    with pytest.raises(SourceError, match=f"^{SIGN_INS} or {OPERATIONS} in .* plan to Analytics"):
        read(connect())


@pytest.mark.parametrize(
    ("status", "code", "said"), [(403, "InsufficientAccessError", "role"), (400, "SEM0", "refused")]
)
def test_an_error_names_the_table_it_is_about(
    status: int, code: str, said: str, connect: Connect, service: LogAnalyticsService
) -> None:
    """An error about the second table of a query names that table."""
    service.script("operations", refused(status, (code, f"No access to '{SIGN_INS}'.")))
    with pytest.raises(SourceError, match=f"^{SIGN_INS} in workspace .*{said}"):
        read(connect())


@pytest.mark.parametrize("kind", ["operations", "count_operations"])
def test_sign_ins_that_go_missing_are_an_error(
    kind: str, connect: Connect, service: LogAnalyticsService
) -> None:
    """If the sign-in table vanishes during a read, the error names it and not the operations."""
    gone = Reply(400, json.dumps(semantic_error("SEM0100", unresolved(SIGN_INS))).encode())
    service.script(kind, gone)
    with pytest.raises(
        SourceError, match=f"^{SIGN_INS} in .* the table disappeared while it was read"
    ):
        read(connect())


# Watchlists


@pytest.mark.parametrize("words", NO_WATCHLISTS)
@pytest.mark.parametrize("code", ["", "SEM0260", "SEM0999"])
def test_a_workspace_without_watchlists_has_none(
    code: str, words: tuple[str, str], connect: Connect, service: LogAnalyticsService
) -> None:
    """Every known message for a workspace without watchlists means a missing watchlist."""
    del service.tables[ALLOWLIST]
    service.no_watchlists = (code or words[0], words[1])
    _, record = run_once(connect())
    assert (record["Status"], record["AllowlistState"]) == ("Success", "Missing")
    assert record["FindingsNew"] == 1
    assert "Watchlist NetworkAllowlist is missing" in record["Reason"]


def test_other_errors_of_a_watchlist_are_errors(
    connect: Connect, service: LogAnalyticsService
) -> None:
    """A refusal for another reason does not mean a missing watchlist."""
    wrong = ("SEM0100", "'project' operator: Failed to resolve scalar expression named 'Item'")
    service.script("allowlist", refused(400, "BadArgumentError", "SemanticError", wrong))
    with pytest.raises(SourceError, match=r"NetworkAllowlist .* refused .* 'Item'"):
        read(connect())


ITEMS = [{"_DTItemId": str(n), "IPorRange": f"192.0.2.{n}"} for n in range(3)]
ANSWERS = [{"_DTItemId": str(n), "owner": "ops"} for n in range(2)]


@pytest.fixture(params=["python", "workspace", "recorded"])
def source(
    request: pytest.FixtureRequest, connect: Connect, service: LogAnalyticsService, tmp_path: Path
) -> Callable[[], LogSource]:
    """Return a function that connects to the service, or to a recording of its tables."""

    def connected() -> LogSource:
        if request.param != "recorded":
            return connect(limits=LIVE[request.param])
        for name, rows in service.tables.items():
            write_table(tmp_path, name, response_of(rows))
        return RecordedSource(tmp_path)

    return connected


def test_an_allowlist_without_its_column_is_a_warning(
    source: Callable[[], LogSource], service: LogAnalyticsService
) -> None:
    """Live or recorded, a watchlist without IPOrRange is a warning: it excludes no sign-in."""
    service.tables[ALLOWLIST] = ITEMS
    _, record = run_once(source())
    assert record["Status"] == "Warning"
    assert record["Reason"].startswith(
        "No item of NetworkAllowlist has a value in the column IPOrRange (items: 3): no sign-in is "
        "excluded; the column's name is case-sensitive"
    )
    assert (record["AllowlistState"], record["AllowlistEntries"]) == ("Ok", 0)


def test_exclusions_without_their_columns_are_a_warning(
    source: Callable[[], LogSource], service: LogAnalyticsService
) -> None:
    """Live or recorded, a watchlist without any known column is a warning."""
    service.tables[EXCLUSIONS] = ANSWERS
    _, record = run_once(source())
    assert record["Status"] == "Warning"
    assert (
        "No item of ManagedIdentityExclusions has a value in any of the columns" in record["Reason"]
    )


@pytest.mark.parametrize("table", [ALLOWLIST, EXCLUSIONS])
def test_a_blank_item_among_others_is_no_warning(
    table: str, source: Callable[[], LogSource], service: LogAnalyticsService
) -> None:
    """An empty row of a watchlist that has entries is no warning."""
    item = {"IPOrRange": "192.0.2.7", "ServicePrincipalId": "x", "Owner": "o", "Reason": "r"}
    service.tables[table] = [{"_DTItemId": "1"}, item | {"Expires": "2099-01-01", "_DTItemId": "2"}]
    assert run_once(source())[1]["Status"] == "Success"


def test_changes_without_a_caller_are_counted(
    source: Callable[[], LogSource], service: LogAnalyticsService
) -> None:
    """Live or recorded, accepted changes with a blank caller are counted and mentioned."""
    service.tables[SIGN_INS] += [sign_in(TEN, ServicePrincipalId=who) for who in ("", " ", "\t")]
    service.tables[OPERATIONS] += [
        *(operation(TEN - n, Caller=who) for n, who in enumerate(("", None, " ", "\t\u00a0"))),
        operation(TEN, Caller="", ActivityStatusValue="Succeeded"),
        operation(TEN, Caller="", ActivityStatusValue="Failure"),
        operation(TEN - 5 * HOUR, Caller=""),
    ]
    _, record = run_once(source())
    assert record["OperationsWithoutCaller"] == 4
    assert record["OperationsMatched"] == 12
    assert record["Status"] == "Success"
    assert "4 changes without a caller: no identity to pair with" in record["Reason"]


def test_without_blank_callers_nothing_is_mentioned(source: Callable[[], LogSource]) -> None:
    """The reason does not mention blank callers if there are none."""
    _, record = run_once(source())
    assert record["OperationsWithoutCaller"] == 0
    assert "no caller" not in record["Reason"]


def test_nil_ids_do_not_identify_events(
    source: Callable[[], LogSource], service: LogAnalyticsService
) -> None:
    """Events whose ids are all zeros are compared by their other fields."""
    nil = "00000000-0000-0000-0000-000000000000"
    for rows, column in (
        (service.tables[SIGN_INS], "Id"),
        (service.tables[OPERATIONS], "EventDataId"),
    ):
        for number, row in enumerate(rows):
            row[column] = nil
            row["CorrelationId"] = f"c{number % 4}"
            row["TimeGenerated"] = format_time(TEN - MINUTE)
    outcome, _ = run_once(source())
    (finding,) = outcome.findings
    assert (finding["DistinctSignIns"], finding["DistinctOperations"]) == (4, 4)
    assert finding["DataPlaneAccesses"] == 64


# Times in queries


def test_arrivals_are_searched_in_the_last_days_only(
    connect: Connect, service: LogAnalyticsService
) -> None:
    """The query names the oldest possible time, and finds every row that arrived since."""
    since, too_late = TEN - HOUR, TEN - HOUR - DAY
    late = {"IngestionTime": format_time(TEN - MINUTE)}
    service.tables[SIGN_INS] = [
        sign_in(since - 2 * DAY + 1, **late),
        sign_in(TEN - 9 * DAY, **late),
    ]
    moments = {"since": since, "now": TEN, "examined": TEN - HOUR, "too_late": too_late}
    assert connect().arrivals(**moments).too_late == 1
    for call in service.called("arrivals"):
        assert f"| where TimeGenerated > datetime({format_time(too_late - 3 * DAY)})" in call.query


# Rows that were counted


@pytest.mark.parametrize(("kind", "table"), [("sign_ins", SIGN_INS), ("operations", OPERATIONS)])
def test_counted_rows_that_are_missing_are_read_again(
    kind: str, table: str, connect: Connect, service: LogAnalyticsService
) -> None:
    """Counted rows that are missing are read again; if still missing, that is an error."""
    waits: list[float] = []
    columns = {SIGN_INS: SIGN_IN_TABLE, OPERATIONS: OPERATION_TABLE}[table].columns
    service.script(kind, no_rows(*columns))
    logs = read(connect(sleep=waits.append))
    assert ids(logs) == ([f"s{n}" for n in range(8)], [f"o{n}" for n in range(8)])
    assert waits == [1.0]
    service.script(kind, *[no_rows(*columns)] * 2)
    outcome, record = run_once(connect())
    assert record["Status"] == "Failure"
    assert outcome.failures[0].startswith(
        f"{table} in workspace {WORKSPACE}: two queries returned 0 rows, but 8 were counted"
    )


def test_counted_sign_ins_in_the_cluster_are_queried_again(
    connect: Connect, service: LogAnalyticsService
) -> None:
    """The second try also applies when no rows are transferred."""
    empty = no_rows("Address", "Matched")
    service.script("addresses", empty)
    outcome, _ = run_once(connect(limits=LIVE["workspace"]))
    assert len(outcome.findings) == 1
    service.script("addresses", empty, empty)
    outcome, record = run_once(connect(limits=LIVE["workspace"]))
    assert record["Status"] == "Failure"
    assert "two queries returned 0 rows, but 8 were counted" in outcome.failures[0]


@pytest.mark.parametrize("table", [SIGN_INS, OPERATIONS])
def test_a_table_that_the_cluster_sees_as_empty_is_queried_again(
    table: str, connect: Connect, service: LogAnalyticsService
) -> None:
    """Counted rows that the cluster did not see are an error after a second try."""
    waits: list[float] = []
    there = {SIGN_INS: 8, OPERATIONS: 8, table: 0}
    names = ("Part", "SignInsSeen", "OperationsSeen")
    seen = ((-1, there[SIGN_INS], None), (-1, None, there[OPERATIONS]))
    rows = [
        [dict(zip(names, row, strict=True)).get(name) for name in GROUP_COLUMNS] for row in seen
    ]
    blind = Reply(200, json.dumps(response(GROUP_COLUMNS, rows)).encode())
    service.script("correlate", blind)
    outcome, record = run_once(connect(limits=LIVE["workspace"], sleep=waits.append))
    assert (record["Status"], len(outcome.findings), waits) == ("Success", 1, [1.0])
    service.script("correlate", blind, blind)
    outcome, record = run_once(connect(limits=LIVE["workspace"]))
    assert record["Status"] == "Failure"
    assert outcome.failures[0].startswith(
        f"{table} in workspace {WORKSPACE}: two queries returned 0 rows, but 8 were counted"
    )


def test_an_empty_answer_of_the_cluster_is_an_error(
    connect: Connect, service: LogAnalyticsService
) -> None:
    """The cluster's answer always states how many rows it saw; an empty answer is an error."""
    service.script("correlate", *[no_rows(*GROUP_COLUMNS)] * 2)
    outcome, record = run_once(connect(limits=LIVE["workspace"]))
    assert record["Status"] == "Failure"
    assert "two queries returned 0 rows, but 8 were counted" in outcome.failures[0]


@pytest.mark.parametrize("where", ["python", "workspace", "auto", "hot"])
@pytest.mark.parametrize("missing", [{SIGN_INS}, {OPERATIONS}, {SIGN_INS, OPERATIONS}])
def test_missing_tables_are_a_warning_wherever_the_window_is_correlated(
    missing: set[str], where: str, connect: Connect, service: LogAnalyticsService
) -> None:
    """Without a table nothing is correlated, and the run names the missing table."""
    for table in missing:
        del service.tables[table]
    auto = {
        "auto": Limits(rows_in_process=4),
        "hot": Limits(rows_per_partition=0, rows_in_process=100),
    }  # large enough for the cluster
    outcome, record = run_once(connect(limits=(LIVE | auto)[where]))
    assert outcome.failures == []
    assert record["Status"] == "Warning"
    for table, state in ((SIGN_INS, "SignInsState"), (OPERATIONS, "OperationsState")):
        assert record[state] == ("Missing" if table in missing else "Ok")
    assert record["SignInsMatched"] == (0 if SIGN_INS in missing else 8)
    assert not service.called("correlate")


def test_without_operations_to_pair_the_cluster_correlates_nothing(
    connect: Connect, service: LogAnalyticsService
) -> None:
    """Sign-ins of identities without operations are only counted, with the allowlisted ones."""
    service.tables[OPERATIONS] = [operation(TEN, Caller="somebody else")]
    _, record = run_once(connect(limits=LIVE["workspace"]))
    assert (record["Status"], record["SignInsMatched"]) == ("Success", 8)
    assert record["OperationsMatched"] == 1
    assert service.called("addresses")
    assert not service.called("correlate")


def test_more_rows_than_counted_are_accepted(
    connect: Connect, service: LogAnalyticsService
) -> None:
    """Rows that arrive after the count are read at once, without a second query."""
    counted = response(["Bucket", "Matched"], [[n, 1] for n in range(1024)])
    few = json.dumps(counted).encode()
    service.tables[SIGN_INS] = service.tables[SIGN_INS] * 200
    service.script("count_sign_ins", Reply(200, few))
    assert len(read(connect()).sign_ins) == 1600
    assert len(service.called("sign_ins")) == 1


@pytest.mark.parametrize("where", ["python", "workspace"])
def test_contradicting_counts_are_queried_again(
    where: str, connect: Connect, service: LogAnalyticsService
) -> None:
    """A missing count of sign-ins never drops the operations of identities that signed in."""
    waits: list[float] = []
    none = no_rows("Bucket", "Matched")
    service.script("count_sign_ins", none)
    outcome, record = run_once(connect(limits=LIVE[where], sleep=waits.append))
    assert (record["Status"], len(outcome.findings), waits) == ("Success", 1, [1.0])
    service.script("count_sign_ins", none, none)
    outcome, record = run_once(connect(limits=LIVE[where]))
    assert (record["Status"], len(outcome.findings)) == ("Failure", 0)
    assert outcome.failures[0].startswith(
        f"{SIGN_INS} in workspace {WORKSPACE}: two counts found no sign-ins of identities that, "
        f"by the count of {OPERATIONS}, signed in"
    )


SHORT = [refused(status, "BadArgumentError", LOW_MEMORY) for status in (400, 500)]
RETRIED_KINDS = (
    "count_sign_ins",
    "count_operations",
    "latest",
    "allowlist",
    "exclusions",
    "actions",
)


@pytest.mark.parametrize("short", SHORT, ids=lambda reply: str(reply.status))
@pytest.mark.parametrize("kind", RETRIED_KINDS)
def test_a_temporary_lack_of_memory_is_retried(
    kind: str, short: Reply, connect: Connect, service: LogAnalyticsService
) -> None:
    """A query that cannot be split is retried before it fails."""
    waits: list[float] = []
    service.script(kind, short)
    outcome, record = run_once(connect(sleep=waits.append))
    assert (record["Status"], outcome.failures) == ("Success", [])
    assert len(outcome.findings) == 1
    assert waits == [1.0]


def test_clock_and_arrivals_are_retried_too(connect: Connect, service: LogAnalyticsService) -> None:
    """The queries that run before the window is known are retried as well."""
    for kind in ("clock", "arrivals"):
        service.script(kind, SHORT[1])
    assert connect().clock() > TEN
    moments = {"since": TEN - HOUR, "now": TEN, "examined": TEN, "too_late": TEN - DAY}
    assert connect().arrivals(**moments).too_late == 0


def test_one_identity_without_memory_in_the_cluster_is_retried(
    connect: Connect, service: LogAnalyticsService
) -> None:
    """A query for many buckets is split; a query for one bucket is retried once."""
    service.script("correlate", *[SHORT[1]] * 3)  # all, half of them, and the one
    outcome, _ = run_once(connect(limits=LIVE["workspace"]))
    assert (outcome.failures, len(outcome.findings)) == ([], 1)
    assert len(service.called("correlate")) == 4


# Connections


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(
    status: int, connect: Connect, service: LogAnalyticsService
) -> None:
    """A redirect is an error that names it, and its target receives no request."""
    with LogAnalyticsService({SIGN_INS: [], OPERATIONS: []}) as other:
        there = f"{other.endpoint}/v1/workspaces/{WORKSPACE}/query"
        service.script("sign_ins", *[Reply(status, b"", {"Location": there})] * 2)
        with pytest.raises(SourceError, match=rf"redirect \(HTTP {status}\), which is not follow"):
            read(connect())
        assert not other.calls
        assert not other.complaints


def test_a_dripping_answer_times_out_as_a_whole(
    connect: Connect, service: LogAnalyticsService
) -> None:
    """An answer that comes byte by byte times out as a whole, however short the pauses."""
    service.script("sign_ins", *[Reply(drip=0.02)] * 2)
    began = time.monotonic()
    with pytest.raises(SourceError, match=r"no complete answer within .* tried 2 times"):
        read(connect(limits=Limits(read_timeout=0.5)))
    assert time.monotonic() - began < 4


def test_dripping_headers_time_out_too() -> None:
    """The time-out also applies before the answer's headers are complete."""
    gone = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            while not gone.wait(0.02):
                connection.sendall(b"H")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,))
        thread.start()
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with (
            client_for(endpoint) as client,
            pytest.raises(TransientError, match="no complete answer within"),
        ):
            exchange(client, HttpRequest("POST", "/workspaces/x/query"), 0.5, "here")
        gone.set()
        thread.join()


@pytest.mark.filterwarnings("ignore:Exception ignored in")  # the transport leaves its socket open
def test_invalid_headers_are_a_transient_error() -> None:
    """An exception of the transport itself becomes a one-line error that is retried."""

    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with (
            client_for(endpoint) as client,
            pytest.raises(TransientError, match=r"unexpectedly \(ValueError: "),
        ):
            exchange(client, HttpRequest("POST", "/workspaces/x/query"), 5, "here")
        thread.join()
    gc.collect()


def test_an_invalid_endpoint_is_a_transient_error() -> None:
    """The transport's exception about an address becomes an error of the product."""
    request = HttpRequest("POST", "/workspaces/x/query")
    with (
        client_for("http://a..b") as client,
        pytest.raises(TransientError, match=r"unexpectedly|reached"),
    ):
        exchange(client, request, 5, "here")


def test_nothing_is_read_after_the_deadline(connect: Connect, service: LogAnalyticsService) -> None:
    """A deadline in the middle of an answer ends the read."""
    service.script("latest", *[Reply(drip=0.5)] * 2)
    began = time.monotonic()
    with pytest.raises(SourceError, match=r"no time was left|no complete answer within"):
        read(connect(limits=Limits(deadline=began + 1)))
    assert time.monotonic() - began < 4


def test_a_slow_answer_in_time_is_accepted(connect: Connect, service: LogAnalyticsService) -> None:
    """An answer that drips and completes in time is used."""
    service.script("latest", Reply(drip=0.001))
    assert read(connect(limits=Limits(read_timeout=30))).latest[SIGN_INS] == TEN
    assert WINDOW.end == TEN
