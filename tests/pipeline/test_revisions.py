"""A finding tells all of itself: its score is the same however its hours are cut into windows."""

from collections.abc import Collection, Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detection.kql.constants import BUCKETS
from detection.pipeline.enrichment import Enrichment
from detection.pipeline.run_record import RunHeader
from detection.pipeline.window_run import examine_window
from detection.ranking.baseline import PastChange
from detection.ranking.identity_details import DetailRow
from detection.rule.correlate import detect
from detection.rule.filters import RuleSettings
from detection.rule.kql_text import ascii_lower
from detection.rule.ledger import Ledger, Review
from detection.rule.log_rows import (
    CALLER_ADDRESS,
    EVENT_DATA_ID,
    IDENTITY,
    OPERATION_NAME,
    RESOURCE_GROUP,
    TIME,
    Logs,
    Operation,
)
from detection.rule.ticks import DAY, HOUR, MINUTE, parse_time
from detection.schema import Finding
from detection.sources import Arrivals, Correlated
from detection.sources.workspace.queries import WindowQueries
from detection.window import Mode, Window
from tests.support import NoContext, kusto
from tests.support.strategies import Row, as_logs, operation, sign_in, written
from tests.support.summaries import ACTIONS, NAMES, ROLE, TAGS, VAULT

BEGIN = parse_time("2026-03-14T22:40:00Z")  # midnight lies in the two hours
END = BEGIN + 2 * HOUR
TIMES = st.integers(1, 120).map(lambda minute: BEGIN + minute * MINUTE)
WHO = st.sampled_from(("id-1", "ID-1", "id-2"))
ADDRESSES = st.sampled_from(("203.0.113.7", "198.51.100.1", "10.0.0.1", ""))


def rows(name: st.SearchStrategy[str], prefix: str, most: int) -> st.SearchStrategy[list[Row]]:
    """Draw rows of AzureActivity, each with its own event id."""
    one = st.builds(
        lambda time, who, name, group, address: operation(
            TimeGenerated=written(time),
            Caller=who,
            OperationNameValue=name,
            ResourceGroup=group,
            CallerIpAddress=address,
        ),
        TIMES,
        WHO,
        name,
        st.sampled_from(("rg", "RG", "other", "")),
        ADDRESSES,
    )
    return st.lists(one, max_size=most).map(
        lambda found: [row | {"EventDataId": f"{prefix}{at}"} for at, row in enumerate(found)]
    )


SIGN_INS = st.lists(
    st.builds(lambda at, who: (written(at), who), TIMES, WHO), min_size=1, max_size=4
).map(
    lambda found: [
        sign_in(TimeGenerated=time, ServicePrincipalId=who, Id=f"s{at}")
        for at, (time, who) in enumerate(found)
    ]
)
OPERATIONS = rows(st.sampled_from((*NAMES, ROLE.lower())), "o", 20)
ACTION_ROWS = rows(st.sampled_from(ACTIONS), "a", 4)
CHANGES = st.lists(
    st.builds(
        PastChange,
        st.integers(1, 17).map(lambda days: BEGIN - days * DAY),
        WHO,
        st.sampled_from(NAMES),
        st.sampled_from(("rg", "other")),
        ADDRESSES,
    ),
    max_size=40,
)
CUTS = st.lists(st.integers(1, 119).map(lambda minute: BEGIN + minute * MINUTE), max_size=6)


