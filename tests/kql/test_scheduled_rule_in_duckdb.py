"""The three forms of the rule agree: in Python, as a query for the Logs page, as a scheduled rule.

Both queries run in DuckDB with a fixed present. A query takes a while to plan, so logs are joined
to one whose identities are kept apart by a number before each.
"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.ranking.classify import CHANGE, catalog, classify
from detection.ranking.score import severity_of
from detection.rule.allowlist import Allowlist
from detection.rule.correlate import Group, detect
from detection.rule.filters import RuleSettings
from detection.rule.kql_text import is_blank
from detection.rule.log_rows import (
    ALLOWLIST_TABLE,
    IDENTITY,
    OPERATION_TABLE,
    SIGN_IN_TABLE,
    TIME,
    Logs,
)
from detection.rule.ticks import DAY, HOUR, MINUTE, format_time, parse_time
from detection.schema import SEVERITY
from detection.sentinel.query import Period, logs_page_query, query_period, scheduled_query
from detection.sentinel.severity import TOP_SEVERITY
from detection.settings import rule_settings
from detection.sources.recorded.folder import RecordedSource
from detection.window import VISIBILITY_MARGIN, Mode, Window
from tests.end_to_end.test_scenarios import SCENARIOS, expectations
from tests.kql.test_correlate_in_duckdb import TOGETHER, combined
from tests.support import RECORDED, kusto
from tests.support.random_streams import (
    BEGIN,
    FIRST,
    assert_each_reported_once,
    random_stream,
    reportable_operations,
)
from tests.support.simulation import Event, Simulation, Stream
from tests.support.strategies import (
    END,
    FOUR,
    NASTY_IN_DATABASES,
    SIX,
    START,
    UNREADABLE,
    Scenario,
    as_logs,
    operation,
    scenarios,
    sign_in,
    written,
)

ALIAS = ALLOWLIST_TABLE.name
GENERATED = 300
OPERATION_NAMES = (
    Path(__file__).parents[3] / "shared" / "data" / "operations" / "write-and-delete.txt"
)
Row = dict[str, Any]


@pytest.fixture(scope="module")
def database() -> Any:
    """Return a database with both tables and the watchlist, empty."""
    return kusto.database()


def fixed(text: str, now: int) -> str:
    """Return a query with the present at `now`."""
    lengths = {"h": HOUR, "m": MINUTE}
    text = re.sub(
        r"\bago\((\d+)([hm])\)",
        lambda found: f"datetime({format_time(now - int(found[1]) * lengths[found[2]])})",
        text,
    )
    return text.replace("now()", f"datetime({format_time(now)})")


def fill(
    database: Any,
    logs: Logs,
    sign_ins_arrived: Sequence[int] = (),
    operations_arrived: Sequence[int] = (),
) -> None:
    """Replace all rows, given the arrival of each (ticks); without these, all arrive at END."""
    tables: list[tuple[str, Sequence[tuple[Any, ...]], Sequence[int]]] = [
        (SIGN_IN_TABLE.name, logs.sign_ins, sign_ins_arrived),
        (OPERATION_TABLE.name, logs.operations, operations_arrived),
    ]
    for table, rows, arrived in tables:
        moments = arrived or [END] * len(rows)
        kusto.fill(database, table, [[*row, at] for row, at in zip(rows, moments, strict=True)])
    entries = [[str(number), 0, entry] for number, entry in enumerate(logs.allowlist)]
    kusto.fill(database, ALIAS, entries)


def run_rule(database: Any, now: int, rule: RuleSettings) -> list[Row]:
    """Return the alerts of one run of the scheduled rule."""
    return [dict(row) for row in kusto.ask(database, fixed(scheduled_query(rule, ALIAS), now))]


def in_python(groups: Iterable[Group]) -> list[Row]:
    """Return the groups that Python found as rows of the queries."""
    return [
        {
            "ServicePrincipalName": group.service_principal_name,
            "ServicePrincipalId": group.service_principal_id,
            "ResourceGroup": group.resource_group,
            "DataPlaneAccesses": group.pairs,
            "MgmtPlaneOps": group.pairs,
            "DistinctSignIns": group.distinct_sign_ins,
            "DistinctOperations": len(group.operations_at),
            "Resources": group.resources,
            "Operations": group.operations,
            "AffectedResources": group.affected_resources,
            "SubscriptionIds": group.subscription_ids,
            "CallerIpAddresses": group.caller_addresses,
            "FirstEvent": group.first_event,
            "LastEvent": group.last_event,
            "AlertSeverity": severity(each.operation for each in group.read_pairs({})),
        }
        for group in groups
    ]


def severity(operations: Iterable[str]) -> str:
    """Return the severity of an alert about these operations, by the catalogue."""
    bands = {severity_of(classify(operation).points) for operation in operations}
    return TOP_SEVERITY if TOP_SEVERITY in bands else SEVERITY


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Return rows in an order that does not depend on who found them."""
    return sorted(rows, key=lambda row: [str(value) for value in row.values()])


