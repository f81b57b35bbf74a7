"""What is made of a window's groups beyond the rule, and what happens when it cannot be read."""

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
from tests.support import findings as made
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


class Troubled:
    """A recorded folder whose surroundings cannot be read, each as told."""

    def __init__(self, *, exclusions: bool, actions: bool) -> None:
        self._source = RecordedSource(DEMO)
        self._fails = exclusions, actions
        self.asked: list[Collection[str]] = []

    @property
    def context(self) -> "Troubled":
        """The same."""
        return self

    def clock(self) -> None:
        """Have none."""

    def arrivals(self, *, since: int, now: int, examined: int, too_late: int) -> Arrivals:
        """Answer as recorded."""
        return self._source.arrivals(since=since, now=now, examined=examined, too_late=too_late)

    def parts(
        self, window: Window, now: int, settings: RuleSettings
    ) -> Iterator[Logs | Correlated]:
        """Answer as recorded."""
        return self._source.parts(window, now, settings)

    def exclusions(self) -> list[ExclusionRow]:
        """Answer, or fail."""
        return _fail("exclusions") if self._fails[0] else []

    def actions(
        self, identities: Collection[str], window: Window, now: int, settings: RuleSettings
    ) -> list[Operation]:
        """Answer, or fail."""
        self.asked.append(identities)
        return (
            _fail("actions")
            if self._fails[1]
            else self._source.actions(identities, window, now, settings)
        )

    def past_changes(self, start: int, end: int, settings: RuleSettings) -> list[PastChange]:
        """Answer, or fail with the actions."""
        return (
            _fail("baseline") if self._fails[1] else self._source.past_changes(start, end, settings)
        )


def _fail(what: str) -> NoReturn:
    raise SourceError(f"no {what} today")


def outcome(source: Troubled) -> tuple[Outcome, Collected]:
    """Run one window."""
    sink = Collected()
    return run(source, sink, ReadOnlyStore(), Invocation("w", parse_time(NOW))), sink


@pytest.mark.parametrize("failing", ["exclusions", "actions"])
def test_surroundings_that_cannot_be_read_are_a_warning(failing: str) -> None:
    """Findings are reported all the same, and the run record says what was not known."""
    source = Troubled(exclusions=failing == "exclusions", actions=failing == "actions")
    ran, sink = outcome(source)
    assert not ran.failures
    assert len(sink.findings) == 2
    assert sink.runs[0]["Status"] == "Warning"
    assert f"no {failing} today" in str(sink.runs[0]["Reason"])


def test_actions_are_asked_for_identities_with_findings_only() -> None:
    """One question a window, about the identities that are reported."""
    source = Troubled(exclusions=False, actions=False)
    outcome(source)
    assert source.asked == [{"e1525895-2305-453d-b6ab-6a524251f7d9"}]


def test_nothing_is_asked_without_a_finding(tmp_path: Path) -> None:
    """A window with nothing new asks nobody what else happened."""
    source = Troubled(exclusions=False, actions=False)
    hour = (parse_time(NOW) - 60 * MINUTE, parse_time(NOW))
    for _ in range(2):
        asked = Invocation("w", parse_time(NOW), backfill=hour)
        run(source, Collected(), FolderStore(tmp_path), asked)
    assert len(source.asked) == 1


def test_actions_that_failed_or_repeat_do_not_corroborate() -> None:
    """Only accepted statuses count, each event once, in order of time."""
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
def test_an_address_of_its_own(here: str, there: str, counts: bool) -> None:
    """A public address counts if none of the identity's other resource groups saw it."""
    found = groups(
        {"ResourceGroup": "rg-1", "CallerIpAddress": here},
        {"ResourceGroup": "rg-2", "CallerIpAddress": there},
    )
    reasons = ContextBuilder(found).build(found[0], found[0].read_pairs()).score.reasons
    assert any("public address" in reason.sentence for reason in reasons) is counts


def test_spread_is_the_identitys() -> None:
    """Groups and subscriptions of all the identity's findings count, those of others do not."""
    found = groups(
        {"ResourceGroup": "rg-1", "SubscriptionId": "s-1"},
        {"ResourceGroup": "RG-1", "SubscriptionId": "S-1"},
        {"ResourceGroup": "rg-2", "SubscriptionId": "s-2"},
    )
    sentences = [
        reason.sentence
        for reason in ContextBuilder(found).build(found[0], found[0].read_pairs()).score.reasons
    ]
    assert "The identity changed 2 resource groups in 2 subscriptions" in sentences


def test_the_queries_are_about_the_finding() -> None:
    """Each of the three names the identity, and the first two its time."""
    (only,) = groups({})
    asked = ContextBuilder([only]).build(only, only.read_pairs()).investigate
    assert [question["Title"] for question in asked] == list(QUESTIONS)
    assert all(f'"{GUID}"' in question["Query"] for question in asked)
    assert all("datetime(2026-03-02T11:00:00.0000000Z)" in one["Query"] for one in asked[:2])