class History(NoContext):
    """A source and a context over the rows of two hours, correlated by one of the engines."""

    def __init__(
        self,
        logs: Logs,
        actions: list[Operation] | None = None,
        changes: list[PastChange] | None = None,
        details: list[DetailRow] | None = None,
        database: Any = None,
    ) -> None:
        self._logs = logs
        self._details = details or []
        self._actions = actions or []
        self._changes = changes or []
        self._database = database

    @property
    def context(self) -> "History":
        """Return the source itself."""
        return self

    def clock(self) -> None:
        """Return no time."""

    def arrivals(self, *, since: int, now: int, examined: int, too_late: int) -> Arrivals:
        """Return no arrival."""
        del since, now, examined, too_late
        return Arrivals()

    def parts(
        self, window: Window, now: int, settings: RuleSettings
    ) -> Iterator[Logs | Correlated]:
        """Yield the rows of the window, or the groups that the queries find in DuckDB."""
        logs = Logs(
            [row for row in self._logs.sign_ins if window.start < row[TIME] <= window.end],
            [row for row in self._logs.operations if window.start < row[TIME] <= window.end],
            [],
            self._logs.states,
        )
        if self._database is None:
            yield logs
            return
        queries = WindowQueries(window, now, settings)
        groups = kusto.groups_in_cluster(self._database, logs, queries, range(BUCKETS))
        counted = detect(logs, window.start, window.end, settings)
        yield Correlated(logs, type(counted)(groups, *_rest(counted)))

    def actions(
        self, identities: Collection[str], window: Window, now: int, settings: RuleSettings
    ) -> list[Operation]:
        """Return the actions of the window."""
        del now, settings
        return [
            row
            for row in self._actions
            if ascii_lower(row[IDENTITY]) in identities and window.start < row[TIME] <= window.end
        ]

    def identity_details(
        self, identities: Collection[str], window: Window, now: int
    ) -> list[DetailRow]:
        """Return the details of the window."""
        del now
        return [
            row
            for row in self._details
            if row.identity in identities and window.start < row.time <= window.end
        ]

    def past_changes(self, start: int, end: int, settings: RuleSettings) -> list[PastChange]:
        """Return the changes of some days."""
        del settings
        return [change for change in self._changes if start < change.time <= end]


def _rest(detection: Any) -> tuple[Any, ...]:
    return detection.sign_ins, detection.operations, detection.allowlist


def revisions(source: History, ends: Collection[int]) -> list[Finding]:
    """Return the rows of windows of two hours with these ends, in order."""
    ledger, found, baseline = Ledger(), list[Finding](), None
    for end in sorted({*ends, END}):
        window = Window(end - 2 * HOUR, end, Mode.SCHEDULED)
        enrichment = Enrichment(source, RuleSettings(), end, baseline)
        review = Review(ledger, "here", window.start, window.end, end)
        header = RunHeader.of("w", window, end)
        _, findings = examine_window(source, window, header, review, enrichment)
        review.commit(ledger)
        baseline = enrichment.baseline
        found += findings
    return found


def whole(rows: list[Finding]) -> dict[str, Any]:
    """Return the columns that tell of the whole finding, from its latest revision.

    Actions that no operation followed depend on where a window ends, and have no points.
    """
    latest = {row["FindingId"]: row for row in rows}
    return {
        finding_id: (
            row["RiskScore"],
            row["SuggestedSeverity"],
            [reason for reason in row["RiskReasons"] if reason["Points"]],
            [item for item in row["Evidence"] if item["Kind"] == "Pair"],
        )
        for finding_id, row in latest.items()
    }


def identities(rows: list[Finding]) -> dict[str, int]:
    """Return the highest score of each identity."""
    highest: dict[str, int] = {}
    for row in rows:
        who = row["ServicePrincipalId"].lower()
        highest[who] = max(highest.get(who, 0), row["IdentityRiskScore"])
        assert row["IdentityRiskScore"] >= row["RiskScore"]
    return highest


def assert_scores_never_fall(rows: list[Finding]) -> None:
    """Compare the revisions of each finding, in order."""
    scores: dict[str, int] = {}
    for row in rows:
        assert row["RiskScore"] >= scores.get(row["FindingId"], 0)
        scores[row["FindingId"]] = row["RiskScore"]


