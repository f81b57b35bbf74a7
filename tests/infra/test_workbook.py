"""The workbook is one that Azure accepts, and each of its queries shows what its title says.

The form is that of the templates in the repository microsoft/Application-Insights-Workbooks, with
its schema/workbook.json and Documentation/ (Grid.md, DropDown.md, Interactivity.md, Tabs).
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.ranking.classify import CHANGE_CLASSES
from detection.ranking.score import SEVERITY_BANDS
from detection.rule.exclusions import EXCLUSIONS_TABLE, Exclusions
from detection.rule.ticks import parse_time
from detection.schema import FINDINGS_TABLE
from tests.infra.alert_tables import RUNS_TABLE
from tests.infra.custom_tables import TABLES, CustomTables, Row
from tests.infra.test_kql import bound
from tests.infra.workbook import (
    CHOICES,
    GROUP,
    ITEMS,
    LINKS,
    PARAMETERS,
    QUERIES,
    QUERY,
    TEXT,
    VIEWS,
    WORKBOOK,
    all_items,
    filled,
)
from tests.support.language_service import LanguageService

EXAMPLES = settings().max_examples
VERSIONS = {
    QUERY: "KqlItem/1.0",
    PARAMETERS: "KqlParameterItem/1.0",
    LINKS: "LinkItem/1.0",
    GROUP: "NotebookGroup/1.0",
}
# The numbers of formatters in the templates: hidden, link, heatmap, resource, thresholds.
HIDDEN, LINK, HEATMAP, RESOURCE, THRESHOLDS = 5, 7, 8, 13, 18
LINK_TARGETS = {LINK: {"CellDetails", "Url"}, RESOURCE: {"Resource"}}
COLOURS = {"redBright", "orange", "yellow", "green", "blue", "gray"}
SEVERITIES = {"High": "redBright", "Medium": "orange", "Low": "yellow", "Informational": "gray"}
SOURCES = {"ManagedIdentityImpact()": FINDINGS_TABLE, RUNS_TABLE: RUNS_TABLE}


# --- The form


def test_items_have_the_form_of_azure_s_templates() -> None:
    """Every item has a known type, its version, its content and a name of its own."""
    assert WORKBOOK["version"] == "Notebook/1.0"
    assert len(list(all_items())) == len(ITEMS)
    for name, item in ITEMS.items():
        assert item["name"] == name
        assert item["type"] in {TEXT, *VERSIONS}
        assert item["content"].get("version") == VERSIONS.get(item["type"])
        assert item["type"] != TEXT or item["content"]["json"]


def test_the_workbook_names_no_resource() -> None:
    """The workbook contains no resource id."""
    assert WORKBOOK["fallbackResourceIds"] == []
    assert "/subscriptions/" not in json.dumps(WORKBOOK)


def test_views_use_the_chosen_time_and_explain_an_empty_result() -> None:
    """Every query uses the reader's time range, and shows a message if it has no rows."""
    for view in VIEWS.values():
        assert view["timeContextFromParameter"] == "TimeRange"
        assert view["noDataMessage"].endswith((".", "watching."))
        assert view["title"]
        assert view["queryType"] == 0
        assert view["resourceType"] == "microsoft.operationalinsights/workspaces"
        assert view["visualization"] in {"table", "piechart", "barchart", "linechart"}


def test_lists_offer_all_and_quote_their_values() -> None:
    """Each list takes several values, all at first, in a form that KQL's `in` reads."""
    assert list(CHOICES) == ["TimeRange", "Severity", "Identity", "Workspace"]
    assert len({choice["id"] for choice in CHOICES.values()}) == len(CHOICES)
    for name in ("Severity", "Identity", "Workspace"):
        choice = CHOICES[name]
        assert (choice["type"], choice["multiSelect"], choice["isRequired"]) == (2, True, True)
        assert (choice["quote"], choice["delimiter"]) == ("'", ",")
        assert choice["value"] == [choice["defaultValue"]] == ["value::all"]
        assert choice["typeSettings"]["additionalResourceOptions"] == ["value::all"]
        assert choice["typeSettings"]["selectAllValue"] == "*"
        assert ("query" in choice) != ("jsonData" in choice)
    offered = json.loads(CHOICES["Severity"]["jsonData"])
    assert [each["value"] for each in offered] == list(SEVERITIES)


