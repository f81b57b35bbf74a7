"""Enrichment adds exclusions, actions and the baseline to findings, or a warning if unreadable."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NoReturn

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.errors import SourceError
from detection.pipeline.enrichment import Enrichment
from detection.pipeline.finding_context import FindingContext
from detection.pipeline.invocation import Invocation, Outcome
from detection.pipeline.job import run
from detection.ranking.baseline import PastChange
from detection.ranking.evidence import succeeded_actions
from detection.ranking.identity_details import DetailRow
from detection.ranking.near_misses import LateChanges
from detection.rule.allowlist import Allowlist
from detection.rule.correlate import Group, detect
from detection.rule.exclusions import ExclusionRow
from detection.rule.filters import RuleSettings
from detection.rule.kql_text import ascii_lower
from detection.rule.ledger import Ledger, Review
from detection.rule.log_rows import Logs, Operation
from detection.rule.ticks import DAY, HOUR, MINUTE, parse_time
from detection.sources import Arrivals, Correlated
from detection.sources.recorded.folder import RecordedSource
from detection.state import ReadOnlyStore
from detection.state.folder import FolderStore
from detection.window import Mode, Seen, Window
from tests.support import DEMO, NOW, Collected, NoContext
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
from tests.support.summaries import NAMES, ROLE, UNLISTED

NOON = START + 60 * MINUTE
WINDOW = Window(START, END, Mode.SCHEDULED)


class UnreadableContext:
    """A recorded folder whose exclusions, actions or details cannot be read."""

    portal = "https://portal.azure.us"

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

    def identity_details(
        self, identities: Collection[str], window: Window, now: int
    ) -> list[DetailRow]:
        """Return the recorded details, or fail with the actions."""
        return (
            _fail("details")
            if self._fails[1]
            else self._source.identity_details(identities, window, now)
        )

    def past_changes(self, start: int, end: int, settings: RuleSettings) -> list[PastChange]:
        """Return the recorded changes, or fail with the actions."""
        return (
            _fail("baseline") if self._fails[1] else self._source.past_changes(start, end, settings)
        )

    def late_changes(
        self, window: Window, seen: Seen, now: int, settings: RuleSettings, allowlist: Allowlist
    ) -> list[LateChanges]:
        """Return the recorded changes, or fail with the actions."""
        if self._fails[1]:
            return _fail("near misses")
        return self._source.late_changes(window, seen, now, settings, allowlist)


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
    reason = str(sink.runs[0]["Reason"])
    assert f"no {failing} today" in reason
    unknown = "Near misses could not be counted: no near misses today"
    assert (unknown in reason) == (failing == "actions")


def test_unreadable_details_are_a_warning() -> None:
    """Findings lack their details and are reported, and the run record says so."""
    _, sink = outcome(UnreadableContext(exclusions=False, actions=True))
    assert "Details of identities could not be read" in str(sink.runs[0]["Reason"])
    assert [row["FailedOperations"] for row in sink.findings] == [0, 0]
    assert all(row["FindingTitle"] and row["Description"] for row in sink.findings)


def test_links_lead_to_the_portal_of_the_source() -> None:
    """The source names the portal of its cloud."""
    _, sink = outcome(UnreadableContext(exclusions=False, actions=False))
    for row in sink.findings:
        assert all("https://portal.azure.us/#" in str(link["Url"]) for link in row["Links"])


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


def contexts(
    found: list[Group], rule: RuleSettings | None = None, source: Any = None
) -> dict[str, FindingContext]:
    """Return the context of each group's finding, by resource group, in a new ledger."""
    rule = rule or RuleSettings(novelty=False)
    enrichment = Enrichment(source or NoContext(), rule, END)
    review = Review(Ledger(), "here", START, END, END)
    built = enrichment.contexts(review.register(found), review, WINDOW)
    return {emission.group.key.resource_group: context for emission, context in built}


def test_an_identity_is_scored_as_a_whole() -> None:
    """All findings of an identity have one score of the identity, and no other identity's."""
    found = groups(
        {"ResourceGroup": "rg-1", "SubscriptionId": "s-1", "OperationNameValue": ROLE},
        {"ResourceGroup": "RG-1", "SubscriptionId": "S-1", "OperationNameValue": UNLISTED},
        {"ResourceGroup": "rg-2", "SubscriptionId": "s-2", "OperationNameValue": UNLISTED},
    )
    built = contexts(found)
    assert built["rg-1"].score.points == 42
    assert built["rg-2"].score.points < 42
    # Two resource groups in two subscriptions add points to the gravest of all operations.
    assert {each.identity_points for each in built.values()} == {42 + 2 + 2}


def test_actions_count_if_an_operation_followed() -> None:
    """An action at most the span before an operation adds points; one after it adds none."""
    for minutes, points in ((60, 10), (61, 0), (0, 10), (-1, 0)):
        name = "MICROSOFT.AUTHORIZATION/ELEVATEACCESS/ACTION"
        time = written(NOON - minutes * MINUTE)
        (row,) = as_logs([], [operation(OperationNameValue=name, TimeGenerated=time)]).operations

        class Elevated(NoContext):
            def actions(self, *_: Any) -> list[Operation]:
                return [row]  # noqa: B023 (called within the loop)

        found = groups({"TimeGenerated": written(NOON), "OperationNameValue": ROLE})
        (context,) = contexts(found, source=Elevated()).values()
        assert context.score.points == 42 + points, minutes
        assert context.evidence[-1]["Operation"] == name
        assert "T1098.003" in context.techniques


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
        return [PastChange(end - n * DAY, identity, ROLE, "RG", "") for n in range(self._days + 1)]


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


