"""Enrichment adds exclusions, actions and the baseline to findings, or a warning if unreadable."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NoReturn

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.errors import SourceError
from detection.pipeline.enrichment import Enrichment
from detection.pipeline.finding_context import QUESTIONS, ContextBuilder
from detection.pipeline.invocation import Invocation, Outcome
from detection.pipeline.job import run
from detection.ranking.baseline import PastChange
from detection.ranking.evidence import succeeded_actions
from detection.rule.correlate import Group, detect
from detection.rule.exclusions import ExclusionRow
from detection.rule.filters import RuleSettings
from detection.rule.kql_text import ascii_lower
from detection.rule.ledger import Emission
from detection.rule.log_rows import Logs, Operation
from detection.rule.ticks import DAY, HOUR, MINUTE, parse_time
from detection.sources import Arrivals, Correlated
from detection.sources.recorded.folder import RecordedSource
from detection.state import ReadOnlyStore
from detection.state.folder import FolderStore
from detection.window import Mode, Window
from tests.support import DEMO, NOW, Collected
from tests.support.group_pairs import NAMES
from tests.support.strategies import (
    END,
    GUID,
    START,
    Scenario,
    as_logs,
    operation,
    scenarios,
    sign_in,
    written,
)

NOON = START + 60 * MINUTE


class UnreadableContext:
    """A recorded folder whose exclusions or actions cannot be read."""

    def __init__(self, *, exclusions: bool, actions: bool) -> None:
        self._source = RecordedSource(DEMO)
        self._fails = exclusions, actions
        self.identities_read: list[Collection[str]] = []

    @property
    def context(self) -> "UnreadableContext":
        """Return the source itself."""
        return self

    def clock(self) -> None:
        """Return no time."""

    def arrivals(self, *, since: int, now: int, examined: int, too_late: int) -> Arrivals:
        """Answer as recorded."""
        return self._source.arrivals(since=since, now=now, examined=examined, too_late=too_late)

    def parts(
        self, window: Window, now: int, settings: RuleSettings
    ) -> Iterator[Logs | Correlated]:
        """Answer as recorded."""
        return self._source.parts(window, now, settings)

    def exclusions(self) -> list[ExclusionRow]:
        """Return none, or fail."""
        return _fail("exclusions") if self._fails[0] else []

    def actions(
        self, identities: Collection[str], window: Window, now: int, settings: RuleSettings
    ) -> list[Operation]:
        """Return the recorded actions, or fail."""
        self.identities_read.append(identities)
        if self._fails[1]:
            return _fail("actions")
        return self._source.actions(identities, window, now, settings)

    def past_changes(self, start: int, end: int, settings: RuleSettings) -> list[PastChange]:
        """Return the recorded changes, or fail with the actions."""
        return (
            _fail("baseline") if self._fails[1] else self._source.past_changes(start, end, settings)
        )


def _fail(what: str) -> NoReturn:
    raise SourceError(f"no {what} today")


def outcome(source: UnreadableContext) -> tuple[Outcome, Collected]:
    """Run one window."""
    sink = Collected()
    return run(source, sink, ReadOnlyStore(), Invocation("w", parse_time(NOW))), sink


@pytest.mark.parametrize("failing", ["exclusions", "actions"])
def test_an_unreadable_context_is_a_warning(failing: str) -> None:
    """Findings are reported, and the run record names what could not be read."""
    source = UnreadableContext(exclusions=failing == "exclusions", actions=failing == "actions")
    ran, sink = outcome(source)
    assert not ran.failures
    assert len(sink.findings) == 2
    assert sink.runs[0]["Status"] == "Warning"
    assert f"no {failing} today" in str(sink.runs[0]["Reason"])


def test_actions_are_read_for_identities_with_findings_only() -> None:
    """A window reads actions once, for the identities that it reports."""
    source = UnreadableContext(exclusions=False, actions=False)
    outcome(source)
    assert source.identities_read == [{"e1525895-2305-453d-b6ab-6a524251f7d9"}]


def test_actions_are_not_read_without_a_new_finding(tmp_path: Path) -> None:
    """A window without new operations reads no actions."""
    source = UnreadableContext(exclusions=False, actions=False)
    hour = (parse_time(NOW) - 60 * MINUTE, parse_time(NOW))
    for _ in range(2):
        invocation = Invocation("w", parse_time(NOW), backfill=hour)
        run(source, Collected(), FolderStore(tmp_path), invocation)
    assert len(source.identities_read) == 1


def test_failed_and_repeated_actions_do_not_corroborate() -> None:
    """Only accepted statuses count, and each event counts once, in order of time."""
    rows = as_logs(
        [],
        [
            operation(OperationNameValue="a/listKeys/action", TimeGenerated=written(at), **fields)
            for at, fields in (
                (NOON + 2, {"EventDataId": "late"}),
                (NOON, {"EventDataId": "twice"}),
                (NOON + 1, {"EventDataId": "twice"}),
                (NOON, {"EventDataId": "failed", "ActivityStatusValue": "Failure"}),
            )
        ],
    ).operations
    assert [row[0] for row in succeeded_actions(rows, ("success",))] == [NOON, NOON + 2]


def groups(*operations: dict[str, str]) -> list[Group]:
    """Return the groups of one identity with these operations."""
    rows = [operation(EventDataId=str(n), **fields) for n, fields in enumerate(operations)]
    return detect(as_logs([sign_in()], rows), START, END, RuleSettings()).groups


@pytest.mark.parametrize(
    ("here", "there", "counts"),
    [
        ("203.0.113.7", "203.0.113.8", True),
        ("203.0.113.7", "203.0.113.7", False),
        ("2001:DB8::7", "2001:db8::7", False),
        ("10.0.0.1", "203.0.113.8", False),
        ("", "203.0.113.8", False),
    ],
)
def test_an_address_in_one_resource_group_only_counts(here: str, there: str, counts: bool) -> None:
    """A public address counts if no other resource group of the identity has it."""
    found = groups(
        {"ResourceGroup": "rg-1", "CallerIpAddress": here},
        {"ResourceGroup": "rg-2", "CallerIpAddress": there},
    )
    reasons = ContextBuilder(found).build(found[0], found[0].read_pairs()).score.reasons
    assert any("public address" in reason.sentence for reason in reasons) is counts


def test_spread_is_that_of_the_identity() -> None:
    """Groups and subscriptions of all findings of the identity count, and of no other identity."""
    found = groups(
        {"ResourceGroup": "rg-1", "SubscriptionId": "s-1"},
        {"ResourceGroup": "RG-1", "SubscriptionId": "S-1"},
        {"ResourceGroup": "rg-2", "SubscriptionId": "s-2"},
    )
    reasons_text = [
        reason.sentence
        for reason in ContextBuilder(found).build(found[0], found[0].read_pairs()).score.reasons
    ]
    assert "The identity changed 2 resource groups in 2 subscriptions" in reasons_text


def test_runbook_queries_name_the_identity_and_the_time() -> None:
    """Each of the three queries names the identity, and the first two name its time."""
    (only,) = groups({})
    queries = ContextBuilder([only]).build(only, only.read_pairs()).investigate
    assert [query["Title"] for query in queries] == list(QUESTIONS)
    assert all(f'"{GUID}"' in query["Query"] for query in queries)
    assert all("datetime(2026-03-02T11:00:00.0000000Z)" in each["Query"] for each in queries[:2])


def test_an_identity_that_cannot_be_quoted_has_no_queries() -> None:
    """A name with a line break gets into no query, and its finding is still reported."""
    odd = "a\n| take 1"
    logs = as_logs([sign_in(ServicePrincipalId=odd)], [operation(Caller=odd)])
    (only,) = detect(logs, START, END, RuleSettings()).groups
    assert ContextBuilder([only]).build(only, only.read_pairs()).investigate == []


class ChangesEachDay(UnreadableContext):
    """A context with one change a day, which counts how often they are read."""

    def __init__(self, days: int = 0, *, fails: bool = False) -> None:
        super().__init__(exclusions=False, actions=False)
        self.periods_read: list[tuple[int, int]] = []
        self._days = days
        self._history_fails = fails

    def past_changes(self, start: int, end: int, settings: RuleSettings) -> list[PastChange]:
        """Return a role assignment a day by the demo's identity."""
        del settings
        self.periods_read.append((start, end))
        if self._history_fails:
            _fail("baseline")
        identity = "E1525895-2305-453d-b6ab-6a524251f7d9"
        return [
            (end - n * DAY, identity, "MICROSOFT.AUTHORIZATION/ROLEASSIGNMENTS/WRITE", "RG")
            for n in range(1, self._days + 1)
        ]