def test_every_parameter_is_set_somewhere() -> None:
    """What a query, a text or a condition reads is a list, a selection or a tab."""
    exported = {view["exportParameterName"] for view in VIEWS.values() if "exportFieldName" in view}
    tabs = [link for item in ITEMS.values() for link in item["content"].get("links", [])]
    known = CHOICES.keys() | exported | {link["cellValue"] for link in tabs}
    texts = [item["content"]["json"] for item in ITEMS.values() if item["type"] == TEXT]
    read = {name for text in (*QUERIES.values(), *texts) for name in re.findall(r"\{(\w+)\}", text)}
    conditions = [item.get("conditionalVisibility") for item in ITEMS.values()]
    read |= {each["parameterName"] for each in conditions if each}
    assert read == known - {"TimeRange"}
    assert all(each["comparison"] in {"isEqualTo", "isNotEqualTo"} for each in conditions if each)


def test_every_tab_shows_a_group() -> None:
    """Each tab sets the value for which one group is visible; that of findings is the first."""
    links = ITEMS["tabs"]["content"]["links"]
    assert all((each["linkTarget"], each["cellValue"]) == ("parameter", "Tab") for each in links)
    conditions = [item.get("conditionalVisibility", {}) for item in ITEMS.values()]
    shown = [each["value"] for each in conditions if each.get("parameterName") == "Tab"]
    assert [each["subTarget"] for each in links] == shown == ["findings", "tuning", "health"]


def formatters() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every formatter with the name of its view."""
    for name, view in VIEWS.items():
        for each in view.get("gridSettings", {}).get("formatters", []):
            yield name, each


def test_formatters_are_known_ones() -> None:
    """Each formatter is one that Azure's templates have, with targets and colours of theirs."""
    for name, each in formatters():
        options = each.get("formatOptions", {})
        assert each["formatter"] in {HIDDEN, LINK, HEATMAP, RESOURCE, THRESHOLDS}, name
        assert options.get("linkTarget") in LINK_TARGETS.get(each["formatter"], {None}), name
        grid = options.get("thresholdsGrid", [])
        assert {threshold["representation"] for threshold in grid} <= COLOURS
        assert [each["operator"] for each in grid][-1:] in ([], ["Default"])


def test_severities_have_their_colours_everywhere() -> None:
    """Each severity, and every one that the score gives, has one colour in tables and charts."""
    assert {name for _, name in SEVERITY_BANDS} == SEVERITIES.keys()
    grids = [
        each["formatOptions"]["thresholdsGrid"]
        for _, each in formatters()
        if each["columnMatch"] == "^Severity$"
    ]
    assert len(grids) == 2
    for grid in grids:
        assert {each["thresholdValue"]: each["representation"] for each in grid[:-1]} == SEVERITIES
    charts = [VIEWS[name]["chartSettings"] for name in ("findings-by-risk", "trend")]
    for chart in charts:
        labels = chart["seriesLabelSettings"]
        assert {each["seriesName"]: each["color"] for each in labels} == SEVERITIES


def test_formatters_and_selections_name_columns(language_service: LanguageService) -> None:
    """Every query binds, and each formatter and each selection names a column of its result."""
    names = list(QUERIES)
    results = dict(zip(names, bound(language_service, *map(filled, names)), strict=True))
    result = {name: [each["name"] for each in found] for name, found in results.items()}
    for name, each in formatters():
        assert [n for n in result[name] if re.search(each["columnMatch"], n)], (name, each)
    for name, view in VIEWS.items():
        assert view.get("exportFieldName", result[name][0]) in result[name]
    assert result["Identity"] == ["value", "label"]
    assert result["Workspace"] == ["WorkspaceId"]


