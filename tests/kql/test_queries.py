"""Every query binds to the tables' columns, and takes no value that could change its meaning.

Microsoft's language service for KQL, the one behind the query editors, finds mistakes in a query
without a workspace.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.kql.render import FOLDER, Duration, Value, query
from detection.kql.runbook import QUESTIONS
from detection.rule.exclusions import EXCLUSIONS_TABLE
from detection.rule.filters import RuleSettings
from detection.rule.log_rows import ALLOWLIST_TABLE, OPERATION_TABLE, SIGN_IN_TABLE, TableShape
from detection.rule.ticks import DAY, HOUR, SECOND, parse_time
from detection.schema import FINDINGS_TABLE, Finding, columns
from detection.sentinel.query import logs_page_query, scheduled_query
from detection.sources.identity_columns import ANSWER, OPERATION_COLUMNS, SIGN_IN_COLUMNS
from detection.sources.workspace import counts, kusto_correlation, kusto_pairs
from detection.sources.workspace.context import BASELINE_TABLE, LATE_CHANGES_SHAPE
from detection.sources.workspace.queries import WindowQueries
from detection.window import Mode, Seen, Window
from tests.support import ROOT
from tests.support.language_service import KQL, Column, LanguageService, Schema

SHARED = ROOT.parent / "shared" / "data" / "schemas"  # of the whole tables, where it is at hand
NOW = parse_time("2026-03-14T10:00:00Z")
TABLES = (SIGN_IN_TABLE, OPERATION_TABLE)

SCHEMA: dict[str, list[Column]] = json.loads((KQL / "schemas.json").read_text("utf-8"))
# The analyst's queries also read logs of other services and the product's own findings.
FINDING = columns(Finding)
OTHER_TABLES: dict[str, list[Column]] = {
    **json.loads((KQL / "services.json").read_text("utf-8")),
    FINDINGS_TABLE: [{"name": name, "type": kind} for name, kind in FINDING],
}
WATCHLIST: list[Column] = [
    {"name": "_DTItemId", "type": "string"},
    {"name": "LastUpdatedTimeUTC", "type": "datetime"},
    {"name": "SearchKey", "type": "string"},
    {"name": "IPOrRange", "type": "string"},
]

MOMENTS: dict[str, Value] = {"start": NOW - 1, "end": NOW, "now": NOW}
WINDOW = Window(NOW - 1, NOW, Mode.SCHEDULED)
IDENTITY = "e1525895-2305-453d-b6ab-6a524251f7d9"
SPAN: dict[str, Value] = {"start": NOW - 1, "end": NOW}
ARRIVALS: dict[str, Value] = {
    "since": NOW - 2,
    "now": NOW,
    "examined": NOW - 1,
    "too_late": 1,
    "oldest": 0,
}
SAMPLES: list[tuple[str, dict[str, Value]]] = [
    ("sign_ins", MOMENTS),
    ("operations", {**MOMENTS, "statuses": ("Success",)}),
    ("operations", {**MOMENTS, "statuses": ("Success", 'a "quoted" \\ one', "{start}", "\u00e9")}),
    ("allowlist", {"alias": "NetworkAllowlist"}),
    ("arrivals", {**ARRIVALS, "table": SIGN_IN_TABLE}),
    ("arrivals", {**ARRIVALS, "table": OPERATION_TABLE}),
    ("clock", {}),
    ("latest", {"now": NOW, "table": SIGN_IN_TABLE}),
    ("latest", {"now": NOW, "table": OPERATION_TABLE}),
    ("actions", {**SPAN, "statuses": ("Success",), "identities": (IDENTITY, 'a"b')}),
    ("baseline", {**SPAN, "statuses": ("Success",), "bin": Duration(DAY)}),
    ("exclusions", {"alias": "ManagedIdentityExclusions"}),
    ("identity_details", {**MOMENTS, "functions": query("functions"), "identities": (IDENTITY,)}),
]


def column(name: str, kind: str = "string") -> Column:
    """Describe a column."""
    return {"name": name, "type": kind}


def reader_columns(shape: TableShape) -> list[Column]:
    """Return the columns that the reader expects of a table."""
    time, *texts = shape.columns
    return [column(time, "datetime"), *map(column, texts)]


GROUP_TYPES = {
    **dict.fromkeys(kusto_correlation.GROUP_COLUMNS[:3], "string"),
    **dict.fromkeys(("DataPlaneAccesses", "MgmtPlaneOps", "DistinctSignIns", "Part"), "long"),
    **dict.fromkeys(("SignInsSeen", "OperationsSeen"), "long"),
    **dict.fromkeys(("FirstEvent", "LastEvent"), "datetime"),
}
PAIR_TYPES = {
    **dict.fromkeys(("Number", "LatestTime", "SignedIn", "Operated"), "long"),
}

# Queries that are composed of several files, with the columns that the reader expects.
QUERIES = WindowQueries(WINDOW, NOW, RuleSettings(HOUR, ("Success", 'a "quoted" one')))
ADDRESSES = ("198.51.100.7", "2001:db8::1")
SEVERAL_BUCKETS = range(3, 8)
COUNTS = [column(name, "long") for name in ("Bucket", *counts.COUNT_COLUMNS)]
COMPOSED: dict[str, tuple[str, list[Column]]] = {
    "count_sign_ins": (QUERIES.count(SIGN_IN_TABLE), COUNTS[:2]),
    "count_operations": (QUERIES.count(OPERATION_TABLE), COUNTS),
    "count_operations ": (QUERIES.count(OPERATION_TABLE, signed_in=False), COUNTS),
    "read_sign_ins": (
        QUERIES.rows(SIGN_IN_TABLE, SEVERAL_BUCKETS, NOW - 1, NOW),
        reader_columns(SIGN_IN_TABLE),
    ),
    "read_operations": (
        QUERIES.rows(OPERATION_TABLE, SEVERAL_BUCKETS, NOW - 1, NOW),
        reader_columns(OPERATION_TABLE),
    ),
    "recording": (
        QUERIES.recording(SIGN_IN_TABLE, NOW - 1, NOW),
        [*reader_columns(SIGN_IN_TABLE), column("IngestionTime", "datetime")],
    ),
    "recording ": (
        QUERIES.recording(OPERATION_TABLE, NOW - 1, NOW),
        [*reader_columns(OPERATION_TABLE), column("IngestionTime", "datetime")],
    ),
    "addresses": (
        QUERIES.addresses(SEVERAL_BUCKETS),
        [column("Address"), column("Matched", "long")],
    ),
    "correlate": (
        QUERIES.correlate(SEVERAL_BUCKETS, ADDRESSES),
        [
            column(name, GROUP_TYPES.get(name, "dynamic"))
            for name in kusto_correlation.GROUP_COLUMNS
        ],
    ),
    "near_misses": (
        QUERIES.near_misses(SEVERAL_BUCKETS, ADDRESSES, Seen(NOW - 1, NOW)),
        [*map(column, LATE_CHANGES_SHAPE.columns[:-1]), column("Number", "long")],
    ),
    "pairs": (
        QUERIES.pairs(SEVERAL_BUCKETS, ADDRESSES, ("0" * 32,)),
        [column(name, PAIR_TYPES.get(name, "string")) for name in kusto_pairs.PAIR_COLUMNS],
    ),
}


IMPACT_COLUMNS = [
    *(
        column(name, GROUP_TYPES.get(name, "dynamic"))
        for name in kusto_correlation.GROUP_COLUMNS[: kusto_correlation.GROUP_COLUMNS.index("Part")]
    ),
    column("AlertSeverity"),
]
IMPACT_COLUMNS.insert(6, column("DistinctOperations", "long"))
COMPOSED["impact"] = logs_page_query(QUERIES.rule, "NetworkAllowlist"), IMPACT_COLUMNS
COMPOSED["scheduled_rule"] = (
    scheduled_query(QUERIES.rule, "NetworkAllowlist"),
    [
        *IMPACT_COLUMNS,
        column("Address"),
        column("AffectedResource"),
        column("TimeGenerated", "datetime"),
    ],
)


EXTRA_COLUMNS = [column("IngestionTime", "datetime"), column("Bucket", "long")]


RESULT_COLUMNS: dict[str, list[Column]] = {
    "sign_ins": [*reader_columns(SIGN_IN_TABLE), *EXTRA_COLUMNS],
    "operations": [*reader_columns(OPERATION_TABLE), *EXTRA_COLUMNS],
    "allowlist": [{"name": name, "type": "string"} for name in ALLOWLIST_TABLE.columns],
    "arrivals": [
        {"name": "Earliest", "type": "datetime"},
        {"name": "Late", "type": "long"},
        {"name": "TooLate", "type": "long"},
    ],
    "clock": [{"name": "Now", "type": "datetime"}],
    "latest": [{"name": "Latest", "type": "datetime"}],
    "actions": [*reader_columns(OPERATION_TABLE), column("IngestionTime", "datetime")],
    "baseline": [
        {"name": name, "type": "datetime" if name == "TimeGenerated" else "string"}
        for name in BASELINE_TABLE.columns
    ],
    "exclusions": [{"name": name, "type": "string"} for name in EXCLUSIONS_TABLE.columns],
    "identity_details": reader_columns(ANSWER),
}


def bind(
    language_service: LanguageService,
    texts: Sequence[str],
    *,
    schema: Schema = SCHEMA,
    watchlist: Sequence[Column] = WATCHLIST,
) -> list[Any]:
    """Return the diagnostics and result columns of each query."""
    functions = {"_GetWatchlist": watchlist}
    tables = {**OTHER_TABLES, **schema}
    return language_service.bind(texts, tables=tables, functions=functions)


def filled_queries() -> list[str]:
    """Return every query with sample values."""
    texts = [query(name, **values) for name, values in SAMPLES]
    return [*texts, *(text for text, _ in COMPOSED.values())]


def expected_bindings() -> list[dict[str, Any]]:
    """Return no diagnostics and the expected columns for each query."""
    columns = [
        *(RESULT_COLUMNS[name] for name, _ in SAMPLES),
        *(found for _, found in COMPOSED.values()),
    ]
    return [{"diagnostics": [], "columns": found} for found in columns]


def test_every_query_has_a_sample() -> None:
    """Every query file has a sample in these tests."""
    fragments = {"functions", "nobody", "in_buckets", "rows", "sweep", "group_values"}
    fragments |= {"excluded_addresses", "is_grave", "new_pairs"}  # other queries include them
    # Those of the runbook have their samples in test_runbook.py.
    runbook = {"investigate_values", *(each.file for each in QUESTIONS)}
    named = {name for name, _ in SAMPLES} | set(map(str.strip, COMPOSED)) | fragments | runbook
    assert {path.stem for path in FOLDER.glob("*.kql")} == named


def test_queries_bind(language_service: LanguageService) -> None:
    """Every query binds without a diagnostic, to the columns that the reader expects, in order."""
    assert bind(language_service, filled_queries()) == expected_bindings()


def test_queries_bind_without_optional_columns(language_service: LanguageService) -> None:
    """A workspace whose tables lack all optional columns gives the same columns."""
    schema = {shape.name: SCHEMA[shape.name][: shape.required] for shape in TABLES}
    assert (
        bind(language_service, filled_queries(), schema=schema, watchlist=WATCHLIST[-1:])
        == expected_bindings()
    )


def test_details_bind_to_the_columns_with_json(language_service: LanguageService) -> None:
    """With the optional columns of both log tables, the details have the same columns."""
    schema = {}
    for shape, more in zip(TABLES, (SIGN_IN_COLUMNS, OPERATION_COLUMNS), strict=True):
        known = {each["name"] for each in SCHEMA[shape.name]}
        schema[shape.name] = SCHEMA[shape.name] + [
            column(name, "dynamic" if name.endswith("_d") else "string")
            for name in more.columns
            if name not in known
        ]
    texts = [query(name, **values) for name, values in SAMPLES if name == "identity_details"]
    assert bind(language_service, texts, schema=schema) == [
        {"diagnostics": [], "columns": RESULT_COLUMNS["identity_details"]}
    ]
    if SHARED.is_dir():
        for table, listed in schema.items():
            published = json.loads((SHARED / f"{table}.json").read_text("utf-8"))["columns"]
            assert all(each in published for each in listed)


@pytest.mark.parametrize("shape", TABLES, ids=lambda shape: str(shape.name))
def test_optional_columns_keep_their_names(shape: TableShape) -> None:
    """A column that may be absent is read into a column of the same name."""
    name = {SIGN_IN_TABLE: "sign_ins", OPERATION_TABLE: "operations"}[shape]
    text = (FOLDER / f"{name}.kql").read_text("utf-8")
    optional = re.findall(r'(\w+) = column_ifexists\("(\w+)", ""\)', text)
    assert optional == [(name, name) for name in shape.columns[shape.required :]]


def test_wrong_queries_are_reported(language_service: LanguageService) -> None:
    """A wrong column, type, comma, table or item column is reported as an error."""
    wrong = [
        "AzureActivity | where CallerId == ''",
        "AzureActivity | where Caller has 3",
        "AzureActivity | project Caller,",
        "AADManagedIdentitySignIns | count",
        "_GetWatchlist('a') | project Address",
    ]
    for answer in bind(language_service, wrong):
        assert "Error" in {found["severity"] for found in answer["diagnostics"]}


@pytest.mark.parametrize("shape", TABLES, ids=lambda shape: str(shape.name))
def test_schema_has_the_columns_of_the_rule(shape: TableShape) -> None:
    """The tables that queries are bound to have exactly the columns that the rule reads."""
    assert tuple(column["name"] for column in SCHEMA[shape.name]) == shape.columns


@pytest.mark.parametrize("table", SCHEMA)
def test_schema_is_the_published_one(table: str) -> None:
    """The columns have the names and types of the published table."""
    if not SHARED.is_dir():
        pytest.skip("the published schemas are not at hand")
    published = json.loads((SHARED / f"{table}.json").read_text("utf-8"))["columns"]
    assert all(column in published for column in SCHEMA[table])


def test_times_keep_their_ticks() -> None:
    """A time bound is written to the tick, like a row's time."""
    text = query("sign_ins", start=NOW - SECOND - 1, end=NOW + 1, now=NOW)
    assert "> datetime(2026-03-14T09:59:58.9999999Z)" in text
    assert "<= datetime(2026-03-14T10:00:00.0000001Z)" in text