def run_two_windows(source: ChangesEachDay, folder: Path, *, novelty: bool = True) -> Collected:
    """Run the demo's window and the next one, with a state."""
    sink = Collected()
    for hour in (0, 1):
        settings = RuleSettings(novelty=novelty)
        invocation = Invocation("w", parse_time(NOW) + hour * HOUR, settings=settings)
        run(source, sink, FolderStore(folder), invocation)
    return sink


def reasons_text(sink: Collected) -> str:
    """Return all reasons of all findings as one text."""
    return orjson.dumps([row["RiskReasons"] for row in sink.findings]).decode()


def test_novelty_is_off_by_default(tmp_path: Path) -> None:
    """Without the setting no past changes are read."""
    source = ChangesEachDay(14)
    assert "New for the identity" not in reasons_text(
        run_two_windows(source, tmp_path, novelty=False)
    )
    assert source.periods_read == []


def test_past_changes_are_read_once_a_day(tmp_path: Path) -> None:
    """The two weeks before the first window are read once, and the next run reuses them."""
    source = ChangesEachDay(14)
    sink = run_two_windows(source, tmp_path)
    start = parse_time("2026-03-14T08:00:00Z")
    assert source.periods_read == [(start - 14 * DAY, start)]
    reasons = reasons_text(sink)
    assert "New for the identity in 14 days: it deleted a" in reasons
    assert "The resource group is new for the identity in 14 days" in reasons
    baseline = FolderStore(tmp_path).load()[0].baseline
    assert baseline is not None
    assert baseline.read_at == parse_time(NOW)