def test_declared_columns_are_those_of_the_tables() -> None:
    """What a query declares, for a table that is missing, is as in the table's schema."""
    for query in QUERIES.values():
        declared, source = re.findall(r"\(datatable\((.*?)\)\[\]\),\n    (\S+)\n", query)[0]
        table = SOURCES[source]
        known = {name: {"boolean": "bool"}.get(kind, kind) for name, kind in TABLES[table].items()}
        for column in declared.split(", "):
            name, kind = column.split(": ")
            assert known[name] == kind


def test_scores_are_never_read_from_raw_rows() -> None:
    """Findings come from ManagedIdentityImpact(), which has the score of all revisions."""
    assert not [name for name, query in QUERIES.items() if FINDINGS_TABLE in query]


# --- The queries


@pytest.fixture(scope="module")
def workspace() -> CustomTables:
    """Return a workspace with both tables, empty."""
    return CustomTables()


@pytest.mark.parametrize("tables", [(FINDINGS_TABLE, RUNS_TABLE), (RUNS_TABLE,), ()])
def test_empty_and_missing_tables_have_no_rows(tables: tuple[str, ...]) -> None:
    """With tables that are empty or missing every query gives no row, and no error.

    The documentation of KQL's union says that isfuzzy leaves out what does not exist, if one of its
    parts does.
    """
    empty = CustomTables({name: TABLES[name] for name in tables})
    assert [name for name in QUERIES if empty.ask(filled(name))] == []


BEGIN = datetime(2026, 3, 14, tzinfo=UTC).replace(tzinfo=None)
OURS, OTHER = "e1525895-2305-453d-b6ab-6a524251f7d9", "0e29b7b8-6f3b-4a0c-9d4b-2f3c1d5e6a70"
NAMES = {OURS: "func-orders", OTHER: "id-deploy"}
MOMENTS = st.integers(0, 10 * 24).map(lambda hour: BEGIN + timedelta(hours=hour))
OPERATIONS = {
    "MICROSOFT.RESOURCES/DEPLOYMENTS/WRITE": "routine",
    "Microsoft.Resources/deployments/write": "routine",
    "CONTOSO.PROVIDER/THINGS/WRITE": "other",
    "MICROSOFT.KEYVAULT/VAULTS/DELETE": "destruction",
}
FINDINGS = st.fixed_dictionaries(
    {
        "TimeGenerated": MOMENTS,
        "WorkspaceId": st.sampled_from(("w1", "w2")),
        "ServicePrincipalId": st.sampled_from((OURS, OTHER)),
        "ResourceGroup": st.sampled_from(("", "rg", "rg-2")),
        "RiskScore": st.integers(0, 100),
        "NewOperations": st.integers(1, 9),
        "FirstEvent": MOMENTS,
        "LastEvent": MOMENTS,
        "Operations": st.lists(st.sampled_from(list(OPERATIONS)), min_size=1, unique_by=str.upper),
        "AffectedResources": st.lists(st.sampled_from(("/a/B", "/a/b", "/c")), unique=True),
    }
)
RUNS = st.fixed_dictionaries(
    {
        "TimeGenerated": MOMENTS,
        "WorkspaceId": st.sampled_from(("w1", "w2")),
        "WindowEnd": MOMENTS,
        "Mode": st.sampled_from(("Scheduled", "Backfill")),
        "Status": st.sampled_from(("Success", "Warning", "Failure")),
        "FindingsNew": st.integers(0, 3),
        "FindingsExcluded": st.integers(0, 3),
        "ExclusionsUsed": st.lists(st.sampled_from(("a in b (o: r): 2", "c: 12")), unique=True),
        "ExclusionsExpired": st.lists(st.sampled_from(("x", "y")), unique=True),
        "ExclusionsInvalid": st.lists(st.sampled_from(("x", "z")), unique=True),
    }
)


