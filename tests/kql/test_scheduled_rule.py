"""The scheduled rule keeps the limits of Microsoft Sentinel, and the code writes its files."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from detection.errors import SettingsError
from detection.rule.filters import RuleSettings
from detection.rule.ticks import DAY, HOUR, parse_duration
from detection.schema import RULE_VERSION, SEVERITY, TACTICS, TECHNIQUES
from detection.sentinel.query import logs_page_query, scheduled_query
from detection.sentinel.rule import as_arm, as_yaml
from detection.sentinel.yaml import to_yaml
from detection.window import INTERVAL
from scripts.sentinel import FOLDER, files
from tests.infra.compiler import bicep, evaluate, literal
from tests.kql.test_queries import COMPOSED
from tests.support import read_yaml

ALIAS = "NetworkAllowlist"
RULE = RuleSettings()
# In the file of the public repository, and in the template.
ANALYTIC_RULE: dict[str, Any] = read_yaml(FOLDER / "ManagedIdentityImpact.yaml")
TEMPLATE: dict[str, Any] = json.loads((FOLDER / "ManagedIdentityImpact.json").read_text("utf-8"))
(RESOURCE,) = TEMPLATE["resources"]
PROPERTIES: dict[str, Any] = RESOURCE["properties"]
# What the query gives, with the types.
COLUMNS = {each["name"]: each["type"] for each in COMPOSED["scheduled_rule"][1]}
both = pytest.mark.parametrize("rule", [ANALYTIC_RULE, PROPERTIES], ids=["yaml", "arm"])


@pytest.mark.parametrize("name", files())
def test_the_files_are_those_of_the_code(name: str) -> None:
    """The committed files are what `make infra` writes."""
    assert (FOLDER / name).read_text("utf-8") == files()[name]
    assert {path.name for path in FOLDER.iterdir()} == files().keys()


@both
def test_the_query_is_the_product_s(rule: dict[str, Any]) -> None:
    """Both files hold the query that is tested, without a comment and without an empty line."""
    assert rule["query"] == scheduled_query(RULE, ALIAS)
    assert "//" not in rule["query"]
    assert all(map(str.strip, rule["query"].splitlines()))


# learn.microsoft.com/azure/sentinel/create-analytics-rules and .../scheduled-rules-overview
@both
def test_the_query_keeps_the_limits(rule: dict[str, Any]) -> None:
    """The query has at most 10,000 characters, and no `union *` and no `search *`."""
    assert 1 <= len(rule["query"]) <= 10_000
    assert not re.search(r"\b(union|search)\s+\*", rule["query"])


def test_the_limit_leaves_room_for_settings() -> None:
    """With both spellings of success and a long alias the query still keeps the limit."""
    rule = replace(RULE, success_statuses=("Success", "Succeeded"))
    assert len(scheduled_query(rule, "a" * 64)) <= 10_000


@pytest.mark.parametrize("form", [as_yaml, as_arm])
def test_settings_beyond_the_limits_are_refused(form: Callable[..., str]) -> None:
    """A period of more than 14 days and a query of more than 10,000 characters are errors."""
    with pytest.raises(SettingsError, match="reads at most 14 days: it would need 15 days"):
        form(replace(RULE, max_lateness=14 * DAY + 21 * HOUR), ALIAS)
    with pytest.raises(SettingsError, match="at most 10,000 characters"):
        form(RULE, "a" * 1000)


def test_the_schedule_keeps_the_limits() -> None:
    """Both files have the same schedule: hourly, over at least as much and at most 14 days."""
    frequency, period = (parse_duration(PROPERTIES[n]) for n in ("queryFrequency", "queryPeriod"))
    assert [ANALYTIC_RULE[name] for name in ("queryFrequency", "queryPeriod")] == [
        f"{frequency // HOUR}h",
        f"{period // HOUR}h",
    ]
    assert frequency == INTERVAL <= period <= 14 * DAY
    assert f"let Start = ago({period // HOUR}h);" in PROPERTIES["query"]
    assert (ANALYTIC_RULE["triggerOperator"], PROPERTIES["triggerOperator"]) == (
        "gt",
        "GreaterThan",
    )
    assert ANALYTIC_RULE["triggerThreshold"] == PROPERTIES["triggerThreshold"] == 0


# learn.microsoft.com/azure/sentinel/map-data-fields-to-entities
@both
def test_entities_are_mapped_to_texts(rule: dict[str, Any]) -> None:
    """There are at most ten entities with at most three identifiers, each a text column."""
    assert 1 <= len(rule["entityMappings"]) <= 10
    for entity in rule["entityMappings"]:
        assert 1 <= len(entity["fieldMappings"]) <= 3
        assert {COLUMNS[field["columnName"]] for field in entity["fieldMappings"]} == {"string"}


# learn.microsoft.com/azure/sentinel/surface-custom-details-in-alerts
@both
def test_details_are_columns(rule: dict[str, Any]) -> None:
    """There are at most 20 custom details, each a column of the query."""
    assert 1 <= len(rule["customDetails"]) <= 20
    assert COLUMNS.keys() >= {*rule["customDetails"].values()}
    assert all(re.fullmatch("[A-Za-z0-9]{1,20}", key) for key in rule["customDetails"])


# learn.microsoft.com/azure/sentinel/customize-alert-details
@both
def test_alerts_are_named_by_columns(rule: dict[str, Any]) -> None:
    """Name and description take at most three columns each, and the severity is a text column."""
    override = rule["alertDetailsOverride"]
    for name, longest in (("alertDisplayNameFormat", 256), ("alertDescriptionFormat", 5000)):
        columns = re.findall(r"\{\{(\w+)\}\}", override[name])
        assert 1 <= len(columns) <= 3
        assert COLUMNS.keys() >= {*columns}
        assert len(override[name]) < longest
    assert COLUMNS[override["alertSeverityColumnName"]] == "string"


@both
def test_incidents_are_grouped_by_what_the_alert_has(rule: dict[str, Any]) -> None:
    """Alerts of one identity and resource group form an incident; each finding is an alert."""
    grouping = rule["incidentConfiguration"]["groupingConfiguration"]
    assert rule["eventGroupingSettings"] == {"aggregationKind": "AlertPerResult"}
    assert {*grouping["groupByEntities"]} <= {e["entityType"] for e in rule["entityMappings"]}
    assert {*grouping["groupByCustomDetails"]} <= rule["customDetails"].keys()
    assert grouping["matchingMethod"] == "Selected"


def test_the_rule_is_described_as_the_product_describes_it() -> None:
    """Severity, tactics and version are the product's, and techniques without sub-techniques."""
    for rule, techniques in ((ANALYTIC_RULE, "relevantTechniques"), (PROPERTIES, "techniques")):
        assert (rule["severity"], tuple(rule["tactics"])) == (SEVERITY, TACTICS)
        assert rule[techniques] == [each.partition(".")[0] for each in TECHNIQUES]
    assert ANALYTIC_RULE["version"] == RULE_VERSION
    assert ANALYTIC_RULE["kind"] == RESOURCE["kind"] == "Scheduled"
    assert ANALYTIC_RULE["name"] == PROPERTIES["displayName"]