def test_a_short_baseline_scores_nothing(tmp_path: Path) -> None:
    """With five days of history each finding says so, and its score is that without a baseline."""
    known = run_two_windows(ChangesEachDay(5), tmp_path / "a")
    without = run_two_windows(ChangesEachDay(5), tmp_path / "b", novelty=False)
    assert "Novelty is unknown: the history has 4 of 7 days" in reasons_text(known)
    assert [row["RiskScore"] for row in known.findings] == [
        row["RiskScore"] for row in without.findings
    ]


def test_an_unreadable_baseline_is_a_warning(tmp_path: Path) -> None:
    """Findings are reported without novelty, and the next run reads the baseline again."""
    source = ChangesEachDay(14, fails=True)
    sink = run_two_windows(source, tmp_path)
    assert len(sink.findings) == 2
    assert "Novelty is not scored, because the baseline could not be read" in str(
        sink.runs[0]["Reason"]
    )
    assert sink.runs[0]["Status"] == "Warning"


def test_the_baseline_of_a_recording_is_in_its_rows() -> None:
    """The changes before the window in a recorded folder are its baseline."""
    end = parse_time(NOW)
    changes = RecordedSource(DEMO).past_changes(end - 14 * DAY, end, RuleSettings())
    assert len(changes) == 11
    assert all(end - 14 * DAY < time <= end for time, *_ in changes)


def test_a_backfill_has_no_baseline() -> None:
    """The stored baseline lies around the present, so windows of the past do not use it."""
    source = ChangesEachDay(14)
    hours = (parse_time(NOW) - HOUR, parse_time(NOW))
    invocation = Invocation(
        "w", parse_time(NOW), settings=RuleSettings(novelty=True), backfill=hours
    )
    run(source, Collected(), ReadOnlyStore(), invocation)
    assert source.periods_read == []


def test_a_window_in_parts_is_enriched_as_a_whole() -> None:
    """Exclusions and the baseline are read once a window, and the counts of its parts add up."""
    entry = (GUID, "", "ops", "deploys", "2099-01-01")

    class Listed(ChangesEachDay):
        listed = 0

        def exclusions(self) -> list[ExclusionRow]:
            self.listed += 1
            return [entry]

    source = Listed(fails=True)
    enrichment = Enrichment(source, RuleSettings(novelty=True), END)
    window = Window(START, END, Mode.SCHEDULED)
    other = detect(
        as_logs([sign_in(ServicePrincipalId="b")], [operation(Caller="b")]),
        START,
        END,
        RuleSettings(),
    ).groups
    for _ in range(2):
        assert enrichment.without_excluded(groups({})) == []
        (kept,) = enrichment.without_excluded(other)
        assert len([*enrichment.contexts([Emission(kept, "f", 1, 1)], other, window)]) == 1
    assert (source.listed, len(source.periods_read), len(enrichment.warnings)) == (1, 1, 1)
    assert list(enrichment.excluded.values()) == [2]


@given(scenarios(), st.sampled_from(NAMES))
def test_a_further_operation_in_the_logs_never_lowers_a_score(
    scenario: Scenario, name: str
) -> None:
    """A further operation beside a paired one leaves its finding's score equal or raises it."""
    settings = RuleSettings(scenario.span, scenario.statuses)

    def judged(logs: Logs) -> dict[tuple[str, ...], int]:
        found = detect(logs, *scenario.window, settings).groups
        builder = ContextBuilder(found)
        return {group.key: builder.build(group, group.read_pairs()).score.points for group in found}

    before = judged(scenario.logs())
    for row in scenario.operations:
        more = {**row, "OperationNameValue": name, "EventDataId": "further", "CallerIpAddress": ""}
        grown = as_logs(scenario.sign_ins, [*scenario.operations, more], scenario.allowlist)
        after = judged(grown)
        same = [
            key for key in before if key[2] == ascii_lower(row["ResourceGroup"] or "")
        ]  # the findings that it may belong to
        assert all(after[key] >= before[key] for key in same)