def severity(points: int) -> str:
    """Return a severity for a score; the bands of the product do not matter here."""
    return "High" if points > 60 else "Medium" if points > 30 else "Low"


def complete(row: Row, number: int) -> dict[str, Any]:
    """Return a row of the table of findings with what follows from the drawn values."""
    operations = row["Operations"]
    return {
        **row,
        "FindingId": f"f{number}",
        "RunId": "r",
        "Revision": 1,
        "ServicePrincipalName": NAMES[row["ServicePrincipalId"]],
        "SuggestedSeverity": severity(row["RiskScore"]),
        "RiskReasons": [
            {"Points": row["RiskScore"], "Reason": "It deleted a vault"},
            {"Points": 0, "Reason": f"It acted in {row['ResourceGroup']}"},
        ],
        "Evidence": [
            {
                "Kind": "Pair",
                "SignInTime": "2026-03-14T08:43:30.1180093Z",
                "Resource": "Azure Key Vault",
                "OperationTime": f"2026-03-14T09:2{at}:00.0000000Z",
                "MinutesBetween": 37.5,
                "Operation": name,
                "OperationClass": OPERATIONS[name],
                "Technique": "T1485",
                "ResourceId": "/a/B",
                "CallerIpAddress": "203.0.113.77",
                "CorrelationId": "c",
            }
            for at, name in enumerate(operations)
        ],
        "Investigate": [{"Title": "1. What else?", "Query": "ManagedIdentityImpact() | take 1"}],
    }


