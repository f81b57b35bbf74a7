"""The filters in the queries, run in DuckDB, drop no row that the rule needs.

duckdb-kql translates KQL to DuckDB's SQL, with filters measured on Microsoft's own engine. A query
filters each generated table; the rule must match the same rows in the result as in the whole table.

The filters run unchanged. (One difference: DuckDB ignores case beyond ASCII, so a long s equals an
S there. That matters only inside the words that the filters name, and no test puts one there.)
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detection.kql.constants import BUCKETS
from detection.kql.render import query
from detection.rule.allowlist import Allowlist
from detection.rule.exclusions import EXCLUSIONS_TABLE
from detection.rule.filters import (
    Matched,
    RuleSettings,
    match_operations,
    match_sign_ins,
)
from detection.rule.log_rows import (
    ALLOWLIST_TABLE,
    EVENT_DATA_ID,
    OPERATION_TABLE,
    SIGN_IN_ID,
    SIGN_IN_TABLE,
    TableShape,
)
from detection.sources import Arrivals
from detection.sources.workspace.queries import WindowQueries
from detection.window import Mode, Window
from tests.support import kusto
from tests.support.strategies import (
    END,
    HOUR,
    NASTY_IN_DATABASES,
    START,
    Row,
    Scenario,
    as_logs,
    operation,
    scenarios,
    sign_in,
)

EXAMPLES = settings().max_examples
EVERYBODY = range(BUCKETS)

# Names around the words that the filters look for, with characters that end a term or do not.
BESIDE = (
    "",
    "",
    " ",
    "_",
    "/",
    "-",
    "\u0301",
    "\n",
    "0",
    "a",
    "\u00e9",
    "\u00b2",
    "\u2167",
    "\u0661",
)
WORDS = ("write", "DELETE", "Read", "list", "GET", "Key Vault", "storage", "BLOB", "Key  Vault")
NAMES = st.builds(
    "".join,
    st.lists(st.one_of(st.sampled_from(BESIDE), st.sampled_from(WORDS)), max_size=6),
)


@pytest.fixture(scope="module")
def database() -> Any:
    """Return a database with both tables and the watchlist, empty."""
    return kusto.database()


def run_query(database: Any, table: str, rows: Sequence[Sequence[Any]], text: str) -> list[Any]:
    """Return the rows that a query gives on a table of these rows."""
    kusto.fill(database, table, rows)
    return [tuple(row.values()) for row in kusto.ask(database, text)]


def rows_left(
    database: Any, shape: TableShape, tables: Sequence[Sequence[Any]], text: str
) -> list[list[Any]]:
    """Return the rows that a query leaves of each table, as the rule reads them.

    One query reads all tables at once: a prefix of the identity says which table a row is from.
    Other tests cover the buckets. Half of the blank texts become null.
    """
    time, identity, *others = shape.columns
    marked = [
        [row[0], f"{number} {row[1]}", *(v or (None if at % 2 else "") for v in row[2:]), None]
        for number, rows in enumerate(tables)
        for at, row in enumerate(rows)
    ]
    kusto.fill(database, shape.name, marked)
    found: list[list[Any]] = [[] for _ in tables]
    for row in kusto.ask(database, text):
        number, _, own = row[identity].partition(" ")
        found[int(number)].append((row[time], own, *(row[name] or "" for name in others)))
    return found


def scenario_of(sign_ins: list[Row], operations: list[Row]) -> Scenario:
    """Return a window of these rows."""
    return Scenario(sign_ins, operations, allowlist=[], span=HOUR, statuses=("Success",))


def comparable(chosen: Matched[Any]) -> object:
    """Return the counts and the matched rows, independent of the order of the rows.

    The details of an event with an id are left out, since its id identifies it.
    """
    counts = (chosen.matched, chosen.excluded, chosen.without_address, chosen.other_success)
    rows_of = {
        identity: sorted(map(without_details, rows))
        for identity, rows in chosen.by_identity.items()
    }
    return counts, rows_of


def without_details(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a row of either table without the details that its id makes redundant."""
    place, last = (EVENT_DATA_ID, 1) if len(row) > EVENT_DATA_ID else (SIGN_IN_ID, 2)
    named = any(character.isalnum() for character in row[place])
    return (*row[:-last], *[""] * last) if named else row


def check_sign_ins(database: Any, drawn: Sequence[Scenario]) -> None:
    """Assert that the rule matches the same sign-ins with and without the query's filter."""
    logs = [scenario.logs() for scenario in drawn]
    text = query("sign_ins", start=START, end=END, now=END)
    tables = rows_left(database, SIGN_IN_TABLE, [each.sign_ins for each in logs], text)
    for each, rows in zip(logs, tables, strict=True):
        allowlist = Allowlist.of(each.allowlist)
        whole = match_sign_ins(each.sign_ins, START, END, allowlist)
        assert comparable(match_sign_ins(rows, START, END, allowlist)) == comparable(whole)


