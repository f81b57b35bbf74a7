"""A window in parts: whatever the cut, and wherever a part is correlated, it is the same window."""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.errors import SourceError
from detection.pipeline.invocation import Invocation, Outcome
from detection.pipeline.job import run
from detection.rule.correlate import Group
from detection.rule.filters import RuleSettings
from detection.rule.kql_text import ascii_lower
from detection.rule.log_rows import IDENTITY, Logs
from detection.rule.ticks import HOUR, MINUTE, format_time, parse_time
from detection.sources import Correlated
from detection.sources.log_analytics.client import Limits
from detection.sources.workspace.kusto_correlation import GROUP_COLUMNS, MAX_EXCLUDED_ADDRESSES
from detection.sources.workspace.kusto_pairs import PAIR_COLUMNS as TRACED
from detection.sources.workspace.partitions import BUCKETS, group_buckets, split
from detection.sources.workspace.source import WorkspaceSource
from detection.state import ReadOnlyStore
from detection.state.folder import FolderStore
from detection.window import Mode, Window
from tests.support import ALLOWLIST, NOW, OPERATIONS, SIGN_INS, Collected, response
from tests.support.kusto import bucket_of
from tests.support.services.log_analytics import (
    LOW_MEMORY,
    RUNAWAY,
    TOO_COMPLEX,
    TOO_MANY,
    WORKSPACE,
    LogAnalyticsService,
    Reply,
    Rows,
    client_for,
    failure,
    semantic,
)

TEN = parse_time(NOW)
WINDOW = Window(TEN - 2 * HOUR, TEN, Mode.SCHEDULED)
SPELLINGS = (str, str.upper, str.title)
HERE, THERE = math.inf, -1
WHOLE = Limits(rows_in_process=HERE)
GONE = semantic("SEM0100", f"Failed to resolve table or column expression named '{SIGN_INS}'")
DIFFERENT = ("BytesRead", "DurationMs", "SignInsRead", "OperationsRead")


def logs_of(identities: int, each: int, strangers: int = 0) -> dict[str, Rows]:
    """Return sign-ins and operations of some identities, spelt in several ways, and of others."""
    tables: dict[str, Rows] = {
        SIGN_INS: [],
        OPERATIONS: [],
        ALLOWLIST: [{"IPOrRange": "192.0.2.0/24"}, {"IPOrRange": "nothing"}],
    }
    for number in range(identities):
        for turn in range(each):
            spelt = SPELLINGS[turn % 3](f"identity-\u212a-{number}")
            at = TEN - (number * 7 + turn * 13) % 100 * MINUTE - MINUTE
            address = "192.0.2.9" if turn == 1 else ""
            tables[SIGN_INS].append(sign_in(spelt, at, f"s{number}.{turn}", address))
            name, group = f"o{number}.{turn}", f"rg-{turn % 3}"
            tables[OPERATIONS].append(operation(spelt, at + MINUTE, name, group=group))
    for number in range(strangers):
        status = "Succeeded" if number % 3 else "Success"
        tables[OPERATIONS].append(operation(f"stranger-{number}", TEN, f"x{number}", status))
    for blank in ("", " ", None):
        tables[SIGN_INS].append(sign_in(blank, TEN, "blank"))
        tables[OPERATIONS].append(operation(blank, TEN, "blank"))
    return tables


def sign_in(identity: str | None, at: int, name: str, address: str = "") -> dict[str, Any]:
    """Return a sign-in to Key Vault."""
    return {
        "TimeGenerated": format_time(at),
        "ServicePrincipalId": identity,
        "ResultType": "0",
        "ResourceDisplayName": "Azure Key Vault",
        "ServicePrincipalName": "app",
        "IPAddress": address,
        "Id": name,
    }


def operation(
    identity: str | None, at: int, name: str, status: str = "Success", group: str = "rg"
) -> dict[str, Any]:
    """Return a deletion."""
    return {
        "TimeGenerated": format_time(at),
        "Caller": identity,
        "OperationNameValue": "MICROSOFT.KEYVAULT/VAULTS/DELETE",
        "ActivityStatusValue": status,
        "ResourceGroup": group,
        "EventDataId": name,
    }


@contextmanager
def source_of(service: LogAnalyticsService, limits: Limits = WHOLE) -> Iterator[WorkspaceSource]:
    """Connect a source."""
    with client_for(service.endpoint) as client:
        yield WorkspaceSource(
            client=client,
            workspace_id=WORKSPACE,
            limits=limits,
            sleep=lambda _: None,
        )