def test_novelty_can_be_turned_off(tmp_path: Path) -> None:
    """With the setting off no past changes are read."""
    source = ChangesEachDay(14)
    assert "New for the identity" not in reasons_text(
        run_two_windows(source, tmp_path, novelty=False)
    )
    assert source.periods_read == []


def test_past_changes_are_read_once_a_day(tmp_path: Path) -> None:
    """The days before the window's are read once, and the next run reuses them."""
    source = ChangesEachDay(14)
    sink = run_two_windows(source, tmp_path)
    midnight = parse_time("2026-03-14T00:00:00Z")
    assert source.periods_read == [(midnight - 16 * DAY - 1, midnight - 1)]
    reasons = reasons_text(sink)
    assert "New for the identity in 14 days: it deleted a" in reasons
    assert "The identity had not changed the resource group in 14 days" in reasons
    baseline = FolderStore(tmp_path).load()[0].baseline
    assert baseline is not None
    assert baseline.end_day * DAY == midnight


def test_a_short_baseline_scores_nothing(tmp_path: Path) -> None:
    """With five days of history the score is that without a baseline, and the run says so."""
    known = run_two_windows(ChangesEachDay(5), tmp_path / "a")
    without = run_two_windows(ChangesEachDay(5), tmp_path / "b", novelty=False)
    assert "Novelty is not scored: AzureActivity has 5 of 7 days of the past" in str(
        known.runs[0]["Reason"]
    )
    assert known.runs[0]["Status"] == "Success"
    assert "Novelty" not in str(without.runs[0]["Reason"])
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
    """The changes before the window's day in a recorded folder are its baseline."""
    end = parse_time(NOW)
    changes = RecordedSource(DEMO).past_changes(end - 14 * DAY, end, RuleSettings())
    assert len(changes) == 11
    assert all(end - 14 * DAY < change.time <= end for change in changes)


def test_a_backfill_is_compared_with_the_days_before_it(tmp_path: Path) -> None:
    """A backfill reads the past of each of its days once, and leaves the stored baseline."""
    source = ChangesEachDay(14)
    now = parse_time(NOW)
    run_two_windows(source, tmp_path)
    stored = FolderStore(tmp_path).load()[0].baseline
    source.periods_read.clear()
    invocation = Invocation("w", now + HOUR, backfill=(now - 13 * HOUR, now))
    sink = Collected()
    run(source, sink, FolderStore(tmp_path), invocation)
    midnight = parse_time("2026-03-14T00:00:00Z")
    ends = [end for _, end in source.periods_read]
    assert set(ends) <= {midnight - 1, midnight - DAY - 1}
    assert len(ends) == len(set(ends))
    assert FolderStore(tmp_path).load()[0].baseline == stored


def test_a_window_in_parts_is_enriched_as_a_whole() -> None:
    """Exclusions and the baseline are read once a window, and the counts of its parts add up."""
    entry = (GUID, "", "", "ops", "deploys", "2099-01-01")

    class Listed(ChangesEachDay):
        listed = 0

        def exclusions(self) -> list[ExclusionRow]:
            self.listed += 1
            return [entry]

    source = Listed(fails=True)
    enrichment = Enrichment(source, RuleSettings(), END)
    other = detect(
        as_logs([sign_in(ServicePrincipalId="b")], [operation(Caller="b")]),
        START,
        END,
        RuleSettings(),
    ).groups
    for _ in range(2):
        assert enrichment.without_excluded(groups({})) == []
        review = Review(Ledger(), "here", START, END, END)
        emissions = review.register(enrichment.without_excluded(other))
        assert len([*enrichment.contexts(emissions, review, WINDOW)]) == 1
    assert (source.listed, len(source.periods_read), len(enrichment.warnings)) == (1, 1, 1)
    assert list(enrichment.excluded.values()) == [2]


@given(scenarios(), st.sampled_from(NAMES))
def test_a_further_operation_in_the_logs_never_lowers_a_score(
    scenario: Scenario, name: str
) -> None:
    """A further operation beside a paired one leaves its finding's score equal or raises it."""
    rule = RuleSettings(scenario.span, scenario.statuses, novelty=False)

    def judged(logs: Logs) -> dict[tuple[str, ...], int]:
        enrichment = Enrichment(NoContext(), rule, END)
        review = Review(Ledger(), "here", *scenario.window, END)
        emissions = review.register(detect(logs, *scenario.window, rule).groups)
        return {
            emission.group.key: context.score.points
            for emission, context in enrichment.contexts(emissions, review, WINDOW)
        }

    before = judged(scenario.logs())
    for row in scenario.operations:
        more = {**row, "OperationNameValue": name, "EventDataId": "further", "CallerIpAddress": ""}
        grown = as_logs(scenario.sign_ins, [*scenario.operations, more], scenario.allowlist)
        after = judged(grown)
        same = [
            key for key in before if key[2] == ascii_lower(row["ResourceGroup"] or "")
        ]  # the findings that it may belong to
        assert all(after[key] >= before[key] for key in same)
