"""A recorded folder is a log source: the rows of a window, their arrival, and errors in files."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.errors import SourceError, UsageError
from detection.rule.log_rows import Logs, SourceState
from detection.rule.ticks import HOUR, MINUTE, format_time, parse_time
from detection.sources import Arrivals
from detection.sources.recorded.folder import RecordedSource
from detection.window import Mode, Window
from tests.support import (
    ALLOWLIST,
    OPERATIONS,
    SIGN_INS,
    read_operations,
    read_sign_ins,
    response,
    response_of,
    write_table,
)
from tests.support.strategies import operation, sign_in

TEN = parse_time("2026-03-14T10:00:00Z")
WINDOW = Window(TEN - 2 * HOUR, TEN, Mode.SCHEDULED)
NEAR = st.sampled_from([TEN + step for step in (-3, -2, -1, 0, 1, 2, 3)])
Event = tuple[int, int | None]  # a row's time, and its ingestion time or None
EVENTS = st.lists(st.tuples(NEAR, st.one_of(st.none(), NEAR)), max_size=8)
WINDOWS = st.lists(st.tuples(NEAR, NEAR, NEAR), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that every example overwrites."""
    return tmp_path_factory.mktemp("recorded")


def write_events(folder: Path, sign_ins: Sequence[Event], operations: Sequence[Event]) -> None:
    """Write rows with their own event ids; omit IngestionTime if no row has it.

    The first table is a response and the second an array, so that null and absence both occur.
    """

    def dated(row: dict[str, Any], event: Event) -> dict[str, Any]:
        time, ingested = event
        at = {} if ingested is None else {"IngestionTime": format_time(ingested)}
        return row | at | {"TimeGenerated": format_time(time)}

    rows = [dated(sign_in(Id=f"s{n}"), event) for n, event in enumerate(sign_ins)]
    write_table(folder, SIGN_INS, response_of(rows) if rows else [])
    rows = [dated(operation(EventDataId=f"o{n}"), event) for n, event in enumerate(operations)]
    write_table(folder, OPERATIONS, rows)


def within(events: Iterable[Event], start: int, end: int, now: int) -> set[tuple[int, int]]:
    """Return (number, time) of the events in (start, end] that had arrived at `now`."""
    return {
        (number, time)
        for number, (time, ingested) in enumerate(events)
        if start < time <= end and (ingested is None or ingested <= now)
    }


@given(EVENTS, EVENTS, WINDOWS)
def test_a_window_holds_its_rows_that_had_arrived(
    scratch: Path, sign_ins: list[Event], operations: list[Event], windows: list[tuple[int, ...]]
) -> None:
    """Windows read in any sequence each hold exactly their rows that had arrived."""
    write_events(scratch, sign_ins, operations)
    source = RecordedSource(scratch)
    for start, end, now in windows:
        logs = source.read(Window(start, end, Mode.SCHEDULED), now)
        expected = within(sign_ins, start, end, now)
        read = [(row["Id"], row["TimeGenerated"]) for row in read_sign_ins(logs)]
        assert Counter(read) == Counter((f"s{n}", time) for n, time in expected)
        assert logs.states[SIGN_INS] == (SourceState.OK if expected else SourceState.EMPTY)
        expected = within(operations, start, end, now)
        read = [(row["EventDataId"], row["TimeGenerated"]) for row in read_operations(logs)]
        assert Counter(read) == Counter((f"o{n}", time) for n, time in expected)
        assert logs.states[OPERATIONS] == (SourceState.OK if expected else SourceState.EMPTY)
        for table, events in ((SIGN_INS, sign_ins), (OPERATIONS, operations)):
            there = within(events, 0, now, now)
            assert logs.latest[table] == max((time for _, time in there), default=None)