def check_operations(database: Any, drawn: Sequence[Scenario], statuses: tuple[str, ...]) -> None:
    """Assert that the rule matches the same operations with and without the query's filter."""
    rule = RuleSettings(HOUR, statuses)
    logs = [scenario.logs() for scenario in drawn]
    text = query("operations", start=START, end=END, now=END, statuses=statuses)
    tables = rows_left(database, OPERATION_TABLE, [each.operations for each in logs], text)
    for each, rows in zip(logs, tables, strict=True):
        whole = match_operations(each.operations, START, END, rule)
        assert comparable(match_operations(rows, START, END, rule)) == comparable(whole)


@settings(max_examples=EXAMPLES // 5)
@given(st.lists(scenarios(NASTY_IN_DATABASES), min_size=5, max_size=5))
def test_the_queries_drop_no_row_that_the_rule_uses(database: Any, drawn: list[Scenario]) -> None:
    """The rule matches the same rows, and counts the same, with and without the queries."""
    check_sign_ins(database, drawn)
    # An empty list of statuses cannot be configured.
    check_operations(database, drawn, drawn[0].statuses or ("Success",))


@settings(max_examples=EXAMPLES // 5)
@given(st.lists(NAMES, min_size=1, max_size=60))
@example(
    ["write\u0301", "\u0301DELETE", "a\u00b2write", "\u2167 Blob", "Key\u00a0Vault", "write\n"]
)
def test_names_of_any_kind(database: Any, names: list[str]) -> None:
    """The query finds the words within any name exactly as the rule does."""
    scenario = scenario_of(
        sign_ins=[sign_in(ResourceDisplayName=name) for name in names],
        operations=[operation(OperationNameValue=name) for name in names],
    )
    check_sign_ins(database, [scenario])
    check_operations(database, [scenario], ("Success",))


ACCEPTED = (("a",), ('A"', "\\"), ("\u00c9 a|b", "(),", 'a\\"'), ("succeeded", "a"))


@pytest.mark.parametrize("accepted", ACCEPTED, ids=["plain", "escaped", "several", "both"])
@settings(max_examples=EXAMPLES // 10)
@given(st.lists(st.text(st.sampled_from('aA"\\ (),|\u00e9\u00c9'), max_size=4), max_size=40))
def test_statuses_of_any_kind(database: Any, accepted: tuple[str, ...], others: list[str]) -> None:
    """The query accepts a configured status with any characters, in any case."""
    spelt = [*accepted, *map(str.lower, accepted), *others, "SUCCEEDED", "Success"]
    scenario = scenario_of([], [operation(ActivityStatusValue=status) for status in spelt])
    check_operations(database, [scenario], accepted)


def test_rows_are_really_filtered(database: Any) -> None:
    """The queries drop rows that the rule cannot use, and cut the window to the tick."""
    operations = [
        operation(OperationNameValue="a/b/listKeys/action"),
        operation(OperationNameValue="a/write/get"),
        operation(ActivityStatusValue="Start"),
        operation(TimeGenerated="2026-03-02T10:00:00.0000000Z"),
        operation(TimeGenerated="2026-03-02T10:00:00.0000001Z"),
        operation(TimeGenerated="2026-03-02T12:00:00.0000000Z"),
        operation(TimeGenerated="2026-03-02T12:00:00.0000001Z"),
    ]
    used = [sign_in(), sign_in(ServicePrincipalId="")]  # it is counted and does not pair
    sign_ins = [sign_in(ResultType="1"), sign_in(ResourceDisplayName="Vaults"), *used]
    logs = as_logs(sign_ins, operations)
    text = query("sign_ins", start=START, end=END, now=END)
    assert rows_left(database, SIGN_IN_TABLE, [logs.sign_ins], text) == [logs.sign_ins[2:]]
    kusto.fill(database, SIGN_IN_TABLE.name, [[*logs.sign_ins[2], END + n] for n in (-1, 0, 1)])
    assert len(kusto.ask(database, text)) == 2  # one was ingested later
    text = query("operations", start=START, end=END, now=END, statuses=("Success",))
    found = rows_left(database, OPERATION_TABLE, [logs.operations], text)
    assert found == [logs.operations[4:6]]


@settings(max_examples=EXAMPLES // 5)
@given(scenarios())
def test_as_many_rows_are_read_as_were_counted(database: Any, drawn: Scenario) -> None:
    """The count queries count the rows that are read, and the dropped rows as the rule would."""
    rule = RuleSettings(drawn.span, drawn.statuses or ("Success",))
    asking, logs = WindowQueries(Window(START, END, Mode.SCHEDULED), END, rule), drawn.logs()
    for shape, rows in ((SIGN_IN_TABLE, logs.sign_ins), (OPERATION_TABLE, logs.operations)):
        kusto.fill(database, shape.name, [[*row, None] for row in rows])
    accepted = match_operations(logs.operations, START, END, rule)
    for signed_in in (True, False):
        found = kusto.ask(database, asking.count(OPERATION_TABLE, signed_in=signed_in))
        counts = Counter[str]()
        for row in found:
            counts.update(row)
        assert counts["Matched"] + counts["MatchedWithoutSignIn"] == accepted.matched
        assert counts["Succeeded"] + counts["SucceededWithoutSignIn"] == accepted.other_success
        assert counts["WithoutCaller"] == accepted.without_caller
        if signed_in:
            read = kusto.ask(database, asking.rows(OPERATION_TABLE, EVERYBODY, START, END))
            assert len(read) == counts["Matched"] + counts["Succeeded"]
        else:
            assert counts["Matched"] == counts["Succeeded"] == 0
    counted = kusto.ask(database, asking.count(SIGN_IN_TABLE))
    read = kusto.ask(database, asking.rows(SIGN_IN_TABLE, EVERYBODY, START, END))
    assert sum(row["Matched"] for row in counted) == len(read)


TICK = st.integers(START, START + 6)


def test_arrivals_ignore_times_before_the_oldest(database: Any) -> None:
    """A late row at or before the oldest time is ignored."""
    shape = SIGN_IN_TABLE
    blank = ("",) * (len(shape.columns) - 1)
    table = [[START + n, *blank, START + 9] for n in (-1, 0, 1)]
    moments = {"since": START, "now": END, "examined": START, "too_late": START}
    text = query("arrivals", table=shape, oldest=START, **moments)
    assert run_query(database, shape.name, table, text) == [(START + 1, 0, 0)]


@pytest.mark.parametrize(("examined", "too_late"), [(4, 2), (2, 4), (3, 3)])
@given(st.lists(st.tuples(TICK, TICK), max_size=12))
def test_arrivals_count_late_rows(
    database: Any, examined: int, too_late: int, rows: list[tuple[int, int]]
) -> None:
    """Late rows are counted and the earliest is found, as LogSource specifies."""
    shape = SIGN_IN_TABLE
    table = [[time, *("",) * (len(shape.columns) - 1), ingested] for time, ingested in rows]
    since, now, examined, too_late = START + 1, START + 5, START + examined, START + too_late
    moments = {"since": since, "now": now, "examined": examined, "too_late": too_late}
    text = query("arrivals", table=shape, oldest=START - 1, **moments)
    ((earliest, late, missed),) = run_query(database, shape.name, table, text)
    arrived = [time for time, ingested in rows if since < ingested <= now]
    reachable = [time for time in arrived if time > too_late]
    assert Arrivals(earliest, late, missed) == Arrivals(
        earliest=min(reachable, default=None),
        late=sum(time <= examined for time in reachable),
        too_late=len(arrived) - len(reachable),
    )


@pytest.mark.parametrize(
    ("items", "entries"),
    [
        ([], []),
        ([("1", 1, "10.0.0.1"), ("2", 1, "10.0.0.1")], ["10.0.0.1", "10.0.0.1"]),
        ([("1", 1, "10.0.0.1"), ("1", 2, "10.0.0.2"), ("1", 0, "x")], ["10.0.0.2"]),
        ([("", 1, "10.0.0.1"), (None, 2, "10.0.0.2")], ["10.0.0.1", "10.0.0.2"]),
        ([("1", None, "10.0.0.1"), ("2", None, "")], ["", "10.0.0.1"]),
    ],
    ids=["empty", "equal entries", "edited", "without ids", "without times"],
)
def test_allowlist_keeps_the_latest_form_of_each_item(
    database: Any, items: list[Any], entries: list[str]
) -> None:
    """The latest form of an edited watchlist item counts, and no other item is lost."""
    text = query("allowlist", alias=ALLOWLIST_TABLE.name)
    found = run_query(database, ALLOWLIST_TABLE.name, items, text)
    assert sorted(found) == [(entry,) for entry in entries]


ENTRY = ("id", "rg", "routine", "ops", "deploys", "2027-01-01")
WITHOUT_CLASSES = ("id", "rg", "", "ops", "deploys", "2027-01-01")


@pytest.mark.parametrize(
    ("items", "entries"),
    [
        ([], []),
        ([("1", 1, *WITHOUT_CLASSES), ("1", 2, *ENTRY)], [ENTRY]),
        ([("", 1, *WITHOUT_CLASSES), (None, 2, *ENTRY)], [ENTRY, WITHOUT_CLASSES]),
        ([("", 1, *ENTRY), ("", 2, *ENTRY)], [ENTRY]),
    ],
    ids=["empty", "edited", "without ids", "repeated without ids"],
)
def test_exclusions_keep_the_latest_form_of_each_item(
    database: Any, items: list[Any], entries: list[Any]
) -> None:
    """The latest form of an edited exclusion counts, and none that differs in classes is lost."""
    text = query("exclusions", alias=EXCLUSIONS_TABLE.name)
    found = run_query(database, EXCLUSIONS_TABLE.name, items, text)
    assert sorted(found, reverse=True) == entries