def job(service: LogAnalyticsService, limits: Limits) -> tuple[Outcome, dict[str, Any]]:
    """Run the job; return its outcome, and its record without what may differ."""
    with source_of(service, limits) as source:
        outcome = run(source, Collected(), ReadOnlyStore(), Invocation(WORKSPACE, TEN))
    (record,) = outcome.records
    return outcome, {name: value for name, value in record.items() if name not in DIFFERENT}


def correlated(part: Logs | Correlated) -> list[Group]:
    """Return the groups of a part that was correlated in the workspace."""
    assert isinstance(part, Correlated)
    return part.detection.groups


def traced(rows: Sequence[Sequence[object]], **beside: object) -> bytes:
    """Return these rows as an answer about traces."""
    return json.dumps(response(TRACED, rows) | beside).encode()


def read(service: LogAnalyticsService, limits: Limits) -> list[Logs]:
    """Return the parts that hold rows."""
    with source_of(service, limits) as source:
        parts = list(source.parts(WINDOW, TEN, RuleSettings()))
    assert isinstance(parts[0], Correlated)
    return [part for part in parts if isinstance(part, Logs)]


@pytest.fixture
def service() -> Iterator[LogAnalyticsService]:
    """Serve 60 identities with six events on each side, and strangers."""
    with LogAnalyticsService(logs_of(60, 6, strangers=30)) as running:
        yield running
    assert running.complaints == []