@given(EVENTS, EVENTS, NEAR, NEAR, NEAR, NEAR)
def test_arrivals_count_rows_ingested_since(  # noqa: PLR0913, PLR0917 - drawn one by one
    scratch: Path,
    sign_ins: list[Event],
    operations: list[Event],
    since: int,
    now: int,
    examined: int,
    too_late: int,
) -> None:
    """Rows ingested in (since, now] of both tables count; rows without IngestionTime never do."""
    write_events(scratch, sign_ins, operations)
    arrivals = RecordedSource(scratch).arrivals(
        since=since, now=now, examined=examined, too_late=too_late
    )
    times = [
        time
        for time, ingested in (*sign_ins, *operations)
        if ingested is not None and since < ingested <= now
    ]
    reachable = [time for time in times if time > too_late]
    assert arrivals == Arrivals(
        earliest=min(reachable) if reachable else None,
        late=len([time for time in reachable if time <= examined]),
        too_late=len([time for time in times if time <= too_late]),
    )


def ids(logs: Logs) -> list[str]:
    """Return the ids of the sign-ins."""
    return [row["Id"] for row in read_sign_ins(logs)]


def test_without_ingestion_times_every_row_has_arrived(tmp_path: Path) -> None:
    """A recording without the column has all of its rows at any time, and none is late."""
    write_events(tmp_path, [(TEN, None)], [(TEN - 1, None)])
    source = RecordedSource(tmp_path)
    assert ids(source.read(WINDOW, TEN - 9 * HOUR)) == ["s0"]
    assert source.arrivals(since=0, now=TEN, examined=TEN, too_late=0) == Arrivals()


def test_a_null_ingestion_time_means_that_the_row_has_arrived(tmp_path: Path) -> None:
    """Each row is judged by its own value in the column."""
    write_events(tmp_path, [(TEN, None), (TEN, TEN + 1), (TEN, TEN)], [])
    source = RecordedSource(tmp_path)
    assert ids(source.read(WINDOW, TEN)) == ["s0", "s2"]
    assert ids(source.read(WINDOW, TEN + 1)) == ["s0", "s1", "s2"]


@pytest.mark.parametrize("first", [True, False])
def test_files_of_one_table_may_have_ingestion_times_or_none(
    tmp_path: Path, *, first: bool
) -> None:
    """Rows of the file without the column have arrived; each other row is judged by itself."""
    known, unknown = ("1", "2") if first else ("2", "1")
    for name, arrivals in ((known, [TEN + 1, TEN]), (unknown, [None, None])):
        write_events(tmp_path, [(TEN, arrival) for arrival in arrivals], [])
        rows = (tmp_path / f"{SIGN_INS}.json").rename(tmp_path / f"{SIGN_INS}-{name}.json")
        rows.write_text(rows.read_text("utf-8").replace('"s', f'"file {name} s'), "utf-8")
    source = RecordedSource(tmp_path)
    later = [f"file {known} s0"]
    always = sorted([f"file {known} s1", f"file {unknown} s0", f"file {unknown} s1"])
    assert sorted(ids(source.read(WINDOW, TEN))) == always
    assert sorted(ids(source.read(WINDOW, TEN + 1))) == sorted(always + later)
    arrived = source.arrivals(since=TEN, now=TEN + 1, examined=TEN, too_late=0)
    assert arrived._replace(missing=frozenset()) == Arrivals(TEN, 1, 0)


@pytest.mark.parametrize("known", [0, 1, 2_999])
def test_a_large_recording_may_have_few_ingestion_times(tmp_path: Path, known: int) -> None:
    """Among thousands of rows the one with a value is judged, and the others have arrived."""
    rows: list[dict[str, Any]] = [
        operation(EventDataId=f"o{n}", TimeGenerated=format_time(TEN - n)) for n in range(3_000)
    ]
    rows[known]["IngestionTime"] = format_time(TEN + 1)
    write_table(tmp_path, OPERATIONS, rows)
    source = RecordedSource(tmp_path)
    assert len(source.read(WINDOW, TEN).operations) == len(rows) - 1
    assert len(source.read(WINDOW, TEN + 1).operations) == len(rows)
    arrivals = source.arrivals(since=TEN, now=TEN + 1, examined=TEN, too_late=0)
    assert arrivals._replace(missing=frozenset()) == Arrivals(TEN - known, 1, 0)