def test_the_template_deploys_to_the_workspace(tmp_path: Path) -> None:
    """The evaluated template is one rule, on the workspace that the parameter names."""
    deployment = evaluate(tmp_path, FOLDER / "ManagedIdentityImpact.json", {"workspace": "law"})
    (rule,) = deployment.resources
    assert rule["type"] == "Microsoft.SecurityInsights/alertRules"
    assert "/providers/Microsoft.OperationalInsights/workspaces/law/" in rule["id"]
    assert rule["properties"] == PROPERTIES
    assert not re.search("preview", rule["apiVersion"])


def compile_rule(folder: Path, properties: dict[str, Any]) -> str:
    """Compile a rule with these properties; fails if the compiler warns."""
    (folder / "rule.bicep").write_text(
        "resource workspace 'Microsoft.OperationalInsights/workspaces@2023-09-01' existing = {\n"
        "  name: 'law-security'\n}\n"
        f"resource rule 'Microsoft.SecurityInsights/alertRules@{RESOURCE['apiVersion']}' = {{\n"
        "  name: guid(workspace.id)\n  scope: workspace\n  kind: 'Scheduled'\n"
        f"  properties: {literal(properties)}\n}}\n",
        "utf-8",
    )
    return bicep("build", str(folder / "rule.bicep"), "--stdout")


def test_the_template_has_the_properties_of_the_type(tmp_path: Path) -> None:
    """The compiler, which knows the properties of a rule, accepts ours and no other."""
    properties = PROPERTIES | {"query": "AzureActivity"}  # a literal of one line
    assert compile_rule(tmp_path, properties)
    with pytest.raises(AssertionError):
        compile_rule(tmp_path, properties | {"subTechniques": ["T1552.001"]})


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a: b",
        "- a",
        "yes",
        "null",
        "1",
        "1.0.0",
        "5h",
        "a # b",
        "{{a}}",
        "[a]",
        "",
        " a",
        "\u00e9",
    ],
)
def test_yaml_keeps_texts(text: str) -> None:
    """A text is read back as it was written, also if it looks like something else."""
    written = to_yaml({"key": text, "list": [text, {"a": [text], "b": {"c": text}}]})
    assert YAML(typ="safe").load(written) == {
        "key": text,
        "list": [text, {"a": [text], "b": {"c": text}}],
    }


def test_the_query_for_the_logs_page_has_no_empty_line() -> None:
    """The Logs page takes an empty line for the end of a query."""
    assert all(map(str.strip, logs_page_query(RULE, ALIAS).splitlines()))