def test_an_identity_that_no_query_can_hold_has_none() -> None:
    """A name with a line break gets into no query, and the finding is reported all the same."""
    odd = "a\n| take 1"
    logs = as_logs([sign_in(ServicePrincipalId=odd)], [operation(Caller=odd)])
    (only,) = detect(logs, START, END, RuleSettings()).groups
    assert ContextBuilder([only]).build(only, only.read_pairs()).investigate == []


class Remembering(Troubled):
    """Counts how often it is asked for the past, and knows one."""

    def __init__(self, days: int = 0, *, fails: bool = False) -> None:
        super().__init__(exclusions=False, actions=False)
        self.recalled: list[tuple[int, int]] = []
        self._days = days
        self._history_fails = fails

    def past_changes(self, start: int, end: int, settings: RuleSettings) -> list[PastChange]:
        """Answer with a role assignment a day, by the identity of the demo."""
        del settings
        self.recalled.append((start, end))
        if self._history_fails:
            _fail("baseline")
        identity = "E1525895-2305-453d-b6ab-6a524251f7d9"
        return [
            (end - n * DAY, identity, "MICROSOFT.AUTHORIZATION/ROLEASSIGNMENTS/WRITE", "RG")
            for n in range(1, self._days + 1)
        ]


def recalled(source: Remembering, folder: Path, *, novelty: bool = True) -> Collected:
    """Run the demo's window and the next one, with a state."""
    sink = Collected()
    for hour in (0, 1):
        settings = RuleSettings(novelty=novelty)
        asked = Invocation("w", parse_time(NOW) + hour * HOUR, settings=settings)
        run(source, sink, FolderStore(folder), asked)
    return sink


def sentences(sink: Collected) -> str:
    """Return all reasons of all findings as one text."""
    return orjson.dumps([row["RiskReasons"] for row in sink.findings]).decode()


def test_novelty_is_off_by_default(tmp_path: Path) -> None:
    """Nobody asks for the past unless the setting says so."""
    source = Remembering(14)
    assert "New for the identity" not in sentences(recalled(source, tmp_path, novelty=False))
    assert source.recalled == []


def test_the_past_is_asked_for_once_a_day(tmp_path: Path) -> None:
    """The two weeks before the first window are read once; the next run remembers them."""
    source = Remembering(14)
    sink = recalled(source, tmp_path)
    start = parse_time("2026-03-14T08:00:00Z")
    assert source.recalled == [(start - 14 * DAY, start)]
    told = sentences(sink)
    assert "New for the identity in 13 days: defence evasion, destruction" in told
    assert "The resource group is new for the identity in 13 days" in told
    baseline = FolderStore(tmp_path).load()[0].baseline
    assert baseline is not None
    assert baseline.read_at == parse_time(NOW)


def test_a_short_past_scores_nothing(tmp_path: Path) -> None:
    """With five days of history each finding says so, and has the score that it has without."""
    known = recalled(Remembering(5), tmp_path / "a")
    without = recalled(Remembering(5), tmp_path / "b", novelty=False)
    assert "cannot be said: the history has 4 of 7 days" in sentences(known)
    assert [row["RiskScore"] for row in known.findings] == [
        row["RiskScore"] for row in without.findings
    ]


def test_a_past_that_cannot_be_read_is_a_warning(tmp_path: Path) -> None:
    """Findings are reported without it, and the next run asks again."""
    source = Remembering(14, fails=True)
    sink = recalled(source, tmp_path)
    assert len(sink.findings) == 2
    assert "Novelty is not scored, because the baseline could not be read" in str(
        sink.runs[0]["Reason"]
    )
    assert sink.runs[0]["Status"] == "Warning"


def test_the_past_of_a_recording_is_in_it() -> None:
    """The changes that a recorded folder has from before the window are its history."""
    end = parse_time(NOW)
    deeds = RecordedSource(DEMO).past_changes(end - 14 * DAY, end, RuleSettings())
    assert len(deeds) == 11
    assert all(end - 14 * DAY < time <= end for time, *_ in deeds)


def test_a_backfill_does_without_the_past() -> None:
    """What is remembered lies around the present, so old windows are not measured by it."""
    source = Remembering(14)
    hours = (parse_time(NOW) - HOUR, parse_time(NOW))
    asked = Invocation("w", parse_time(NOW), settings=RuleSettings(novelty=True), backfill=hours)
    run(source, Collected(), ReadOnlyStore(), asked)
    assert source.recalled == []


def test_a_window_may_come_in_parts() -> None:
    """Exclusions and the past are read once a window, and what each part comes to adds up."""
    entry = (GUID, "", "ops", "deploys", "2099-01-01")

    class Listed(Remembering):
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
    assert (source.listed, len(source.recalled), len(enrichment.warnings)) == (1, 1, 1)
    assert list(enrichment.excluded.values()) == [2]


@given(scenarios(), st.sampled_from(made.NAMES))
def test_an_operation_more_in_the_logs_never_lowers_a_score(scenario: Scenario, name: str) -> None:
    """A further operation beside a paired one leaves its finding's score, or raises it."""
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
        ]  # the findings it may belong to
        assert all(after[key] >= before[key] for key in same)