def test_an_unreadable_ingestion_time_is_refused(tmp_path: Path) -> None:
    """An unreadable value in the optional column is an error that names file and row."""
    write_table(tmp_path, OPERATIONS, [operation(), operation(IngestionTime="later")])
    with pytest.raises(SourceError, match=r"AzureActivity\.json: row 2: IngestionTime is unread"):
        RecordedSource(tmp_path)


def test_columns_are_read_in_the_rule_s_order(tmp_path: Path) -> None:
    """Every column of both tables is read into its place, and the allowlist as its entries."""
    signed_in = sign_in(ResourceIdentity="r", CorrelationId="c", IPAddress="192.0.2.1")
    changed = operation(_ResourceId="/own", CorrelationId="d", CallerIpAddress="192.0.2.2")
    write_table(tmp_path, SIGN_INS, response_of([signed_in]))
    write_table(tmp_path, OPERATIONS, response_of([changed]))
    write_table(tmp_path, ALLOWLIST, response(["X", "IPOrRange"], [[1, "10.0.0.0/8"], [1, None]]))
    at = parse_time(str(signed_in["TimeGenerated"]))
    logs = RecordedSource(tmp_path).read(Window(at - HOUR, at, Mode.SCHEDULED), at)
    assert read_sign_ins(logs) == [signed_in | {"TimeGenerated": at}]
    assert read_operations(logs) == [changed | {"TimeGenerated": at}]
    assert logs.allowlist == ["10.0.0.0/8", ""]
    assert logs.bytes_read == sum(path.stat().st_size for path in tmp_path.iterdir())


def states(logs: Logs) -> list[str]:
    """Return the state of each source."""
    return [str(logs.states[table]) for table in (SIGN_INS, OPERATIONS, ALLOWLIST)]


@pytest.mark.parametrize("table", [SIGN_INS, OPERATIONS, ALLOWLIST])
def test_a_file_that_is_not_there_is_a_missing_table(tmp_path: Path, table: str) -> None:
    """A folder of one file is a recording; the other tables are missing, which is not empty."""
    write_table(tmp_path, table, [])
    logs = RecordedSource(tmp_path).read(WINDOW, TEN)
    assert states(logs) == [
        "Empty" if name == table else "Missing" for name in (SIGN_INS, OPERATIONS, ALLOWLIST)
    ]
    assert not logs.sign_ins
    assert not logs.operations
    assert not logs.allowlist


def test_a_window_without_rows_is_empty_though_the_table_has_some(tmp_path: Path) -> None:
    """A table's state is that of the window; its newest row is given beside it."""
    write_events(tmp_path, [(TEN - 5 * HOUR, None)], [(TEN + MINUTE, None)])
    logs = RecordedSource(tmp_path).read(WINDOW, TEN)
    assert states(logs) == ["Empty", "Empty", "Missing"]
    assert logs.latest == {SIGN_INS: TEN - 5 * HOUR, OPERATIONS: None}