HOSTILE = (
    '") | union AzureActivity //',
    "a' | take 1",
    "a b",
    "a\n",
    "\na",
    "a;b",
    "a|b",
    "a)",
    "a\\",
    'a"',
    "",
    "1a",
    "-a",
    "\u0430",  # Cyrillic
    "a\u0661",  # a digit outside ASCII
    "a\x00",
    "{start}",
    "a.b",
    "a//b",
)


@pytest.mark.parametrize("alias", HOSTILE)
def test_hostile_aliases_are_refused(alias: str) -> None:
    """An alias that is not a plain identifier never gets into a query."""
    with pytest.raises(ValueError, match="not a name"):
        query("allowlist", alias=alias)


@given(st.text())
def test_an_alias_is_one_literal_or_refused(alias: str) -> None:
    """Every accepted alias holds only ASCII letters, digits, _ and -."""
    try:
        text = query("allowlist", alias=alias)
    except ValueError:
        assert re.fullmatch("[A-Za-z_][A-Za-z0-9_-]*", alias) is None
        return
    assert re.fullmatch("[A-Za-z_][A-Za-z0-9_-]*", alias)
    assert f'_GetWatchlist("{alias}")\n' in text


@pytest.mark.parametrize(
    "status", ["a\n", "\r", "a\x00", "\x1b", "\x85", "\u2028", "\u2029", "\u202e", "\ud800", "\t"]
)
def test_hostile_statuses_are_refused(status: str) -> None:
    """A status with an invisible character never gets into a query."""
    with pytest.raises(ValueError, match="characters"):
        query("operations", **MOMENTS, statuses=("Success", status))


