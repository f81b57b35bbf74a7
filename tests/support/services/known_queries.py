"""Quick answers to the product's own queries, for tests that send thousands.

DuckDB takes a tenth of a second for each. tests/kql/test_known_queries.py shows that these answers
are those of the emulated workspace.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from detection.kql.constants import BUCKETS
from detection.rule.exclusions import EXCLUSIONS_TABLE
from detection.rule.kql_text import equals_ignoring_case, has_any, is_blank
from detection.rule.log_rows import OPERATION_TABLE
from detection.rule.ticks import DAY, format_time, parse_time
from detection.sources.workspace.context import LATE_CHANGES_SHAPE
from detection.sources.workspace.counts import COUNT_COLUMNS
from emulator.kusto.translation import bucket_of, duration
from tests.support import ALLOWLIST, EXCLUSIONS, OPERATIONS, SIGN_INS, naive_rule, response

# Columns that a sign-in with an id is read without, because the id tells it from others.
IDENTIFIED = {"ResourceIdentity": "", "CorrelationId": ""}
ALWAYS = parse_time("9999-12-31")

Rows = list[dict[str, Any]]
Tables = Mapping[str, Rows]  # the rows that have arrived


def answer(kind: str, query: str, tables: Tables, now: int) -> dict[str, Any] | None:
    """Return the document that answers a query of a kind at a time; None for other kinds."""
    if kind == "clock":  # in UTC, to the tick: learn.microsoft.com/kusto/query/now-function
        return response(["Now"], [[format_time(now)]])
    found = ANSWERS.get(kind)
    return found(query, tables) if found else None


def needed(query: str) -> list[str]:
    """Return the tables in a query, in order."""
    return re.findall(rf"^ *({SIGN_INS}|{OPERATIONS})$", query, re.MULTILINE)


def part_of(query: str, table: str) -> str:
    """Return the part of a query about one of the tables; sign-ins come first."""
    before, found, after = query.partition(OPERATIONS)
    return after if table == OPERATIONS and found else before


def time_in(pattern: str, query: str) -> int:
    """Return the time that a pattern captures in a query."""
    found = re.search(pattern.replace(r"\{}", r"datetime\(([^)]+)\)"), query)
    assert found is not None, pattern
    return parse_time(found[1])


def _chosen(query: str, table: str, there: Mapping[str, Rows]) -> Rows:
    """Apply clause 2 or 3, with the times, statuses and buckets in the query."""
    text = part_of(query, table)
    start, end = time_in(r"TimeGenerated > \{}", text), time_in(r"TimeGenerated <= \{}", text)
    now = time_in(r"ingestion_time\(\) <= \{}", text)
    between = re.search(r"Bucket between \((\d+) \.\. (\d+)\)", query)
    low, high = map(int, between.groups()) if between else (0, BUCKETS)
    rows = [row for row in there[table] if start < parse_time(row["TimeGenerated"]) <= end]
    rows = [row for row in rows if parse_time(row.get("IngestionTime") or "1970-01-01") <= now]
    rows = [row for row in rows if low <= bucket_of(identity_of(row)) <= high]
    if table == SIGN_INS:
        return [row for row in rows if row["ResultType"] == "0" and _is_target(row)]
    statuses = re.search(r"in~ \((.*?)\)", text)
    assert statuses is not None
    accepted = [*json.loads(f"[{statuses[1]}]"), "Succeeded"]
    return [row for row in rows if _is_change(row) and _status_in(row, accepted)]


def _is_target(row: Mapping[str, Any]) -> bool:
    return has_any(row["ResourceDisplayName"] or "", ("Key Vault", "Storage", "Blob"))


def _is_change(row: Mapping[str, Any]) -> bool:
    name = row["OperationNameValue"] or ""
    return has_any(name, ("WRITE", "DELETE")) and not has_any(name, ("READ", "LIST", "GET"))


def _status_in(row: Mapping[str, Any], accepted: Iterable[str]) -> bool:
    status = row["ActivityStatusValue"] or ""
    return any(equals_ignoring_case(status, one) for one in accepted)


def identity_of(row: Mapping[str, Any]) -> str:
    """Return the identity of a row."""
    return str(row.get("ServicePrincipalId", row.get("Caller")) or "")


def _signed_in(query: str, there: Mapping[str, Rows]) -> set[str]:
    """Return the identities that signed in, or None if the query does not use them."""
    if SIGN_INS not in query:
        return set()
    names = {identity_of(row).lower() for row in _chosen(query, SIGN_INS, there)}
    return {name for name in names if not is_blank(name)}


def _rows(query: str, there: Mapping[str, Rows]) -> dict[str, Any]:
    table = OPERATIONS if OPERATIONS in query else SIGN_INS
    rows = _chosen(query, table, there)
    if table == OPERATIONS and SIGN_INS in query:
        known = _signed_in(query, there)
        rows = [row for row in rows if identity_of(row).lower() in known]
    listed = part_of(query, table).partition("| project\n")[2]
    away = set(query.rpartition("| project-away ")[2].strip().split(", "))
    named = re.findall(r"^ {4}(\w+)(?:,| =|$)", listed, re.MULTILINE)
    columns = [name for name in dict.fromkeys(named) if name not in away]
    if table == SIGN_INS:
        rows = [row | (IDENTIFIED if _has_id(row) else {}) for row in rows]
    return response(columns, [[row.get(name) for name in columns] for row in rows])


def _has_id(row: Mapping[str, Any]) -> bool:
    """Return True if the id of a sign-in has a letter or a digit from 1 to 9."""
    return any(c.isalpha() or c in "123456789" for c in row.get("Id") or "")


def _count_sign_ins(query: str, there: Mapping[str, Rows]) -> dict[str, Any]:
    rows = _chosen(query, SIGN_INS, there)
    counts = Counter(bucket_of(identity_of(row)) for row in rows)
    return response(["Bucket", "Matched"], [list(item) for item in counts.items()])


def _count_operations(query: str, there: Mapping[str, Rows]) -> dict[str, Any]:
    known = _signed_in(query, there)
    listed = re.search(r"Accepted = Fold\(ActivityStatusValue\) in \((.*?)\)$", query, re.MULTILINE)
    assert listed is not None
    accepted = json.loads(f"[{listed[1]}]")
    counts: dict[int, list[int]] = {}
    for row in _chosen(query, OPERATIONS, there):
        who, fits = identity_of(row), _status_in(row, accepted)
        counted = counts.setdefault(bucket_of(who), [0] * len(COUNT_COLUMNS))
        counted[(who.lower() not in known) * 2 + (not fits)] += 1
        counted[-1] += fits and is_blank(who)
    return response(["Bucket", *COUNT_COLUMNS], [[bucket, *n] for bucket, n in counts.items()])


def _addresses(query: str, there: Mapping[str, Rows]) -> dict[str, Any]:
    rows = _chosen(query, SIGN_INS, there)
    counts = Counter((row.get("IPAddress") or "").strip() for row in rows)
    return response(["Address", "Matched"], [list(item) for item in counts.items()])


def _near_misses(query: str, there: Mapping[str, Rows]) -> dict[str, Any]:
    """Count with nested loops; tests/kql/test_near_misses_in_duckdb.py runs the query itself."""
    texts = {
        name: json.loads(f"[{found[1]}]")
        for name, pattern in (
            ("excluded", r"Trimmed\(IPAddress\) !in \((.*?)\)$"),
            ("accepted", r"Fold\(ActivityStatusValue\) in \((.*?)\) and"),
        )
        if (found := re.search(pattern, query, re.MULTILINE))
    }
    span = re.search(r"countif\(Last >= At - (\d+)(tick|[smh])", query)
    assert span is not None
    until = time_in(r"TimeGenerated > \{} or", query)
    at = time_in(r"IngestionTime > \{}", query)
    operations = [
        row
        for row in _chosen(query, OPERATIONS, there)
        if parse_time(row["TimeGenerated"]) > until
        or parse_time(row.get("IngestionTime") or "1970-01-01") > at
    ]
    sign_ins = [
        row
        for row in _chosen(query, SIGN_INS, there)
        if (row.get("IPAddress") or "").strip() not in texts["excluded"]
    ]
    missed = naive_rule.near_misses(
        sign_ins, operations, [], (0, ALWAYS), duration(*span.groups()), texts["accepted"]
    )
    counts = Counter(names[:3] for names in missed)
    return response(LATE_CHANGES_SHAPE.columns, [[*names, n] for names, n in counts.items()])


def _timed(query: str, there: Mapping[str, Rows]) -> Rows:
    """Return the operations with the times and statuses in a query."""
    start, end = time_in(r"TimeGenerated > \{}", query), time_in(r"TimeGenerated <= \{}", query)
    statuses = re.search(r"ActivityStatusValue in~ \((.*?)\)", query)
    assert statuses is not None
    accepted = json.loads(f"[{statuses[1]}]")
    return [
        row
        for row in there[OPERATIONS]
        if start < parse_time(row["TimeGenerated"]) <= end and _status_in(row, accepted)
    ]


def _actions(query: str, there: Mapping[str, Rows]) -> dict[str, Any]:
    callers = re.search(r"Caller in~ \((.*?)\)$", query, re.MULTILINE)
    assert callers is not None
    names = {name.lower() for name in json.loads(f"[{callers[1]}]")}
    rows = [row for row in _timed(query, there) if identity_of(row).lower() in names]
    rows = [row for row in rows if str(row["OperationNameValue"]).lower().endswith("/action")]
    columns = [*OPERATION_TABLE.columns, "IngestionTime"]
    return response(columns, [[row.get(name) for name in columns] for row in rows])


def _history(query: str, there: Mapping[str, Rows]) -> dict[str, Any]:
    start, end = time_in(r"TimeGenerated > \{}", query), time_in(r"TimeGenerated <= \{}", query)
    signed_in = {
        identity_of(row).lower()
        for row in there[SIGN_INS]
        if start < parse_time(row["TimeGenerated"]) <= end
    }
    days: set[tuple[str, ...]] = set()
    for row in _timed(query, there):
        if _is_change(row) and identity_of(row).lower() in signed_in:
            day, who = f"{row['TimeGenerated'][:10]}T00:00:00.0000000Z", row["Caller"].lower()
            group = (row.get("ResourceGroup") or "").lower()
            days.add((day, who, row["OperationNameValue"].lower(), group, ""))
            if row.get("CallerIpAddress"):
                days.add((day, who, "", "", row["CallerIpAddress"]))
    names = ("TimeGenerated", "Caller", "OperationNameValue", "ResourceGroup", "CallerIpAddress")
    return response(names, sorted(days))


def _latest(query: str, there: Mapping[str, Rows]) -> dict[str, Any]:
    rows = there[needed(query)[0]]
    now = time_in(r"TimeGenerated <= \{}", query)
    times = [parse_time(row["TimeGenerated"]) for row in rows]
    newest = max((time for time in times if now - DAY < time <= now), default=None)
    return response(["Latest"], [[None if newest is None else format_time(newest)]])


def _arrivals(query: str, there: Mapping[str, Rows]) -> dict[str, Any]:
    rows = there[needed(query)[0]]
    since = time_in(r"ingestion_time\(\) > \{}", query)
    now = time_in(r"ingestion_time\(\) <= \{}", query)
    too_late = time_in(r"TooLate = countif\(TimeGenerated <= \{}", query)
    examined = time_in(r" Late = .* TimeGenerated <= \{}", query)
    oldest = time_in(r"where TimeGenerated > \{}", query)
    came = [row for row in rows if row.get("IngestionTime")]
    came = [row for row in came if parse_time(row["TimeGenerated"]) > oldest]
    came = [row for row in came if since < parse_time(row["IngestionTime"]) <= now]
    times = [parse_time(row["TimeGenerated"]) for row in came]
    reachable = [time for time in times if time > too_late]
    earliest = format_time(min(reachable)) if reachable else None
    late = sum(time <= examined for time in reachable)
    columns = ["Earliest", "Late", "TooLate"]
    return response(columns, [[earliest, late, len(times) - len(reachable)]])


def _allowlist(query: str, there: Tables) -> dict[str, Any]:
    del query
    items: dict[str, tuple[str, Any]] = {}
    for row in there.get(ALLOWLIST, []):
        entry, updated = row.get("IPOrRange") or "", str(row.get("LastUpdatedTimeUTC") or "")
        item = str(row.get("_DTItemId") or entry)
        if item not in items or items[item][0] <= updated:
            items[item] = (updated, entry)
    return response(["IPOrRange"], [[entry] for _, entry in items.values()])


def _exclusions(query: str, there: Tables) -> dict[str, Any]:
    del query
    names = EXCLUSIONS_TABLE.columns
    items = there.get(EXCLUSIONS, [])
    return response(names, [[item.get(name) or "" for name in names] for item in items])


ANSWERS: Mapping[str, Callable[[str, Tables], dict[str, Any]]] = {
    "allowlist": _allowlist,
    "exclusions": _exclusions,
    "sign_ins": _rows,
    "operations": _rows,
    "recording": _rows,
    "latest": _latest,
    "arrivals": _arrivals,
    "count_sign_ins": _count_sign_ins,
    "count_operations": _count_operations,
    "addresses": _addresses,
    "near_misses": _near_misses,
    "baseline": _history,
    "actions": _actions,
}