def test_the_folder_is_read_once(tmp_path: Path) -> None:
    """A change on disk after the source was opened changes nothing."""
    write_events(tmp_path, [(TEN, None)], [])
    source = RecordedSource(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    assert ids(source.read(WINDOW, TEN)) == ["s0"]


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    """The error names the folder."""
    with pytest.raises(UsageError, match="nowhere is not a folder"):
        RecordedSource(tmp_path / "nowhere")


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    """The file of a table is refused as a folder."""
    path = write_table(tmp_path, OPERATIONS, [])
    with pytest.raises(UsageError, match=r"AzureActivity\.json is not a folder"):
        RecordedSource(path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    """A folder without any table is refused; the error names the tables, and what is not read."""
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError) as caught:
        RecordedSource(tmp_path)
    for part in (tmp_path.name, SIGN_INS, OPERATIONS, ALLOWLIST, "notes.txt is not read"):
        assert part in str(caught.value)


@pytest.mark.parametrize("table", [SIGN_INS, OPERATIONS, ALLOWLIST])
def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, table: str) -> None:
    """A directory with a table's name is an error, not a missing table."""
    (tmp_path / f"{table}.json").mkdir()
    with pytest.raises(SourceError, match=rf"{table}\.json: cannot be read: "):
        RecordedSource(tmp_path)


@pytest.mark.parametrize("table", [SIGN_INS, OPERATIONS, ALLOWLIST])
def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path, table: str) -> None:
    """A file that was cut in half is an error, not an empty table."""
    write_events(tmp_path, [(TEN, None)], [(TEN, None)])
    body = json.dumps(response(["IPOrRange"], [["10.0.0.1"]]))
    (tmp_path / f"{table}.json").write_text(body[: len(body) // 2], "utf-8")
    with pytest.raises(SourceError, match=rf"{table}\.json: is not JSON"):
        RecordedSource(tmp_path)


@pytest.mark.parametrize(("table", "row"), [(SIGN_INS, sign_in()), (OPERATIONS, operation())])
def test_a_row_without_a_time_is_an_error(tmp_path: Path, table: str, row: dict[str, Any]) -> None:
    """One unreadable TimeGenerated is named with file and row, even outside the window."""
    write_table(tmp_path, table, response_of([row, row, row | {"TimeGenerated": "noon"}]))
    with pytest.raises(SourceError, match=rf"{table}\.json: row 3: TimeGenerated is unreadable"):
        RecordedSource(tmp_path)


def test_rows_that_cannot_match_are_counted_and_dropped(tmp_path: Path) -> None:
    """Rows that no setting could match are counted as read, as arrived and as newest."""
    early, late = format_time(TEN - HOUR), format_time(TEN)
    known = {"IngestionTime": late}
    failed = sign_in(ResultType="50034", TimeGenerated=late) | known
    elsewhere = sign_in(ResourceDisplayName="Microsoft Graph", TimeGenerated=late) | known
    write_table(tmp_path, SIGN_INS, [sign_in(TimeGenerated=early), failed, elsewhere])
    listed = operation(OperationNameValue="a/list/action", TimeGenerated=early)
    started = operation(ActivityStatusValue="Start", TimeGenerated=early)
    write_table(tmp_path, OPERATIONS, [listed, started])
    source = RecordedSource(tmp_path)
    logs = source.read(WINDOW, TEN)
    assert [row["TimeGenerated"] for row in read_sign_ins(logs)] == [TEN - HOUR]
    assert [row["ActivityStatusValue"] for row in read_operations(logs)] == ["Start"]
    assert logs.read == {SIGN_INS: 3, OPERATIONS: 2}
    assert logs.latest == {SIGN_INS: TEN, OPERATIONS: TEN - HOUR}
    assert source.read(WINDOW, TEN - 1).read == {SIGN_INS: 1, OPERATIONS: 2}
    arrivals = source.arrivals(since=TEN - 1, now=TEN, examined=TEN, too_late=0)
    assert arrivals == Arrivals(earliest=TEN, late=2, too_late=0)


def test_a_row_that_cannot_match_still_needs_a_time(tmp_path: Path) -> None:
    """An unreadable time is an error in every row, named by file and number."""
    rows = [sign_in(), sign_in(ResultType="1"), sign_in(ResultType="1", TimeGenerated="noon")]
    write_table(tmp_path, SIGN_INS, response_of(rows))
    with pytest.raises(SourceError, match=rf"{SIGN_INS}\.json: row 3: TimeGenerated is unreadable"):
        RecordedSource(tmp_path)