@pytest.mark.parametrize("together", [1, 25, 200])
def test_parts_come_to_what_the_whole_comes_to(together: int, service: LogAnalyticsService) -> None:
    """However many identities are read at once, the findings, their order and counts are the same.

    Only a part at a time is read, and more of them the less is read at once.
    """
    whole, record = job(service, WHOLE)
    service.calls.clear()
    parted, same = job(service, Limits(rows_in_process=HERE, rows_per_partition=together))
    assert len(whole.findings) == 180
    assert parted.findings == whole.findings
    assert same == record
    assert len(service.called("sign_ins")) >= min(60, 700 // together)


def test_the_cluster_comes_to_the_same(service: LogAnalyticsService) -> None:
    """A window correlated in the workspace has the same findings and counts, and no row travels."""
    whole, record = job(service, WHOLE)
    service.calls.clear()
    there, same = job(service, Limits(rows_in_process=THERE))
    assert there.findings == whole.findings
    assert same == record
    assert not service.called("sign_ins") + service.called("operations")
    assert [row["SignInsRead"] + row["OperationsRead"] for row in there.records] == [0]


def test_an_identity_is_in_one_part(service: LogAnalyticsService) -> None:
    """All rows of an identity are read together, both sides and however it is spelt."""
    parts = read(service, Limits(rows_in_process=HERE, rows_per_partition=30))
    held = [
        {ascii_lower(str(row[IDENTITY])) for row in (*part.sign_ins, *part.operations)}
        for part in parts
    ]
    assert len(parts) > 10
    assert sum(map(len, held)) == len(set().union(*held))


def test_strangers_and_blanks_are_counted_and_not_read(service: LogAnalyticsService) -> None:
    """Operations of identities that did not sign in stay there; the record counts them (D8)."""
    (part,) = read(service, WHOLE)
    assert not any("stranger" in row[IDENTITY] for row in part.operations)
    assert not any(row[IDENTITY] == "" for row in part.operations)
    _, record = job(service, WHOLE)
    assert record["OperationsMatched"] == 60 * 6 + 10 + 3
    assert record["OperationsSucceededSpelling"] == 20
    assert record["OperationsWithoutCaller"] == 3
    assert record["SignInsMatched"] == 60 * 6 + 3
    assert record["SignInsExcluded"] == 60


@pytest.mark.parametrize(
    "limits", [WHOLE, Limits(rows_in_process=THERE)], ids=["python", "workspace"]
)
def test_d8_still_warns_when_only_without_sign_in_succeeded(limits: Limits) -> None:
    """With nothing but changes spelt Succeeded the run is a Warning, whoever made them."""
    tables = logs_of(2, 1)
    tables[OPERATIONS] = [operation("somebody", TEN, "x", "Succeeded")]
    with LogAnalyticsService(tables) as service:
        _, record = job(service, limits)
    assert record["Status"] == "Warning"
    assert "spelt Succeeded" in record["Reason"]


@pytest.mark.parametrize("says_so", [True, False])
@pytest.mark.parametrize(
    "limits",
    [
        Limits(rows_in_process=HERE, rows_per_answer=100),
        Limits(rows_in_process=THERE, rows_per_answer=120),
    ],
)
def test_a_cut_answer_is_asked_for_in_halves(
    limits: Limits, says_so: bool, service: LogAnalyticsService
) -> None:
    """When an answer lacks rows its identities are cut in two, until all rows are there.

    That holds for rows and for groups, and whether the service says that it cut or does not.
    """
    whole, record = job(service, WHOLE)
    service.calls.clear()
    service.row_limit, service.says_when_cut = limits.rows_per_answer, says_so
    parted, same = job(service, limits)
    assert parted.findings == whole.findings
    assert same == record
    kind = "correlate" if limits.rows_in_process == THERE else "sign_ins"
    assert len(service.called(kind)) >= 3


def test_one_identity_that_is_too_much_is_read_in_halves_of_time() -> None:
    """Where a single identity is more than an answer holds, nothing of it is left out either."""
    with LogAnalyticsService(logs_of(1, 90)) as service:
        whole, record = job(service, WHOLE)
        service.row_limit = 50
        parted, same = job(service, Limits(rows_in_process=HERE, rows_per_answer=50))
    assert parted.findings == whole.findings
    assert same == record


def test_the_cluster_says_when_one_identity_is_too_much() -> None:
    """Groups that no answer holds are an error that says what to do, and never a part of them."""
    with LogAnalyticsService(logs_of(1, 1)) as service:
        service.script("correlate", *[Reply(error=TOO_MANY)] * 20)
        outcome, record = job(service, Limits(rows_in_process=THERE))
    assert record["Status"] == "Failure"
    assert "CORRELATE_IN to python" in outcome.failures[0]


def test_traces_are_asked_for_once_a_part_with_something_new(
    service: LogAnalyticsService, tmp_path: Path
) -> None:
    """One more query for a part with findings, and none where all was reported before."""
    with source_of(service, Limits(rows_in_process=THERE)) as source:
        store = FolderStore(tmp_path)
        first = run(source, Collected(), store, Invocation(WORKSPACE, TEN))
        assert len(first.findings) == 180
        assert len(service.called("correlate")) == len(service.called("pairs")) == 1
        again = run(source, Collected(), store, Invocation(WORKSPACE, TEN + MINUTE))
    assert again.findings == []
    assert len(service.called("correlate")) == 2
    assert len(service.called("pairs")) == 1


@pytest.mark.parametrize("says_so", [True, False])
def test_traces_that_are_cut_are_asked_for_in_halves(
    says_so: bool, service: LogAnalyticsService
) -> None:
    """Where the pairs to show are more than an answer holds, every finding has all of its own."""
    whole, record = job(service, WHOLE)
    with source_of(service, Limits(rows_in_process=THERE)) as source:
        groups = [g for part in source.parts(WINDOW, TEN, RuleSettings()) for g in correlated(part)]
        service.row_limit, service.says_when_cut = 200, says_so
    assert len(groups) == 180  # which one answer holds, but not their pairs
    parted, same = job(service, Limits(rows_in_process=THERE, rows_per_answer=200))
    assert parted.findings == whole.findings
    assert same == record
    assert len(service.called("correlate")) == 2
    assert len(service.called("pairs")) >= 3


# The first has the rows all the same, the others take less time to make.
CUT = [Reply(error=TOO_MANY), *[Reply(200, traced([], error=TOO_MANY))] * 40]
UNREADABLE = {
    "cut": (CUT, "the pairs exceed one answer"),
    "refused": ([Reply(403, b"{}")], "access is denied"),
    "broken": ([Reply(500, b"{}")] * 2, "Log Analytics failed"),
    "missing": ([Reply(400, json.dumps(GONE).encode())], "Failed to resolve table"),
    "nonsense": (
        [Reply(200, traced([["x"] * len(TRACED)]))],
        "the cluster returned no pairs of the group",
    ),
    "unreadable": (
        [Reply(200, traced([["identity-\u212a-0", "app", "rg-0", *["x"] * 11]]))],
        "the pairs in the cluster's answer are unreadable",
    ),
    "empty": ([Reply(200, traced([]))], "the cluster returned no pairs of the group"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_finding_is_reported_without_traces_that_cannot_be_read(case: str) -> None:
    """Whatever becomes of the query, the finding is there with its columns, and a warning."""
    replies, problem = UNREADABLE[case]
    with LogAnalyticsService(logs_of(1, 1)) as service:
        whole, _ = job(service, WHOLE)
        service.script("pairs", *replies)
        outcome, record = job(service, Limits(rows_in_process=THERE))
    assert record["Status"] == "Warning"
    assert "Evidence could not be read, and scores may be too low: " in record["Reason"]
    assert problem in record["Reason"]
    assert outcome.failures == []
    (finding,), (known,) = outcome.findings, whole.findings
    assert finding["Evidence"] == []
    assert 0 < finding["RiskScore"] <= known["RiskScore"]
    made_of_traces = {"Evidence", "RiskScore", "RiskReasons", "SuggestedSeverity"}
    assert {**finding, **dict.fromkeys(made_of_traces)} == {
        **known,
        **dict.fromkeys(made_of_traces),
    }


def test_one_identity_whose_traces_are_too_many_leaves_the_others_theirs() -> None:
    """Only what a single bucket's cut answer lacks is missing, and nothing is asked twice."""
    tables, many = logs_of(5, 1), logs_of(1, 30)
    for row in many[SIGN_INS]:
        tables[SIGN_INS].append(row | {"ServicePrincipalId": "many"})
    for number, row in enumerate(many[OPERATIONS]):
        tables[OPERATIONS].append(
            row | {"Caller": "many", "OperationNameValue": f"a/kind{number}/write"}
        )
    with LogAnalyticsService(tables) as service:
        whole, _ = job(service, WHOLE)
        service.row_limit = 15
        outcome, record = job(service, Limits(rows_in_process=THERE, rows_per_answer=15))
        asked = [call.query for call in service.called("pairs")]
    assert "the pairs exceed one answer" in record["Reason"]
    assert len(asked) == len(set(asked))
    for finding, known in zip(outcome.findings, whole.findings, strict=True):
        if finding["ServicePrincipalId"] == "many":
            assert finding["Evidence"] == []
        else:
            assert finding == known
    assert sum(finding["Evidence"] == [] for finding in outcome.findings) == 4


@pytest.mark.parametrize(
    ("here", "where"), [(HERE, {"here"}), (4_000_000, {"here", "there"}), (700, {"there"})]
)
def test_a_window_is_correlated_where_it_fits(here: float, where: set[str]) -> None:
    """A hot identity goes to the cluster, a large window does wholly, unless that is ruled out."""
    tables, hot = logs_of(10, 6), logs_of(1, 300)
    for name in (SIGN_INS, OPERATIONS):
        tables[name] += hot[name]
    with LogAnalyticsService(tables) as service:
        whole, _ = job(service, WHOLE)
        service.calls.clear()
        parted, _ = job(service, Limits(rows_in_process=here, rows_per_partition=60))
        assert parted.findings == whole.findings
        kinds = {call.kind for call in service.calls}
    asked = {"here": "sign_ins" in kinds, "there": "correlate" in kinds}
    assert {name for name, was in asked.items() if was} == where


def many_addresses(identities: int, each: int) -> dict[str, Rows]:
    """Return sign-ins of some identities, each from so many addresses, which are allowed."""
    tables = logs_of(3, 2)
    tables[ALLOWLIST] = [{"IPOrRange": "10.0.0.0/8"}]
    for number in range(identities):
        before = operation(f"many-{number}", TEN - MINUTE, f"o{number}")
        tables[OPERATIONS].append(before)
        for n in range(each):
            address = f"10.{number}.{n // 256}.{n % 256}"
            tables[SIGN_INS].append(sign_in(f"many-{number}", TEN, f"s{number}.{n}", address))
    return tables


def test_more_addresses_than_a_query_can_name_are_an_error() -> None:
    """Sign-ins of one identity from very many allowlisted addresses are never half left out."""
    with LogAnalyticsService(many_addresses(1, MAX_EXCLUDED_ADDRESSES + 1)) as service:
        outcome, _ = job(service, Limits(rows_in_process=THERE))
    assert f"{MAX_EXCLUDED_ADDRESSES + 1} addresses" in outcome.failures[0]
    assert "set CORRELATE_IN to python" in outcome.failures[0]


def test_addresses_of_several_identities_are_named_in_several_queries() -> None:
    """What one query cannot name all of is halved, and no query is longer than it may be."""
    with LogAnalyticsService(many_addresses(3, MAX_EXCLUDED_ADDRESSES - 1)) as service:
        whole, record = job(service, WHOLE)
        there, same = job(service, Limits(rows_in_process=THERE))
        asked = [call.query for call in service.called("correlate")]
    assert there.findings == whole.findings
    assert same == record
    assert record["SignInsExcluded"] == 3 * (MAX_EXCLUDED_ADDRESSES - 1)
    assert len(asked) >= 3
    assert max(map(len, asked)) < 100_000


TOO_MUCH = [TOO_COMPLEX, LOW_MEMORY, RUNAWAY]


@pytest.mark.parametrize("words", TOO_MUCH, ids=lambda words: str(words[0]))
@pytest.mark.parametrize("kind", ["correlate", "pairs"])
def test_what_is_too_much_for_the_cluster_is_asked_for_in_halves(
    kind: str, words: tuple[str, str], service: LogAnalyticsService
) -> None:
    """A query that the cluster cannot do for many identities is asked for fewer of them."""
    whole, record = job(service, WHOLE)
    service.script(kind, *[Reply(400, json.dumps(failure("BadArgumentError", words)).encode())] * 2)
    there, same = job(service, Limits(rows_in_process=THERE))
    assert there.findings == whole.findings
    assert same == record
    assert len(service.called(kind)) >= 5


def test_the_cluster_says_when_one_identity_is_too_complex() -> None:
    """What it cannot do even for one bucket is an error that says what to set."""
    body = json.dumps(failure("BadArgumentError", TOO_COMPLEX)).encode()
    with LogAnalyticsService(logs_of(1, 1)) as service:
        service.script("correlate", *[Reply(400, body)] * 30)
        outcome, record = job(service, Limits(rows_in_process=THERE))
    assert record["Status"] == "Failure"
    assert "CRT0015" in outcome.failures[0]
    assert outcome.failures[0].endswith("set CORRELATE_IN to python")


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("addresses", ["x", "-"]),
        ("addresses", ["x", None]),
        ("correlate", ["x"] * len(GROUP_COLUMNS)),
        ("correlate", [None] * len(GROUP_COLUMNS)),
        ("correlate", ["[]", *["1"] * (len(GROUP_COLUMNS) - 1)]),
    ],
)
def test_what_the_cluster_could_not_have_said_is_an_error(
    kind: str, values: Sequence[object], service: LogAnalyticsService
) -> None:
    """An answer that cannot be read is not taken for findings, nor for none."""
    names = ["Address", "Matched"] if kind == "addresses" else GROUP_COLUMNS
    columns = [{"name": name, "type": "string"} for name in names]
    told = {"Part": -1, "SignInsSeen": 9_999, "OperationsSeen": 9_999}
    seen = [[told.get(name) for name in names]] if kind == "correlate" else []
    table = {"name": "PrimaryResult", "columns": columns, "rows": [values, *seen]}
    service.script(kind, *[Reply(200, json.dumps({"tables": [table]}).encode())] * 3)
    with (
        source_of(service, Limits(rows_in_process=THERE)) as source,
        pytest.raises(SourceError, match="the answer of its cluster is unreadable"),
    ):
        list(source.parts(WINDOW, TEN, RuleSettings()))


COUNTS = st.dictionaries(st.integers(0, BUCKETS - 1), st.integers(0, 50), max_size=30)


@settings(max_examples=50)
@given(COUNTS, st.integers(1, 100))
def test_cuts_hold_all_buckets_once(counts: dict[int, int], most: int) -> None:
    """Neighbouring cuts are all buckets, and hold too many rows only where one bucket does."""
    cuts = list(group_buckets(counts, most))
    assert [bucket for part in cuts for bucket in part] == list(range(BUCKETS))
    for part in cuts:
        rows = [counts[bucket] for bucket in part if counts.get(bucket)]
        assert sum(rows) <= most or len(rows) == 1


@settings(max_examples=50)
@given(COUNTS, st.integers(0, BUCKETS - 2), st.integers(2, BUCKETS))
def test_halves_hold_the_same_buckets(counts: dict[int, int], start: int, size: int) -> None:
    """Two halves are the whole, and neither is empty, whatever was counted."""
    whole = range(start, min(start + size, BUCKETS))
    one, other = split(whole, counts)
    assert [*one, *other] == list(whole)
    assert one
    assert other


@given(st.text(), st.text())
def test_identities_that_pair_are_in_one_bucket(one: str, other: str) -> None:
    """Lowering all letters, as the queries do, joins whatever lowering A to Z joins (D3)."""
    spelt = "".join(chr(ord(c) ^ 32) if c.isascii() and c.isalpha() else c for c in one)
    assert ascii_lower(spelt) == ascii_lower(one)
    assert bucket_of(spelt) == bucket_of(one)
    assert ascii_lower(one) != ascii_lower(other) or bucket_of(one) == bucket_of(other)