def details_of(operations: list[Row], choices: list[int]) -> list[DetailRow]:
    """Return the details of operations: the token, the role used and, of some, the role given."""
    rows = as_logs([], operations).operations
    found: list[DetailRow] = []
    for row, choice in zip(rows, choices * len(rows), strict=False):
        time, identity, group = row[TIME], ascii_lower(row[IDENTITY]), row[RESOURCE_GROUP]
        address = ascii_lower(row[CALLER_ADDRESS])
        found.append(DetailRow(time, identity, token=f"t{choice % 2}", address=address))
        found.append(
            DetailRow(
                time,
                identity,
                role=("Owner", "Reader")[choice % 2],
                role_scope=("/subscriptions/s", "/subscriptions/s/resourceGroups/rg")[choice // 2],
                resource_group=ascii_lower(group),
            )
        )
        if ascii_lower(row[OPERATION_NAME]) == ROLE.lower() and choice:
            given = ("8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "acdd72a7-3385-48ef-bd42-f606fba81ae7")
            found.append(
                DetailRow(
                    time,
                    identity,
                    status="Success",
                    resource_group=group,
                    role_definition_id=given[choice % 2],
                    principal_id="p",
                    scope="/subscriptions/s",
                    correlation_id=row[EVENT_DATA_ID],
                )
            )
    return found


@settings(max_examples=settings().max_examples // 2)
@given(
    SIGN_INS,
    OPERATIONS,
    ACTION_ROWS,
    CHANGES,
    st.lists(st.integers(0, 3), min_size=1, max_size=7),
    CUTS,
)
def test_any_cut_gives_the_same_score(
    sign_ins: list[Row],
    operations: list[Row],
    actions: list[Row],
    changes: list[PastChange],
    choices: list[int],
    cuts: list[int],
) -> None:
    """Score, severity, reasons and pairs are the same for one window and for several.

    Rights are read of all operations in a resource group, so every operation here pairs.
    """
    everybody = [
        sign_in(TimeGenerated=written(time), ServicePrincipalId=who, Id=f"{who} at {time}")
        for time in (BEGIN + 1, BEGIN + HOUR)
        for who in ("id-1", "id-2")
    ]
    logs = as_logs([*everybody, *sign_ins], operations)
    details = details_of(operations, choices)
    source = History(logs, as_logs([], actions).operations, changes, details)
    together, cut = revisions(source, []), revisions(source, cuts)
    # A finding is named after its first operation, which is the same in both.
    assert whole(cut) == whole(together)
    assert identities(cut) == identities(together)
    assert_scores_never_fall(cut)


@given(SIGN_INS, OPERATIONS, CUTS, st.randoms(use_true_random=False))
def test_a_shuffled_or_repeated_log_changes_nothing(
    sign_ins: list[Row], operations: list[Row], cuts: list[int], shuffler: Any
) -> None:
    """Rows in another order, and rows that are there twice, give the same scores."""
    shuffled = [*operations, *operations[:5]]
    shuffler.shuffle(shuffled)
    logs, again = as_logs(sign_ins, operations), as_logs(sign_ins[::-1], shuffled)
    assert whole(revisions(History(again), cuts)) == whole(revisions(History(logs), cuts))


@pytest.fixture(scope="module")
def database() -> Any:
    """Return a database with both tables, empty."""
    return kusto.database()


@settings(max_examples=max(settings().max_examples // 25, 1))
@given(SIGN_INS, OPERATIONS, CUTS)
@example(
    [sign_in(TimeGenerated=written(BEGIN + MINUTE))],
    [
        operation(
            TimeGenerated=written(BEGIN + at * MINUTE),
            EventDataId=f"o{at}",
            OperationNameValue=TAGS,
        )
        for at in range(2, 60)
    ],
    [BEGIN + 15 * MINUTE, BEGIN + 30 * MINUTE],
)
def test_both_engines_give_the_same_revisions(
    database: Any, sign_ins: list[Row], operations: list[Row], cuts: list[int]
) -> None:
    """Correlated in Python or by the queries in DuckDB, every revision is the same row."""
    logs = as_logs(sign_ins, operations)
    there = revisions(History(logs, database=database), cuts)
    assert there == revisions(History(logs), cuts)


def test_a_later_tag_hides_nothing() -> None:
    """An attacker who writes a tag in the next hours leaves the finding as grave as it was."""
    sign_ins = [sign_in(TimeGenerated=written(BEGIN + MINUTE))]
    names = [VAULT, ROLE, TAGS, TAGS]
    operations = [
        operation(
            TimeGenerated=written(BEGIN + (at + 1) * 14 * MINUTE),
            EventDataId=f"o{at}",
            OperationNameValue=name,
        )
        for at, name in enumerate(names)
    ]
    cuts = [BEGIN + (at + 1) * 14 * MINUTE for at in range(4)]
    rows = revisions(History(as_logs(sign_ins, operations)), cuts)
    assert [row["Revision"] for row in rows] == [1, 2, 3, 4]
    assert [row["RiskScore"] for row in rows] == [44, 46, 46, 46]
    assert {row["SuggestedSeverity"] for row in rows} == {"High"}
    assert [item["Operation"] for item in rows[-1]["Evidence"]][:2] == [VAULT, ROLE]
    assert rows[-1]["ObservedTechniques"] == ["T1485", "T1098.003"]
    assert rows[-1]["Operations"] == [VAULT, ROLE, TAGS]