@given(st.lists(st.text(st.sampled_from('a "\\)(|{},/\n\u00e9')), min_size=1, max_size=3))
def test_statuses_are_literals_or_refused(statuses: list[str]) -> None:
    """Accepted statuses read back from the query as the same texts."""
    try:
        text = query("operations", **MOMENTS, statuses=tuple(statuses))
    except ValueError:
        assert any("\n" in status for status in statuses)
        return
    listed = text.partition("ActivityStatusValue in~ (")[2]
    assert read_texts(listed) == statuses


def read_texts(text: str) -> list[str]:
    """Read KQL string literals up to the bracket that closes their list."""
    found = []
    while True:
        match = re.match(r'"((?:[^"\\\n]|\\["\\])*)"(, |\))', text)
        assert match is not None
        found.append(re.sub(r"\\(.)", r"\1", match[1]))
        text = text[match.end() :]
        if match[2] == ")":
            return found


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("nothing", {}),
        ("../queries/allowlist", {"alias": "a"}),
        ("allowlist", {}),
        ("allowlist", {"alias": "a", "start": 1}),
        ("allowlist", {"alias": True}),
        ("allowlist", {"alias": None}),
        ("allowlist", {"alias": 1.5}),
        ("allowlist", {"alias": ["a"]}),
        ("sign_ins", {"start": 0, "end": 10**20, "now": 0}),
        ("sign_ins", {"start": -(10**20), "end": 0, "now": 0}),
        ("operations", {**MOMENTS, "statuses": ()}),
        ("operations", {**MOMENTS, "statuses": (1,)}),
        ("latest", {"now": NOW, "table": SIGN_IN_TABLE._replace(name="T | take 1")}),
        ("latest", {"now": NOW, "table": SIGN_IN_TABLE._replace(name="T-1")}),
    ],
)
def test_wrong_values_are_refused(name: str, values: dict[str, Any]) -> None:
    """An unknown query, a missing or additional value, and a value of another type are errors."""
    with pytest.raises(ValueError, match=r".+"):
        query(name, **values)
