"""The alert rules: which there are, who is notified, and who is told when a rule fails."""

import json
import re
from pathlib import Path

import pytest

from tests.infra.alert_tables import SEVERITIES, deployed
from tests.infra.compiler import (
    ACTION_GROUP,
    HERE,
    INFRA,
    OTHER_ACTION_GROUP,
    SUBSCRIPTION,
    WORKSPACE,
    Deployment,
    Json,
    bicep,
    deploy,
    properties,
)
from tests.infra.test_kql import TABLES, bound
from tests.support.language_service import LanguageService

RULES = "Microsoft.Insights/scheduledQueryRules"
PROCESSING = "Microsoft.AlertsManagement/actionRules"
HEALTH = "Microsoft.Insights/activityLogAlerts"
GROUPS = "Microsoft.Insights/actionGroups"
# In the deployment's own subscription.
NEAR = WORKSPACE.replace("22222222-2222-2222-2222-222222222222", SUBSCRIPTION)


def finding_rules(deployment: Deployment) -> dict[str, Json]:
    """Return the rules on findings by severity."""
    rules = map(properties, deployment.of_type(RULES)[:-1])
    return {re.findall(r"\((\w+)\)$", rule["displayName"])[0]: rule for rule in rules}


def silence_rule(deployment: Deployment) -> Json:
    """Return the rule on silence."""
    return properties(deployment.of_type(RULES)[-1])


def condition(rule: Json) -> Json:
    """Return the only condition of a rule."""
    (found,) = rule["criteria"]["allOf"]
    return dict(found)


def test_alerts_have_the_severity_of_their_findings(plain: Deployment, chosen: Deployment) -> None:
    """Each severity from the least one up has a rule with a severity of its own."""
    severities = {"High": 1, "Medium": 2, "Low": 3}
    for deployment, number in ((plain, 2), (chosen, 3)):
        rules = finding_rules(deployment)
        assert {name: rule["severity"] for name, rule in rules.items()} == dict(
            list(severities.items())[:number]
        )
        for place, (severity, rule) in enumerate(rules.items(), 1):
            query = condition(rule)["query"]
            assert f'SuggestedSeverity == "{severity}"\n' in query
            graver = '", "'.join(list(severities)[:place])
            assert f'dynamic(["{graver}"])' in query


def test_an_alert_reports_findings(plain: Deployment) -> None:
    """The rule looks back over two of its periods by arrival; dimensions name and explain."""
    rule = finding_rules(plain)["High"]
    found = condition(rule)
    assert [each["name"] for each in found["dimensions"]] == [
        *("FindingId", "Identity", "ResourceGroupName", "Risk", "IdentityRisk", "Reason")
    ]  # six is the most that a rule takes
    assert all(
        (each["operator"], each["values"]) == ("Include", ["*"]) for each in found["dimensions"]
    )
    assert (rule["evaluationFrequency"], rule["windowSize"]) == ("PT15M", "PT30M")
    assert rule["overrideQueryTimeRange"] == "P2D"  # older rows are stamped again on arrival
    assert "ago(30m)" in found["query"]
    assert (found["timeAggregation"], found["operator"], found["threshold"]) == (
        *("Count", "GreaterThan"),
        0,
    )


def test_an_alert_names_the_silent_workspace(plain: Deployment, chosen: Deployment) -> None:
    """The rule on silence lists every watched workspace by name and id, and reports each."""
    for deployment, names in (
        (plain, ["law-security"]),
        (chosen, ["law-security", "other-security"]),
    ):
        rule = silence_rule(deployment)
        found = condition(rule)
        assert [each["name"] for each in found["dimensions"]] == ["WorkspaceName", "WorkspaceId"]
        assert (found["operator"], found["threshold"]) == ("GreaterThan", 0)
        assert rule["windowSize"] == "PT3H"
        listed = re.findall(r"'([\w-]+)', toLower\(reference\(", found["query"])
        assert listed == names


def test_rules_count_their_own_deployment(plain: Deployment, chosen: Deployment) -> None:
    """The rules and the app have the same name of the deployment, another for each deployment."""
    names = [deployment.settings["DEPLOYMENT_NAME"] for deployment in (plain, chosen)]
    assert names[0] != names[1]
    for name, deployment in zip(names, (plain, chosen), strict=True):
        for rule in map(properties, deployment.of_type(RULES)):
            assert name in condition(rule)["query"]
    assert 'Deployment == "' in condition(finding_rules(plain)["High"])["query"]


def test_alerts_query_as_an_identity(plain: Deployment) -> None:
    """Alert rules query with their own identity, and do not require rows in the tables."""
    app = set(plain.one("Microsoft.Web/sites")["identity"]["userAssignedIdentities"])
    for each in plain.of_type(RULES):
        rule = properties(each)
        assert each["kind"] == "LogAlert"
        (identity,) = each["identity"]["userAssignedIdentities"]
        assert "id-impact-alerts-" in identity
        assert identity not in app
        assert rule["scopes"] == [WORKSPACE.lower()]
        assert (rule["enabled"], rule["skipQueryValidation"]) == (True, True)
        assert rule["autoMitigate"] is True


def test_every_rule_runs_often_enough_for_its_health(chosen: Deployment) -> None:
    """Every rule runs every quarter of an hour; Azure gives rarer ones no Resource Health."""
    # https://learn.microsoft.com/azure/azure-monitor/alerts/log-alert-rule-health
    assert {properties(each)["evaluationFrequency"] for each in chosen.of_type(RULES)} == {"PT15M"}