@st.composite
def findings(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw rows of the table of findings, one of each finding."""
    return [
        complete(row, number) for number, row in enumerate(draw(st.lists(FINDINGS, max_size=8)))
    ]


@settings(max_examples=EXAMPLES // 25)
@given(findings())
def test_identities_come_by_their_highest_risk(workspace: CustomTables, rows: list[Row]) -> None:
    """Each identity has one row with its highest score, and the highest comes first."""
    workspace.fill(rows)
    expected = []
    for identity in NAMES:
        mine = [row for row in rows if row["ServicePrincipalId"] == identity]
        if mine:
            gravest = max(row["RiskScore"] for row in mine)
            changes = sum(row["NewOperations"] for row in mine)
            latest = max(row["LastEvent"] for row in mine)
            expected.append((gravest, latest, identity, len(mine), changes, severity(gravest)))
    expected.sort(reverse=True)
    shown = [
        (
            *(row["HighestRisk"], row["LastEvent"], row["ServicePrincipalId"]),
            *(row["Findings"], row["Changes"], row["Severity"]),
        )
        for row in workspace.ask(filled("identities"))
    ]
    assert shown == expected
    listed = workspace.ask(filled("Identity"))
    assert {row["value"] for row in listed} == {row[2] for row in expected}


@settings(max_examples=EXAMPLES // 25)
@given(
    findings(),
    st.sampled_from(("*", "High", "Low")),
    st.sampled_from(("*", OURS)),
    st.sampled_from(("*", "w1")),
    st.sampled_from(("*", OTHER)),
)
def test_filters_choose_findings(
    workspace: CustomTables, rows: list[Row], band: str, identity: str, home: str, selected: str
) -> None:
    """The table has the findings that fit all filters and the selected identity, gravest first."""
    workspace.fill(rows)
    expected = [
        row
        for row in sorted(rows, key=itemgetter("RiskScore", "LastEvent"), reverse=True)
        if band in ("*", row["SuggestedSeverity"])
        and identity in ("*", row["ServicePrincipalId"])
        and home in ("*", row["WorkspaceId"])
        and selected in ("*", row["ServicePrincipalId"])
    ]
    chosen = {"Severity": f"'{band}'", "Identity": f"'{identity}'", "Workspace": f"'{home}'"}
    shown = workspace.ask(filled("findings", SelectedIdentity=selected, **chosen))
    assert [(row["RiskScore"], row["LastEvent"]) for row in shown] == [
        (row["RiskScore"], row["LastEvent"]) for row in expected
    ]
    assert {row["FindingId"] for row in shown} == {row["FindingId"] for row in expected}
    assert all(row["Finding"] == "It deleted a vault" for row in shown)
    by_severity = workspace.ask(filled("findings-by-risk", **chosen))
    within = [row for row in rows if home in ("*", row["WorkspaceId"])]
    within = [row for row in within if identity in ("*", row["ServicePrincipalId"])]
    assert {row["Severity"]: row["Findings"] for row in by_severity} == {
        name: len(list(same))
        for name, same in groupby(sorted(row["SuggestedSeverity"] for row in within))
        if band in ("*", name)
    }


@settings(max_examples=EXAMPLES // 25)
@given(findings())
def test_totals_count_findings(workspace: CustomTables, rows: list[Row]) -> None:
    """Trend, resources and reasons count each finding once."""
    workspace.fill(rows)
    assert sum(row["Findings"] for row in workspace.ask(filled("trend"))) == len(rows)
    resources: dict[str, set[str]] = {}
    for row in rows:
        for resource in row["AffectedResources"]:
            resources.setdefault(resource.lower(), set()).add(row["FindingId"])
    shown = {
        row["Resource"]: row["Findings"] for row in workspace.ask(filled("affected-resources"))
    }
    assert shown == {name: len(ids) for name, ids in resources.items()}
    reasons = {row["Reason"]: row for row in workspace.ask(filled("top-reasons"))}
    if rows:
        assert reasons["It deleted a vault"]["Findings"] == len(rows)
        assert reasons["It deleted a vault"]["Points"] == max(row["RiskScore"] for row in rows)


def sample(number: int = 0, **columns: Any) -> dict[str, Any]:
    """Return a finding, updated with `columns`."""
    row = {
        "TimeGenerated": BEGIN,
        "WorkspaceId": "w1",
        "ServicePrincipalId": OURS,
        "ResourceGroup": "rg",
        "RiskScore": 20,
        "NewOperations": 2,
        "FirstEvent": BEGIN,
        "LastEvent": BEGIN + timedelta(days=number),
        "Operations": ["CONTOSO.PROVIDER/THINGS/WRITE", "MICROSOFT.RESOURCES/DEPLOYMENTS/WRITE"],
        "AffectedResources": ["/a/B"],
    }
    return complete(row | columns, number)


def test_a_selected_finding_shows_its_evidence(workspace: CustomTables) -> None:
    """Reasons, evidence, resources and queries are those of the selected finding alone."""
    workspace.fill([sample(), sample(1, Operations=["MICROSOFT.KEYVAULT/VAULTS/DELETE"])])
    evidence = workspace.ask(filled("finding-evidence", SelectedFinding="f0"))
    assert [(row["Operation"], row["OperationClass"]) for row in evidence] == [
        ("CONTOSO.PROVIDER/THINGS/WRITE", "other"),
        ("MICROSOFT.RESOURCES/DEPLOYMENTS/WRITE", "routine"),
    ]
    first = evidence[0]
    assert first["Operated"] == datetime(2026, 3, 14, 9, 20, tzinfo=UTC).replace(tzinfo=None)
    assert first["SignedIn"].minute == 43
    assert (first["MinutesBetween"], first["Target"], first["Kind"]) == (37.5, "/a/B", "Pair")
    reasons = workspace.ask(filled("finding-reasons", SelectedFinding="f0"))
    assert reasons[0] == {"Points": 20, "Reason": "It deleted a vault"}
    (query,) = workspace.ask(filled("finding-queries", SelectedFinding="f1"))
    assert query == {"Question": "1. What else?", "Query": "ManagedIdentityImpact() | take 1"}
    (about,) = workspace.ask(filled("finding-about", SelectedFinding="f1"))
    assert about["LastEvent"] == BEGIN + timedelta(days=1)
    shown = workspace.ask(filled("finding-resources", SelectedFinding="f0"))
    assert shown == [{"Resource": "/a/B"}]
    assert workspace.ask(filled("finding-evidence")) == []


def test_what_a_finding_explains_is_shown(workspace: CustomTables) -> None:
    """Risk of the identity, title, tactics, techniques, host and links are shown."""
    row = sample(
        IdentityRiskScore=77,
        ObservedTactics=["Impact"],
        ObservedTechniques=["T1685.002"],
        FindingTitle="It deleted things",
        IdentityResourceId="/a/identity",
        HostResourceId="",
        Links=[{"Title": "Activity log", "Url": "https://portal.azure.com/#x"}],
    )
    workspace.fill([row])
    assert workspace.ask(filled("identities"))[0]["IdentityRisk"] == 77
    (finding,) = workspace.ask(filled("findings"))
    assert (finding["Finding"], finding["Tactics"]) == ("It deleted things", "Impact")
    assert workspace.ask(filled("tactics"))[0]["Tactic"] == "Impact"
    (technique,) = workspace.ask(filled("techniques"))
    assert technique["Page"] == "https://attack.mitre.org/techniques/T1685/002/"
    (about,) = workspace.ask(filled("finding-about", SelectedFinding="f0"))
    assert about["HostResource"] == "/a/identity"
    (link,) = workspace.ask(filled("finding-links", SelectedFinding="f0"))
    assert link == {"Page": "Activity log", "Link": "https://portal.azure.com/#x"}


def test_near_misses_are_summed_up(workspace: CustomTables) -> None:
    """Near misses are added up a day, and the runs that have some are named with their reason."""
    run = {"WindowEnd": BEGIN, "TimeGenerated": BEGIN, "WorkspaceId": "w"}
    workspace.fill(
        runs=[
            run | {"RunId": "r1", "NearMisses": 3, "Reason": "3 near misses"},
            run | {"RunId": "r2", "NearMisses": 2, "Reason": "2 near misses"},
            run | {"RunId": "r3", "NearMisses": 0},
        ]
    )
    (day,) = workspace.ask(filled("near-misses"))
    assert day["NearMisses"] == 5
    shown = workspace.ask(filled("near-miss-runs"))
    assert {(row["NearMisses"], row["Reason"]) for row in shown} == {
        (3, "3 near misses"),
        (2, "2 near misses"),
    }


@settings(max_examples=EXAMPLES // 25)
@given(st.lists(RUNS, max_size=8))
def test_exclusions_are_counted_and_named(workspace: CustomTables, drawn: list[Row]) -> None:
    """Uses add up over runs, and those without effect are the latest run's; repeats add nothing."""
    ends = {row["WindowEnd"] for row in drawn}
    rows = [{**row, "RunId": f"r{number}"} for number, row in enumerate(drawn)]
    workspace.fill(runs=[*rows, *rows])
    used: dict[tuple[str, str], int] = {}
    for row in rows:
        for entry in row["ExclusionsUsed"]:
            label, _, number = entry.rpartition(": ")
            key = (label, row["WorkspaceId"])
            used[key] = used.get(key, 0) + int(number)
    shown = workspace.ask(filled("exclusions-used"))
    assert {(row["Exclusion"], row["WorkspaceId"]): row["Findings"] for row in shown} == used
    days = workspace.ask(filled("excluded"))
    for name, column in (("Excluded", "FindingsExcluded"), ("Reported", "FindingsNew")):
        assert sum(row[name] for row in days) == sum(row[column] for row in rows)
    if len(ends) < len(rows):
        return  # which of two runs of one moment is the latest does not matter
    without = set()
    for home in ("w1", "w2"):
        mine = [row for row in rows if row["WorkspaceId"] == home]
        mine = [
            row for row in mine if (row["Mode"], row["Status"] == "Failure") == ("Scheduled", False)
        ]
        for row in sorted(mine, key=itemgetter("WindowEnd"))[-1:]:
            without |= {("expired", name, home) for name in row["ExclusionsExpired"]}
            without |= {("invalid", name, home) for name in row["ExclusionsInvalid"]}
    shown = workspace.ask(filled("exclusions-without-effect"))
    assert {(row["Problem"], row["Exclusion"], row["WorkspaceId"]) for row in shown} == without
    assert len(shown) == len(without)


@settings(max_examples=EXAMPLES // 25)
@given(findings())
def test_sets_of_operations_are_counted(workspace: CustomTables, rows: list[Row]) -> None:
    """Each identity's findings are counted by their set of operations, without regard to case."""
    workspace.fill(rows)
    expected: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        names = ", ".join(sorted(name.upper() for name in row["Operations"]))
        expected.setdefault((row["ServicePrincipalId"], names), []).append(row)
    shown = workspace.ask(filled("tuning"))
    assert len(shown) == len(expected)
    for row in shown:
        same = expected[row["ServicePrincipalId"], row["OperationSet"]]
        assert row["Findings"] == len(same)
        assert row["Days"] == len({each["LastEvent"].date() for each in same})
        assert row["HighestRisk"] == max(each["RiskScore"] for each in same)
        mild = all(each["SuggestedSeverity"] == "Low" for each in same)
        assert bool(row["Exclusion"]) == (mild and row["Days"] >= 3)


def test_a_proposed_line_is_an_exclusion(workspace: CustomTables) -> None:
    """A set of three days, never above Low, has a line that is active as it stands."""
    workspace.fill([sample(number) for number in range(3)])
    (row,) = workspace.ask(filled("tuning"))
    line = row["Exclusion"].split(",")
    assert len(line) == len(EXCLUSIONS_TABLE.columns)
    assert line[:-1] == [OURS, "rg", "other;routine", "OWNER", "REASON"]
    (active,) = Exclusions.of([tuple(line)], parse_time("2026-03-14"), CHANGE_CLASSES).active
    assert active.classes == {"other", "routine"}
    workspace.fill([sample(number, ResourceGroup=f"rg-{number}") for number in range(3)])
    (row,) = workspace.ask(filled("tuning"))
    assert row["Exclusion"].split(",")[1] == ""


def test_health_shows_the_latest_run(workspace: CustomTables) -> None:
    """The latest run of each workspace is shown, and runs and rows are counted once."""
    run = {"WorkspaceId": "w1", "Status": "Success", "TimeGenerated": BEGIN, "Pairs": 2}
    rows = [
        run | {"RunId": "r1", "WindowEnd": BEGIN},
        run | {"RunId": "r2", "WindowEnd": BEGIN + timedelta(hours=1), "Status": "Warning"},
    ]
    workspace.fill(runs=[*rows, *rows])
    (latest,) = workspace.ask(filled("latest-run"))
    assert (latest["Status"], latest["WindowEnd"]) == ("Warning", rows[1]["WindowEnd"])
    assert sum(row["Runs"] for row in workspace.ask(filled("runs"))) == 2
    assert sum(row["Pairs"] for row in workspace.ask(filled("volume"))) == 4
    assert workspace.ask(filled("Workspace")) == [{"WorkspaceId": "w1"}]
    assert workspace.ask(filled("latest-run", Workspace="'w2'")) == []


def test_loud_identities_come_first(workspace: CustomTables) -> None:
    """Identities are ordered by their number of findings, with the days and the severities."""
    workspace.fill([sample(0), sample(1), sample(2, ServicePrincipalId=OTHER, RiskScore=90)])
    first, second = workspace.ask(filled("loud-identities"))
    assert (first["ServicePrincipalId"], first["Findings"], first["Days"]) == (OURS, 2, 2)
    assert (second["High"], second["Medium"], second["HighestRisk"]) == (1, 0, 90)
