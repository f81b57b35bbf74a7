"""The documented payload of an alert is of the deployed rule and of the demo's finding."""

import json
import re
from typing import Any

from detection.schema import FINDINGS_TABLE
from tests.infra.alert_tables import DEPLOYMENT, KINDS, NOW, TABLES, ask, connection, deployed, put
from tests.infra.compiler import Json
from tests.support import json_lines, run_cli
from tests.support.pages import PAGES, blocks

PAGE = "docs/alerts.md"
(PAYLOAD,) = map(json.loads, blocks(PAGE, "json"))
ESSENTIALS = PAYLOAD["data"]["essentials"]
CONTEXT = PAYLOAD["data"]["alertContext"]
(CONDITION,) = CONTEXT["condition"]["allOf"]
# https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-common-schema
DOCUMENTED_ESSENTIALS = {
    *("alertContextVersion", "alertId", "alertRule", "alertRuleId", "alertTargetIDs"),
    *("configurationItems", "description", "essentialsVersion", "firedDateTime"),
    *("investigationLink", "monitorCondition", "monitoringService", "originAlertId"),
    *("resolvedDateTime", "targetResourceGroup", "targetResourceType", "severity", "signalType"),
}
LOG_ALERTS_V2 = {
    *("searchQuery", "metricMeasureColumn", "targetResourceTypes", "operator", "threshold"),
    *("timeAggregation", "dimensions", "metricValue", "failingPeriods"),
    *("linkToSearchResultsUI", "linkToFilteredSearchResultsUI"),
    *("linkToSearchResultsAPI", "linkToFilteredSearchResultsAPI"),
}


def test_the_payload_has_the_documented_fields() -> None:
    """The payload has the parts and fields of Microsoft's sample for log alerts of version 2."""
    assert PAYLOAD["schemaId"] == "azureMonitorCommonAlertSchema"
    assert ESSENTIALS.keys() <= DOCUMENTED_ESSENTIALS
    assert (ESSENTIALS["signalType"], ESSENTIALS["monitoringService"]) == ("Log", "Log Alerts V2")
    assert CONTEXT.keys() == {"properties", "conditionType", "condition"}
    assert CONTEXT["condition"].keys() == {
        "windowSize",
        "allOf",
        "windowStartTime",
        "windowEndTime",
    }
    assert CONDITION.keys() == LOG_ALERTS_V2


def test_the_payload_is_of_the_deployed_rule(alert_rules: dict[str, Json]) -> None:
    """Severity, description, condition and names of dimensions are those of the rule."""
    rule = alert_rules["finding (High)"]
    (condition,) = rule["criteria"]["allOf"]
    assert ESSENTIALS["severity"] == f"Sev{rule['severity']}"
    assert ESSENTIALS["description"] == rule["description"]
    assert ESSENTIALS["alertRule"] == rule["displayName"]
    assert "/scheduledQueryRules/alert-impact-findings-high-" in ESSENTIALS["alertRuleId"]
    assert CONTEXT["condition"]["windowSize"] == rule["windowSize"]
    assert CONDITION["threshold"] == str(condition["threshold"])
    for name in ("operator", "timeAggregation", "failingPeriods"):
        assert CONDITION[name] == condition[name]
    named = [each["name"] for each in CONDITION["dimensions"]]
    assert named == [each["name"] for each in condition["dimensions"]]


def test_the_payload_is_of_the_demo_s_finding() -> None:
    """The values of the dimensions are those that the rule reports for a finding of the demo."""
    dimensions = {each["name"]: each["value"] for each in CONDITION["dimensions"]}
    found = json_lines(run_cli("demo", "--json").stdout)
    (row,) = [each for each in found if each["FindingId"] == dimensions["FindingId"]]
    row |= {"Deployment": DEPLOYMENT, "Ingested": NOW}
    stored: dict[str, Any] = {
        name: json.dumps(row[name]) if KINDS[kind] == "JSON" else row[name]
        for name, kind in TABLES[FINDINGS_TABLE]
    }
    with connection() as database:
        put(database, FINDINGS_TABLE, stored)
        (reported,) = ask(database, deployed("findings_alert"))
    del reported["TimeGenerated"]
    assert reported == dimensions


def test_the_table_names_fields_of_the_payload() -> None:
    """Each field in the table of fields is in the payload."""
    paths = re.findall(r"^\| `(data\.[\w.\[\]]+)`", PAGES[PAGE], re.MULTILINE)
    assert len(paths) >= 9
    for path in paths:
        at: Any = PAYLOAD
        for part in re.findall(r"\w+", path):
            at = at[int(part)] if part.isdecimal() else at[part]
