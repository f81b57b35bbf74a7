"""A window gives the same findings in any partitions, correlated in Python or in the cluster."""

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
from detection.kql.constants import BUCKETS
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
from detection.sources.workspace.kusto_pairs import PAIR_COLUMNS
from detection.sources.workspace.partitions import group_buckets, split
from detection.sources.workspace.source import WorkspaceSource
from detection.state import ReadOnlyStore
from detection.state.folder import FolderStore
from detection.window import Mode, Window
from emulator.kusto.translation import bucket_of
from emulator.services.api_errors import api_error, semantic_error, too_many_rows
from tests.support import ALLOWLIST, NOW, OPERATIONS, SIGN_INS, Collected, response
from tests.support.services.known_queries import Rows
from tests.support.services.log_analytics import (
    LOW_MEMORY,
    RUNAWAY,
    TOO_COMPLEX,
    WORKSPACE,
    LogAnalyticsService,
    Reply,
    client_for,
)

TEN = parse_time(NOW)
WINDOW = Window(TEN - 2 * HOUR, TEN, Mode.SCHEDULED)
SPELLINGS = (str, str.upper, str.title)
ALL_IN_PYTHON, ALL_IN_CLUSTER = math.inf, -1
WHOLE = Limits(rows_in_process=ALL_IN_PYTHON)
TABLE_MISSING = semantic_error(
    "SEM0100", f"Failed to resolve table or column expression named '{SIGN_INS}'"
)
NOT_COMPARED = ("BytesRead", "DurationMs", "SignInsRead", "OperationsRead")


def logs_of(identities: int, each: int, unmatched: int = 0) -> dict[str, Rows]:
    """Return events of identities in several spellings, and operations of unmatched callers."""
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
    for number in range(unmatched):
        status = "Succeeded" if number % 3 else "Success"
        tables[OPERATIONS].append(operation(f"unmatched-{number}", TEN, f"x{number}", status))
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
def connected_source(
    service: LogAnalyticsService, limits: Limits = WHOLE
) -> Iterator[WorkspaceSource]:
    """Connect a source."""
    with client_for(service.endpoint) as client:
        yield WorkspaceSource(
            client=client,
            workspace_id=WORKSPACE,
            limits=limits,
            sleep=lambda _: None,
        )


def run_once(service: LogAnalyticsService, limits: Limits) -> tuple[Outcome, dict[str, Any]]:
    """Run the job; return its outcome, and the fields of its record that must be equal."""
    with connected_source(service, limits) as source:
        outcome = run(source, Collected(), ReadOnlyStore(), Invocation(WORKSPACE, TEN))
    (record,) = outcome.records
    return outcome, {name: value for name, value in record.items() if name not in NOT_COMPARED}


def groups_of(part: Logs | Correlated) -> list[Group]:
    """Return the groups of a part that was correlated in the cluster."""
    assert isinstance(part, Correlated)
    return part.detection.groups


def pairs_answer(rows: Sequence[Sequence[object]], **beside: object) -> bytes:
    """Return these rows as an answer of the pairs query."""
    return json.dumps(response(PAIR_COLUMNS, rows) | beside).encode()


def read_parts(service: LogAnalyticsService, limits: Limits) -> list[Logs]:
    """Return the parts that hold rows."""
    with connected_source(service, limits) as source:
        parts = list(source.parts(WINDOW, TEN, RuleSettings()))
    assert isinstance(parts[0], Correlated)
    return [part for part in parts if isinstance(part, Logs)]


@pytest.fixture
def service() -> Iterator[LogAnalyticsService]:
    """Serve 60 identities with six events on each side, and callers that never signed in."""
    with LogAnalyticsService(logs_of(60, 6, unmatched=30)) as running:
        yield running
    assert running.complaints == []