def test_recipients_are_optional(plain: Deployment, chosen: Deployment) -> None:
    """Alerts go to each address once and to the given action groups, or to nobody."""
    assert plain.of_type(GROUPS) == plain.of_type(HEALTH) == []
    assert [properties(each)["actions"] for each in plain.of_type(RULES)] == [
        {"actionGroups": []}
    ] * 3
    group = chosen.one(GROUPS)
    receivers = properties(group)["emailReceivers"]
    assert [each["emailAddress"] for each in receivers] == ["soc@example.com", "oncall@example.com"]
    assert len({each["name"] for each in receivers}) == 2
    assert all(each["useCommonAlertSchema"] for each in receivers)
    assert len(properties(group)["groupShortName"]) <= 12
    for each in chosen.of_type(RULES):
        assert properties(each)["actions"] == {
            "actionGroups": [group["id"], ACTION_GROUP, OTHER_ACTION_GROUP]
        }


def test_somebody_is_told_of_a_rule_that_fails(chosen: Deployment) -> None:
    """The activity log tells the same recipients of every rule that fails or is disabled."""
    rules = [each["id"] for each in chosen.of_type(RULES)]
    groups = properties(chosen.of_type(RULES)[0])["actions"]["actionGroups"]
    unhealthy, disabled = map(properties, chosen.of_type(HEALTH))
    for each in (unhealthy, disabled):
        assert each["enabled"] is True
        assert each["scopes"] == rules
        assert [action["actionGroupId"] for action in each["actions"]["actionGroups"]] == groups
    category, status, kinds = unhealthy["condition"]["allOf"]
    assert category == {"field": "category", "equals": "ResourceHealth"}
    assert status == {"field": "status", "equals": "Active"}
    assert [each["equals"] for each in kinds["anyOf"]] == ["Unavailable", "Degraded"]
    assert disabled["condition"]["allOf"] == [
        {"field": "category", "equals": "Administrative"},
        {
            "field": "operationName",
            "equals": "Microsoft.Insights/ScheduledQueryRules/disable/action",
        },
    ]


@pytest.mark.parametrize(
    ("workspace", "in_its_group", "group"),
    [
        (WORKSPACE, True, WORKSPACE.lower().partition("providers/")[0]),
        (WORKSPACE, False, None),
        (NEAR, True, NEAR.lower().partition("providers/")[0]),
        (NEAR, False, HERE.lower()),
    ],
    ids=["other subscription", "other subscription, not there", "same subscription", "not there"],
)
def test_nobody_is_notified_that_a_finding_is_resolved(
    tmp_path: Path, workspace: str, in_its_group: bool, group: str | None
) -> None:
    """A processing rule in the workspace's subscription holds back Resolved of findings alone."""
    given = {"workspaceResourceId": workspace, "monitoringInWorkspaceGroup": in_its_group}
    found = deploy(tmp_path, given)
    if group is None:  # such a rule cannot be in another subscription
        assert found.of_type(PROCESSING) == []
        return
    processing = found.one(PROCESSING)
    assert processing["id"].lower().startswith(group)
    rule = properties(processing)
    assert rule["scopes"] == [workspace.lower()]
    assert rule["actions"] == [{"actionType": "RemoveAllActionGroups"}]
    when, which = rule["conditions"]
    assert when == {"field": "MonitorCondition", "operator": "Equals", "values": ["Resolved"]}
    assert (which["field"], which["operator"]) == ("AlertRuleId", "Equals")
    assert which["values"] == [each["id"] for each in found.of_type(RULES)[:-1]]


@pytest.mark.parametrize(
    ("variable", "addresses"),
    [
        ("", []),
        ("soc@example.com", ["soc@example.com"]),
        (" soc@example.com ,, oncall@example.com,", ["soc@example.com", "oncall@example.com"]),
    ],
)
def test_addresses_are_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, variable: str, addresses: list[str]
) -> None:
    """ALERT_EMAILS has addresses, comma separated; blanks and empty entries do not count."""
    monkeypatch.setenv("ALERT_EMAILS", variable)
    compiled = json.loads(bicep("build-params", INFRA / "main.bicepparam", "--stdout"))
    values = json.loads(compiled["parametersJson"])["parameters"]
    assert values["alertEmails"]["value"] == addresses


def test_the_queries_are_those_that_are_tested(alert_rules: dict[str, Json]) -> None:
    """Each rule has its query with all values filled in, as the tests in DuckDB run it."""
    names = [f"finding ({severity})" for severity in SEVERITIES]
    assert list(alert_rules) == [*names, "nothing watches"]
    assert [condition(rule)["query"] for rule in alert_rules.values()] == [
        *(deployed("findings_alert", severity) for severity in SEVERITIES),
        deployed("silence_alert"),
    ]


def test_queries_bind_and_give_text_for_dimensions(
    alert_rules: dict[str, Json], language_service: LanguageService
) -> None:
    """Each deployed query begins with a table, as the service requires, and binds.

    It gives the rule's dimensions, which are text, and the time by which the service counts rows.
    """
    for rule in alert_rules.values():
        query = condition(rule)["query"]
        assert next(line for line in query.splitlines() if not line.startswith("//")) in TABLES
        (found,) = bound(language_service, query)
        kinds = {each["name"]: each["type"] for each in found}
        assert kinds.pop("TimeGenerated") == "datetime"
        dimensions = [each["name"] for each in condition(rule)["dimensions"]]
        assert kinds == dict.fromkeys(dimensions, "string")