def assert_agreement(
    database: Any, logs: Logs, rule: RuleSettings, start: int = START, end: int = END
) -> list[Row]:
    """Compare every column of the three forms, on the rows of one window; return the rows."""
    logs = replace(
        logs,
        sign_ins=[row for row in logs.sign_ins if start < row[TIME] <= end],
        operations=[row for row in logs.operations if start < row[TIME] <= end],
    )
    fill(database, logs, [end] * len(logs.sign_ins), [end] * len(logs.operations))
    python = in_order(in_python(detect(logs, start, end, rule).groups))
    query = logs_page_query(rule, ALIAS, Period(start, end))
    assert in_order(map(dict, kusto.ask(database, fixed(query, end)))) == python
    alerts = run_rule(database, end + VISIBILITY_MARGIN, rule)
    for alert in alerts:
        assert alert.pop("Address") == next(iter(alert["CallerIpAddresses"]), "")
        assert alert.pop("AffectedResource") == next(iter(alert["AffectedResources"]), "")
        assert alert.pop("TimeGenerated") == alert["LastEvent"]
    assert in_order(alerts) == python
    return python


@settings(max_examples=GENERATED // TOGETHER)
@given(st.lists(scenarios(NASTY_IN_DATABASES), min_size=TOGETHER, max_size=TOGETHER))
def test_the_forms_agree_on_generated_logs(database: Any, drawn: list[Scenario]) -> None:
    """On 300 generated logs the three forms find the same, in every column."""
    logs, rule = combined(drawn)
    # CORRELATION_SPAN cannot be 0, and a bin of time neither.
    assert_agreement(database, logs, replace(rule, span=max(rule.span, 1)))


def test_the_forms_agree_on_recorded_scenarios(database: Any) -> None:
    """In every window of every recorded scenario the three forms find the same."""
    joined: defaultdict[tuple[Any, ...], tuple[list[Any], list[Any]]] = defaultdict(
        lambda: ([], [])
    )
    for number, scenario in enumerate(SCENARIOS):
        expected = expectations(scenario)
        rule = rule_settings(expected.get("environment", {}))
        for now in map(parse_time, (expected["now"], *expected.get("later", []))):
            window = Window(now - rule.lookback, now, Mode.SCHEDULED)
            logs = RecordedSource(RECORDED / scenario).read(window, now)
            key = (window, rule, tuple(logs.allowlist))
            sign_ins, operations = joined[key]
            sign_ins += [numbered(row, number) for row in logs.sign_ins]
            operations += [numbered(row, number) for row in logs.operations]
    found = 0
    for (window, rule, entries), (sign_ins, operations) in joined.items():
        logs = Logs(sign_ins, operations, list(entries), {})
        found += len(assert_agreement(database, logs, rule, window.start, window.end))
    assert found >= sum(len(expectations(scenario)["findings"]) for scenario in SCENARIOS) - 2


def numbered(row: tuple[Any, ...], number: int) -> tuple[Any, ...]:
    """Put a number before the identity of a row that has one."""
    if is_blank(row[IDENTITY]):
        return row
    return (*row[:IDENTITY], f"{number}:{row[IDENTITY]}", *row[IDENTITY + 1 :])


HOURS = 6
STREAMS = 12
RULE = RuleSettings()


def joined_streams(seed: int) -> Stream:
    """Return several random streams as one, in which a number keeps identities and events apart."""

    def apart(events: Iterable[Event], number: int) -> Iterable[Event]:
        for event in events:
            identity, event_id = f"{number}{event.identity}", f"{number}-{event.event_id}"
            yield event._replace(identity=identity, event_id=event_id)

    sign_ins: list[Event] = []
    operations: list[Event] = []
    for number in range(STREAMS):
        stream = random_stream(random.Random(seed + number), HOURS)  # noqa: S311
        sign_ins += apart(stream.sign_ins, number)
        operations += apart(stream.operations, number)
    return Stream(sign_ins, operations)


def logs_of(stream: Stream) -> Logs:
    """Return the rows of a stream."""
    return as_logs(
        [
            sign_in(
                TimeGenerated=written(event.time),
                ServicePrincipalId=event.identity,
                Id=event.event_id,
                ResourceDisplayName=event.where,
            )
            for event in stream.sign_ins
        ],
        [
            operation(
                TimeGenerated=written(event.time),
                Caller=event.identity,
                ResourceGroup=event.where,
                ResourceId=f"/of/{event.event_id}",
                EventDataId=event.event_id,
            )
            for event in stream.operations
        ],
    )


def expected_reports(stream: Stream) -> dict[tuple[str, str, str], int]:
    """Return the moment at which each operation that pairs can be reported: both rows are there."""
    moments: dict[tuple[str, str, str], int] = {}
    for changed in stream.operations:
        key = (changed.identity.lower(), changed.where.lower(), changed.event_id)
        for signed_in in stream.sign_ins:
            same = signed_in.identity.lower() == changed.identity.lower()
            if same and signed_in.time <= changed.time <= signed_in.time + HOUR:
                moment = max(signed_in.arrival, changed.arrival)
                moments[key] = min(moment, moments.get(key, moment))
    return moments


def test_each_operation_is_reported_in_one_run(database: Any, first_seed: int) -> None:
    """Hourly runs report each operation once: the run after its first pair arrived reports it.

    Rows arrive up to a day late, sign-ins too, and some repeat later.
    """
    stream = joined_streams(first_seed)
    logs = logs_of(stream)
    sign_ins_arrived = [each.arrival for each in stream.sign_ins]
    operations_arrived = [each.arrival for each in stream.operations]
    fill(database, logs, sign_ins_arrived, operations_arrived)
    expected = expected_reports(stream)
    last = max(each.arrival for each in stream.events()) + 2 * HOUR
    reported = Counter[tuple[str, str, str]]()
    for now in range(FIRST - HOUR, last, HOUR):
        found = Counter[tuple[str, str, str]]()
        for alert in run_rule(database, now, RULE):
            names = [name.removeprefix("/of/") for name in alert["AffectedResources"]]
            assert alert["DistinctOperations"] == len(names)
            group = alert["ServicePrincipalId"].lower(), alert["ResourceGroup"].lower()
            found.update((*group, name) for name in names)
        seen = now - VISIBILITY_MARGIN
        assert found == Counter(key for key, at in expected.items() if seen - HOUR < at <= seen)
        reported += found
    assert reported == Counter(expected.keys())
    assert len(reported) > 2 * STREAMS


def test_the_function_reports_the_same_operations(first_seed: int) -> None:
    """The function, run hourly on the same rows, reports the same operations, each once."""
    stream = joined_streams(first_seed)
    simulation = Simulation(stream, RULE)
    last = max(each.arrival for each in stream.events()) + 2 * HOUR
    for now in range(BEGIN, last, HOUR):
        simulation.run(now)
    assert_each_reported_once(simulation.delivered, stream)
    assert reportable_operations(stream) == expected_reports(stream).keys()


def test_the_period_reaches_the_latest_rows(database: Any) -> None:
    """A row that arrives as late as MAX_LATENESS allows is found with the sign-ins before it."""
    at = END - RULE.max_lateness
    logs = as_logs(
        [sign_in(TimeGenerated=written(at - HOUR))], [operation(TimeGenerated=written(at))]
    )
    fill(database, logs)
    too_late = END + HOUR + VISIBILITY_MARGIN  # for the rows to be new
    assert len(run_rule(database, too_late - MINUTE, RULE)) == 1
    assert run_rule(database, too_late, RULE) == []
    assert query_period(RULE) == DAY + 3 * HOUR


@pytest.mark.parametrize("entry", [*FOUR, *SIX, *UNREADABLE, "10.0.0.0/8", "2001:db8::/32"])
def test_entries_exclude_the_same_addresses(database: Any, entry: str) -> None:
    """The query excludes the sign-ins whose address the entry covers, and no others."""
    addresses = (*FOUR, *SIX, " 10.0.0.5\t", "2001:DB8::7 ", "", None, "x")
    query, _, _ = logs_page_query(RULE, ALIAS, Period(START, END)).partition("let SignIns")
    rows = [sign_in(IPAddress=address) for address in addresses]
    for listed in (entry, f" {entry} - 10.0.0.9", f"2001:db8::1-{entry}"):
        fill(database, as_logs(rows, [], [listed]))
        found = {row["Address"] for row in kusto.ask(database, f"{query}Excluded")}
        covers = Allowlist.of([listed]).covers
        assert found == {(a or "").strip() for a in addresses if covers(a or "")}, listed


def synthetic_names() -> list[str]:
    """Return a name for each pattern of the catalogue, and some that nearly fit the gravest."""
    patterns = [entry.pattern for entry in catalog(CHANGE).entries]
    names = [pattern.replace("*", filler) for pattern in patterns for filler in ("", "x", "x/y")]
    return [*names, *(f"{name}/x" for name in names), *(f"x{name}" for name in names)]


def real_names() -> list[str]:
    """Return real operation names; skips the test without them."""
    if not OPERATION_NAMES.exists():
        pytest.skip(f"needs {OPERATION_NAMES.name} of the shared data")
    return OPERATION_NAMES.read_text("utf-8").split()


@pytest.mark.parametrize("names", [synthetic_names, real_names])
def test_the_severity_is_that_of_the_catalogue(database: Any, names: Any) -> None:
    """An alert is High exactly if the points of one operation alone make a finding High."""
    listed = sorted({*names()})
    fill(
        database,
        as_logs(
            [sign_in()],
            [
                operation(OperationNameValue=name, ResourceGroup=name, EventDataId=f"o{number}")
                for number, name in enumerate(listed)
            ],
        ),
    )
    query = logs_page_query(RULE, ALIAS, Period(START, END))
    found = {
        row["ResourceGroup"]: row["AlertSeverity"] for row in kusto.ask(database, fixed(query, END))
    }
    expected = {
        group.resource_group: severity(group.operations)
        for group in detect(
            as_logs(
                [sign_in()],
                [operation(OperationNameValue=name, ResourceGroup=name) for name in listed],
            ),
            START,
            END,
            RULE,
        ).groups
    }
    assert found == expected
    assert {*expected.values()} == {TOP_SEVERITY, SEVERITY}