@pytest.mark.parametrize("rows_per_partition", [1, 25, 200])
def test_partitions_give_the_findings_of_the_whole(
    rows_per_partition: int, service: LogAnalyticsService
) -> None:
    """For any size of partitions, the findings, their order and the counts are the same.

    Smaller partitions mean more queries.
    """
    whole, record = run_once(service, WHOLE)
    service.calls.clear()
    parted, same = run_once(
        service, Limits(rows_in_process=ALL_IN_PYTHON, rows_per_partition=rows_per_partition)
    )
    assert len(whole.findings) == 180
    assert parted.findings == whole.findings
    assert same == record
    assert len(service.called("sign_ins")) >= min(60, 700 // rows_per_partition)


def test_the_cluster_gives_the_same_findings(service: LogAnalyticsService) -> None:
    """A window correlated in the cluster gives the same findings and counts without any row."""
    whole, record = run_once(service, WHOLE)
    service.calls.clear()
    there, same = run_once(service, Limits(rows_in_process=ALL_IN_CLUSTER))
    assert there.findings == whole.findings
    assert same == record
    assert not service.called("sign_ins") + service.called("operations")
    assert [row["SignInsRead"] + row["OperationsRead"] for row in there.records] == [0]


def test_an_identity_is_in_one_partition(service: LogAnalyticsService) -> None:
    """All rows of an identity are in one partition, on both sides and in any spelling."""
    parts = read_parts(service, Limits(rows_in_process=ALL_IN_PYTHON, rows_per_partition=30))
    held = [
        {ascii_lower(str(row[IDENTITY])) for row in (*part.sign_ins, *part.operations)}
        for part in parts
    ]
    assert len(parts) > 10
    assert sum(map(len, held)) == len(set().union(*held))


def test_unmatched_callers_are_counted_and_not_read(service: LogAnalyticsService) -> None:
    """Operations of identities that did not sign in are counted and not read (D8)."""
    (part,) = read_parts(service, WHOLE)
    assert not any("unmatched" in row[IDENTITY] for row in part.operations)
    assert not any(row[IDENTITY] == "" for row in part.operations)
    _, record = run_once(service, WHOLE)
    assert record["OperationsMatched"] == 60 * 6 + 10 + 3
    assert record["OperationsSucceededSpelling"] == 20
    assert record["OperationsWithoutCaller"] == 3
    assert record["SignInsMatched"] == 60 * 6 + 3
    assert record["SignInsExcluded"] == 60


@pytest.mark.parametrize(
    "limits", [WHOLE, Limits(rows_in_process=ALL_IN_CLUSTER)], ids=["python", "workspace"]
)
def test_d8_warns_even_if_no_caller_signed_in(limits: Limits) -> None:
    """If all changes are spelt Succeeded, the run is a Warning, even if no caller signed in."""
    tables = logs_of(2, 1)
    tables[OPERATIONS] = [operation("somebody", TEN, "x", "Succeeded")]
    with LogAnalyticsService(tables) as service:
        _, record = run_once(service, limits)
    assert record["Status"] == "Warning"
    assert "ignored for the status Succeeded" in record["Reason"]


@pytest.mark.parametrize("says_so", [True, False])
@pytest.mark.parametrize(
    "limits",
    [
        Limits(rows_in_process=ALL_IN_PYTHON, rows_per_answer=100),
        Limits(rows_in_process=ALL_IN_CLUSTER, rows_per_answer=120),
    ],
)
def test_a_cut_answer_is_queried_in_halves(
    limits: Limits, says_so: bool, service: LogAnalyticsService
) -> None:
    """If an answer is cut, its identities are split in two until all rows are there.

    That holds for rows and for groups, whether or not the service says that it cut the answer.
    """
    whole, record = run_once(service, WHOLE)
    service.calls.clear()
    service.row_limit, service.says_when_cut = limits.rows_per_answer, says_so
    parted, same = run_once(service, limits)
    assert parted.findings == whole.findings
    assert same == record
    kind = "correlate" if limits.rows_in_process == ALL_IN_CLUSTER else "sign_ins"
    assert len(service.called(kind)) >= 3


def test_one_large_identity_is_read_in_halves_of_time() -> None:
    """An identity with more rows than one answer holds is read completely."""
    with LogAnalyticsService(logs_of(1, 90)) as service:
        whole, record = run_once(service, WHOLE)
        service.row_limit = 50
        parted, same = run_once(service, Limits(rows_in_process=ALL_IN_PYTHON, rows_per_answer=50))
    assert parted.findings == whole.findings
    assert same == record


def test_one_identity_with_too_many_groups_is_an_error() -> None:
    """Groups that exceed any answer are an error that says what to do, never a partial result."""
    with LogAnalyticsService(logs_of(1, 1)) as service:
        service.script("correlate", *[Reply(error=too_many_rows())] * 20)
        outcome, record = run_once(service, Limits(rows_in_process=ALL_IN_CLUSTER))
    assert record["Status"] == "Failure"
    assert "CORRELATE_IN to python" in outcome.failures[0]


def test_pairs_are_queried_once_for_a_part_with_new_operations(
    service: LogAnalyticsService, tmp_path: Path
) -> None:
    """A part with new operations needs one query for pairs, and other parts need none."""
    with connected_source(service, Limits(rows_in_process=ALL_IN_CLUSTER)) as source:
        store = FolderStore(tmp_path)
        first = run(source, Collected(), store, Invocation(WORKSPACE, TEN))
        assert len(first.findings) == 180
        assert len(service.called("correlate")) == len(service.called("pairs")) == 1
        again = run(source, Collected(), store, Invocation(WORKSPACE, TEN + MINUTE))
    assert again.findings == []
    assert len(service.called("correlate")) == 2
    assert len(service.called("pairs")) == 1


@pytest.mark.parametrize("says_so", [True, False])
def test_cut_pairs_are_queried_in_halves(says_so: bool, service: LogAnalyticsService) -> None:
    """If the pairs exceed an answer, every finding still has all of its pairs."""
    whole, record = run_once(service, WHOLE)
    with connected_source(service, Limits(rows_in_process=ALL_IN_CLUSTER)) as source:
        groups = [g for part in source.parts(WINDOW, TEN, RuleSettings()) for g in groups_of(part)]
        service.row_limit, service.says_when_cut = 200, says_so
    assert len(groups) == 180  # one answer holds them, but not their pairs
    parted, same = run_once(service, Limits(rows_in_process=ALL_IN_CLUSTER, rows_per_answer=200))
    assert parted.findings == whole.findings
    assert same == record
    assert len(service.called("correlate")) == 2
    assert len(service.called("pairs")) >= 3


# The first answer is cut as it would be, the others are faster to make.
CUT = [Reply(error=too_many_rows()), *[Reply(200, pairs_answer([], error=too_many_rows()))] * 40]
UNREADABLE = {
    "cut": (CUT, "the pairs exceed one answer"),
    "refused": ([Reply(403, b"{}")], "access is denied"),
    "broken": ([Reply(500, b"{}")] * 2, "Log Analytics failed"),
    "missing": ([Reply(400, json.dumps(TABLE_MISSING).encode())], "Failed to resolve table"),
    "nonsense": (
        [Reply(200, pairs_answer([["x"] * len(PAIR_COLUMNS)]))],
        "the cluster returned no pairs of the group",
    ),
    "unreadable": (
        [Reply(200, pairs_answer([["identity-\u212a-0", "app", "rg-0", *["x"] * 9]]))],
        "the pairs in the cluster's answer are unreadable",
    ),
    "empty": ([Reply(200, pairs_answer([]))], "the cluster returned no pairs of the group"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_finding_is_reported_without_unreadable_pairs(case: str) -> None:
    """If the query for pairs fails, the finding has the rule's columns and the run is a Warning."""
    replies, problem = UNREADABLE[case]
    with LogAnalyticsService(logs_of(1, 1)) as service:
        whole, _ = run_once(service, WHOLE)
        service.script("pairs", *replies)
        outcome, record = run_once(service, Limits(rows_in_process=ALL_IN_CLUSTER))
    assert record["Status"] == "Warning"
    assert "Evidence could not be read, and scores may be too low: " in record["Reason"]
    assert problem in record["Reason"]
    assert outcome.failures == []
    (finding,), (known,) = outcome.findings, whole.findings
    assert finding["Evidence"] == []
    assert 0 < finding["RiskScore"] <= known["RiskScore"]
    from_pairs = {
        *("Evidence", "RiskScore", "RiskReasons", "SuggestedSeverity", "IdentityRiskScore"),
        *("FindingTitle", "Description", "ObservedTactics", "ObservedTechniques"),
    }
    assert {**finding, **dict.fromkeys(from_pairs)} == {
        **known,
        **dict.fromkeys(from_pairs),
    }


def test_one_identity_with_too_many_pairs_spares_the_others() -> None:
    """Only the identity whose pairs exceed an answer lacks evidence, and no query is repeated."""
    tables, many = logs_of(5, 1), logs_of(1, 30)
    for row in many[SIGN_INS]:
        tables[SIGN_INS].append(row | {"ServicePrincipalId": "many"})
    for number, row in enumerate(many[OPERATIONS]):
        tables[OPERATIONS].append(
            row | {"Caller": "many", "OperationNameValue": f"a/kind{number}/write"}
        )
    with LogAnalyticsService(tables) as service:
        whole, _ = run_once(service, WHOLE)
        service.row_limit = 15
        outcome, record = run_once(
            service, Limits(rows_in_process=ALL_IN_CLUSTER, rows_per_answer=15)
        )
        queries = [call.query for call in service.called("pairs")]
    assert "the pairs exceed one answer" in record["Reason"]
    assert len(queries) == len(set(queries))
    for finding, known in zip(outcome.findings, whole.findings, strict=True):
        if finding["ServicePrincipalId"] == "many":
            assert finding["Evidence"] == []
        else:
            assert finding == known
    assert sum(finding["Evidence"] == [] for finding in outcome.findings) == 4


@pytest.mark.parametrize(
    ("rows", "engines"),
    [(ALL_IN_PYTHON, {"python"}), (4_000_000, {"python", "cluster"}), (700, {"cluster"})],
)
def test_a_window_is_correlated_where_it_fits(rows: float, engines: set[str]) -> None:
    """A hot identity or a large window goes to the cluster, unless a setting forbids it."""
    tables, hot = logs_of(10, 6), logs_of(1, 300)
    for name in (SIGN_INS, OPERATIONS):
        tables[name] += hot[name]
    with LogAnalyticsService(tables) as service:
        whole, _ = run_once(service, WHOLE)
        service.calls.clear()
        parted, _ = run_once(service, Limits(rows_in_process=rows, rows_per_partition=60))
        assert parted.findings == whole.findings
        kinds = {call.kind for call in service.calls}
    used = {"python": "sign_ins" in kinds, "cluster": "correlate" in kinds}
    assert {name for name, was in used.items() if was} == engines


def many_addresses(identities: int, each: int) -> dict[str, Rows]:
    """Return sign-ins of identities, each from `each` allowlisted addresses."""
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
    """More allowlisted addresses of one identity than a query can hold are an error."""
    with LogAnalyticsService(many_addresses(1, MAX_EXCLUDED_ADDRESSES + 1)) as service:
        outcome, _ = run_once(service, Limits(rows_in_process=ALL_IN_CLUSTER))
    assert f"{MAX_EXCLUDED_ADDRESSES + 1} addresses" in outcome.failures[0]
    assert "set CORRELATE_IN to python" in outcome.failures[0]


def test_addresses_of_several_identities_are_split_over_queries() -> None:
    """Addresses that exceed one query are split, and no query exceeds its limit."""
    with LogAnalyticsService(many_addresses(3, MAX_EXCLUDED_ADDRESSES - 1)) as service:
        whole, record = run_once(service, WHOLE)
        there, same = run_once(service, Limits(rows_in_process=ALL_IN_CLUSTER))
        queries = [call.query for call in service.called("correlate")]
    assert there.findings == whole.findings
    assert same == record
    assert record["SignInsExcluded"] == 3 * (MAX_EXCLUDED_ADDRESSES - 1)
    assert len(queries) >= 3
    assert max(map(len, queries)) < 100_000


TOO_LARGE = [TOO_COMPLEX, LOW_MEMORY, RUNAWAY]


@pytest.mark.parametrize("words", TOO_LARGE, ids=lambda words: str(words[0]))
@pytest.mark.parametrize("kind", ["correlate", "pairs"])
def test_a_query_too_large_for_the_cluster_is_split(
    kind: str, words: tuple[str, str], service: LogAnalyticsService
) -> None:
    """A query that the cluster cannot run for many identities is split over fewer."""
    whole, record = run_once(service, WHOLE)
    service.script(
        kind, *[Reply(400, json.dumps(api_error("BadArgumentError", words)).encode())] * 2
    )
    there, same = run_once(service, Limits(rows_in_process=ALL_IN_CLUSTER))
    assert there.findings == whole.findings
    assert same == record
    assert len(service.called(kind)) >= 5


def test_one_identity_too_complex_for_the_cluster_is_an_error() -> None:
    """A query that fails even for one bucket is an error that says what to set."""
    body = json.dumps(api_error("BadArgumentError", TOO_COMPLEX)).encode()
    with LogAnalyticsService(logs_of(1, 1)) as service:
        service.script("correlate", *[Reply(400, body)] * 30)
        outcome, record = run_once(service, Limits(rows_in_process=ALL_IN_CLUSTER))
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
def test_an_impossible_answer_of_the_cluster_is_an_error(
    kind: str, values: Sequence[object], service: LogAnalyticsService
) -> None:
    """An unreadable answer is never used as findings or as no findings."""
    names = ["Address", "Matched"] if kind == "addresses" else GROUP_COLUMNS
    columns = [{"name": name, "type": "string"} for name in names]
    seen_counts = {"Part": -1, "SignInsSeen": 9_999, "OperationsSeen": 9_999}
    seen = [[seen_counts.get(name) for name in names]] if kind == "correlate" else []
    table = {"name": "PrimaryResult", "columns": columns, "rows": [values, *seen]}
    service.script(kind, *[Reply(200, json.dumps({"tables": [table]}).encode())] * 3)
    with (
        connected_source(service, Limits(rows_in_process=ALL_IN_CLUSTER)) as source,
        pytest.raises(SourceError, match="the answer of its cluster is unreadable"),
    ):
        list(source.parts(WINDOW, TEN, RuleSettings()))


COUNTS = st.dictionaries(st.integers(0, BUCKETS - 1), st.integers(0, 50), max_size=30)


@settings(max_examples=50)
@given(COUNTS, st.integers(1, 100))
def test_partitions_hold_every_bucket_once(counts: dict[int, int], most: int) -> None:
    """Partitions hold every bucket once, and exceed the limit only with a single bucket."""
    cuts = list(group_buckets(counts, most))
    assert [bucket for part in cuts for bucket in part] == list(range(BUCKETS))
    for part in cuts:
        rows = [counts[bucket] for bucket in part if counts.get(bucket)]
        assert sum(rows) <= most or len(rows) == 1


@settings(max_examples=50)
@given(COUNTS, st.integers(0, BUCKETS - 2), st.integers(2, BUCKETS))
def test_halves_hold_the_same_buckets(counts: dict[int, int], start: int, size: int) -> None:
    """Two halves hold all buckets of the whole, and neither is empty."""
    whole = range(start, min(start + size, BUCKETS))
    one, other = split(whole, counts)
    assert [*one, *other] == list(whole)
    assert one
    assert other


@given(st.text(), st.text())
def test_identities_that_pair_are_in_one_bucket(one: str, other: str) -> None:
    """Identities that are equal under ASCII case are in one bucket (D3)."""
    spelt = "".join(chr(ord(c) ^ 32) if c.isascii() and c.isalpha() else c for c in one)
    assert ascii_lower(spelt) == ascii_lower(one)
    assert bucket_of(spelt) == bucket_of(one)
    assert ascii_lower(one) != ascii_lower(other) or bucket_of(one) == bucket_of(other)
