"""Near misses of runs: counted once over overlapping windows and late rows, and never a warning."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.pipeline.invocation import Invocation
from detection.pipeline.job import run
from detection.ranking.near_misses import LateChanges
from detection.rule.allowlist import Allowlist
from detection.rule.filters import RuleSettings
from detection.rule.ticks import DAY, HOUR, MINUTE, format_time, parse_time
from detection.sources.recorded.folder import RecordedSource
from detection.state import ReadOnlyStore
from detection.state.folder import FolderStore
from detection.window import Seen, Window
from tests.support import EXCLUSIONS, NOW, Collected, response_of, write_logs, write_table
from tests.support.summaries import ROLE, TAGS, VAULT

TEN = parse_time(NOW)
RUNS = range(TEN, TEN + 5 * HOUR, HOUR)
SPAN = HOUR
THIEF = "e1525895-2305-453d-b6ab-6a524251f7d9"


class Event(NamedTuple):
    """A sign-in or a grave change, with the time and the delay of its row (ticks)."""

    time: int
    delay: int
    identity: str

    def arrived_at(self, now: int) -> bool:
        """Return True if the row is there at a run."""
        return self.time + self.delay <= now


def events(first: int, last: int) -> st.SearchStrategy[list[Event]]:
    """Draw events between two times, on a grid of half hours or a tick beside it."""
    event = st.builds(
        lambda step, nudge, delay, identity: Event(
            first + 1 + step * 30 * MINUTE + nudge, delay, identity
        ),
        st.integers(0, (last - first) // (30 * MINUTE) - 1),
        st.sampled_from((0, 0, 1)),
        st.sampled_from((0, 0, 25 * MINUTE, HOUR, 3 * HOUR, DAY - 1)),
        st.sampled_from(("aaaa", "bbbb")),
    )
    return st.lists(event, max_size=8)


SIGN_INS = events(TEN - 27 * HOUR, RUNS[-1])
OPERATIONS = events(TEN - 2 * HOUR, RUNS[-1])


def sign_in(time: int, identity: str = THIEF, **columns: object) -> dict[str, object]:
    """Return a sign-in to Key Vault."""
    return {
        "TimeGenerated": format_time(time),
        "ServicePrincipalId": identity,
        "ServicePrincipalName": "app",
        "ResultType": "0",
        "ResourceDisplayName": "Azure Key Vault",
    } | columns


def change(time: int, name: str = VAULT, identity: str = THIEF, **columns: object) -> Any:
    """Return a successful change."""
    return {
        "TimeGenerated": format_time(time),
        "Caller": identity,
        "OperationNameValue": name,
        "ActivityStatusValue": "Success",
        "ResourceGroup": "rg-one",
    } | columns


def recorded(folder: Path, sign_ins: Sequence[Event], operations: Sequence[Event]) -> Path:
    """Record events; each is another one, whatever its time."""

    def arrival(event: Event) -> dict[str, Any]:
        return {"IngestionTime": format_time(event.time + event.delay)}

    return write_logs(
        folder,
        [sign_in(each.time, each.identity, **arrival(each)) for each in sign_ins],
        [
            change(each.time, identity=each.identity, EventDataId=f"o{number}", **arrival(each))
            for number, each in enumerate(operations)
        ],
    )


def expected(
    sign_ins: Sequence[Event], operations: Sequence[Event], near: int, far: int
) -> list[int]:
    """Return for each run the operations that it reads first, and whose sign-in is that far away.

    That is, for which some sign-in is at most `far` before, and none `near` or less.
    """
    counts = [0] * len(RUNS)
    for operation in operations:
        reads = (now for now in RUNS if operation.time <= now and operation.arrived_at(now))
        if (now := next(reads, None)) is None:
            continue
        delays = [
            operation.time - each.time
            for each in sign_ins
            if each.identity == operation.identity and each.arrived_at(now)
        ]
        if any(0 <= delay <= far for delay in delays) and not any(
            0 <= delay <= near for delay in delays
        ):
            counts[RUNS.index(now)] += 1
    return counts


def one_run(folder: Path, now: int = TEN, settings: RuleSettings | None = None) -> Collected:
    """Run one window without memory and return its rows."""
    sink = Collected()
    invocation = Invocation("w", now, settings or RuleSettings())
    assert not run(RecordedSource(folder), sink, ReadOnlyStore(), invocation).failures
    return sink


@given(SIGN_INS, OPERATIONS)
def test_each_near_miss_counts_once(sign_ins: list[Event], operations: list[Event]) -> None:
    """The first run that reads a change counts it, with any delays and overlapping windows."""
    sink = Collected()
    with tempfile.TemporaryDirectory() as folder:
        source = RecordedSource(recorded(Path(folder) / "logs", sign_ins, operations))
        store = FolderStore(Path(folder) / "state")
        for now in RUNS:
            run(source, sink, store, Invocation("w", now))
    counts = [row["NearMisses"] for row in sink.runs]
    assert counts == expected(sign_ins, operations, SPAN, DAY)


@given(SIGN_INS, OPERATIONS)
def test_a_change_is_a_near_miss_or_in_a_finding(
    sign_ins: list[Event], operations: list[Event]
) -> None:
    """Without delays, each change after a sign-in of the day before is exactly one of both."""
    sign_ins, operations = (
        [event._replace(delay=0) for event in events] for events in (sign_ins, operations)
    )
    sink, backfilled = Collected(), Collected()
    with tempfile.TemporaryDirectory() as folder:
        source = RecordedSource(recorded(Path(folder) / "logs", sign_ins, operations))
        store = FolderStore(Path(folder) / "state")
        for now in RUNS:
            run(source, sink, store, Invocation("w", now))
        hours = Invocation("w", RUNS[-1], backfill=(TEN - HOUR, RUNS[-1]))
        run(source, backfilled, ReadOnlyStore(), hours)
    misses = sum(row["NearMisses"] for row in sink.runs)
    reported = sum(row["NewOperations"] for row in sink.findings)
    # The first window does not reach the sign-ins before it.
    unknown = [each for each in operations if each.time <= TEN - HOUR]
    early = sum(expected([e for e in sign_ins if e.time <= TEN - 2 * HOUR], unknown, -1, SPAN))
    assert misses == sum(expected(sign_ins, operations, SPAN, DAY))
    assert misses + reported <= sum(expected(sign_ins, operations, -1, DAY))
    assert misses + reported >= sum(expected(sign_ins, operations, -1, DAY)) - early
    assert sum(row["NearMisses"] for row in backfilled.runs) == misses


@pytest.mark.parametrize(
    ("minutes_late", "counts"), [(0, [1, 0]), (25, [1, 0]), (30, [1, 0]), (31, [0, 1])]
)
def test_a_late_change_counts_in_the_run_that_reads_it_first(
    tmp_path: Path, minutes_late: int, counts: list[int]
) -> None:
    """Of two runs whose windows hold a change of half past nine, one counts it."""
    late = Event(TEN - 30 * MINUTE, minutes_late * MINUTE, "aaaa")
    folder = recorded(tmp_path / "logs", [Event(TEN - 9 * HOUR, 0, "aaaa")], [late])
    source, sink, store = RecordedSource(folder), Collected(), FolderStore(tmp_path / "state")
    for now in (TEN, TEN + HOUR):
        run(source, sink, store, Invocation("w", now))
    assert [row["NearMisses"] for row in sink.runs] == counts


def test_the_gravest_are_named(tmp_path: Path) -> None:
    """The reason names three with identity, operation and number; the run is a success."""
    five_hours_ago = sign_in(TEN - 6 * HOUR, IPAddress="", Id="s")
    others = {"SubscriptionId": "", "CallerIpAddress": "", "ResourceId": ""}
    names = [TAGS, *["Microsoft.Web/sites/delete"] * 4, VAULT, VAULT, ROLE]
    rows = [
        change(TEN - HOUR + number * MINUTE, name, EventDataId=f"o{number}", **others)
        for number, name in enumerate(names)
    ]
    sink = one_run(write_logs(tmp_path, [five_hours_ago], rows))
    (record,) = sink.runs
    assert not sink.findings
    assert (record["Status"], record["NearMisses"], record["Findings"]) == ("Success", 7, 0)
    reason = str(record["Reason"])
    assert reason.startswith(
        "7 grave changes by 1 identity not reported, because the latest sign-in to a target "
        "service was more than 1 hour before, within a token's lifetime of 1 day. The gravest: "
    )
    for text in (f"{THIEF} {VAULT.lower()} (2 times)", f"{ROLE.lower()} (1 time)"):
        assert text in reason


def test_without_a_near_miss_nothing_is_said(tmp_path: Path) -> None:
    """A change within the span is a finding and nothing else."""
    folder = write_logs(tmp_path, [sign_in(TEN - HOUR)], [change(TEN - MINUTE)])
    sink = one_run(folder)
    assert len(sink.findings) == 1
    assert sink.runs[0]["NearMisses"] == 0
    assert "token" not in sink.runs[0]["Reason"]


def test_allowlist_and_exclusions_apply(tmp_path: Path) -> None:
    """Sign-ins from allowlisted addresses and excluded groups make no near miss."""
    rows = [sign_in(TEN - 6 * HOUR, IPAddress="10.0.0.1")], [change(TEN - HOUR)]
    assert one_run(write_logs(tmp_path / "a", *rows)).runs[0]["NearMisses"] == 1
    assert one_run(write_logs(tmp_path / "b", *rows, ["10.0.0.0/8"])).runs[0]["NearMisses"] == 0
    owned = {"Owner": "ops", "Reason": "deploys", "Expires": "2027-01-01"}
    for place, (group, classes, number) in enumerate(
        [
            ("RG-ONE", "", 0),
            ("rg-two", "", 1),
            ("rg-one", "routine;destruction", 0),
            ("rg-one", "routine", 1),
        ]
    ):
        folder = write_logs(tmp_path / str(place), *rows)
        entry = owned | {"ResourceGroup": group, "OperationClasses": classes}
        write_table(folder, EXCLUSIONS, response_of([entry]))
        assert one_run(folder).runs[0]["NearMisses"] == number


class CountingSource(RecordedSource):
    """A recorded folder that counts the reads of near misses."""

    reads = 0

    def late_changes(
        self, window: Window, seen: Seen, now: int, settings: RuleSettings, allowlist: Allowlist
    ) -> list[LateChanges]:
        """Count the read."""
        self.reads += 1
        return super().late_changes(window, seen, now, settings, allowlist)


@pytest.mark.parametrize(
    ("hours_ago", "span", "reads"),
    [(1, HOUR, 1), (5, HOUR, 0), (1, DAY, 0), (1, DAY - 1, 1)],
    ids=["changes", "no change", "a span of a day", "nearly a day"],
)
def test_near_misses_are_read_if_there_can_be_some(
    tmp_path: Path, hours_ago: int, span: int, reads: int
) -> None:
    """A window without a change, or a span as long as a token lives, saves the query."""
    folder = write_logs(tmp_path, [sign_in(TEN - 6 * HOUR)], [change(TEN - hours_ago * HOUR)])
    source, settings = CountingSource(folder), RuleSettings(span=span)
    run(source, Collected(), ReadOnlyStore(), Invocation("w", TEN, settings))
    assert source.reads == reads
