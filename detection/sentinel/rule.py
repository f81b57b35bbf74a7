"""The rule as a scheduled rule of Microsoft Sentinel: as YAML and as an ARM template.

The YAML has the form of the analytic rules in github.com/Azure/Azure-Sentinel. The template has the
properties of Microsoft.SecurityInsights/alertRules.
"""

import json
from typing import Any, Final

from detection.errors import SettingsError
from detection.rule.filters import RuleSettings
from detection.rule.log_rows import OPERATION_TABLE, SIGN_IN_TABLE
from detection.rule.ticks import DAY, HOUR, describe_duration, format_duration
from detection.schema import RULE_NAME, RULE_VERSION, SEVERITY, TACTICS, TECHNIQUES
from detection.sentinel.query import query_period, scheduled_query
from detection.sentinel.yaml import to_yaml
from detection.window import INTERVAL

# The limits of a rule: learn.microsoft.com/azure/sentinel/scheduled-rules-overview.
MAX_QUERY_LENGTH: Final = 10_000  # characters
MAX_PERIOD: Final = 14 * DAY
RULE_ID: Final = "7a2f9c1e-5d84-4b36-9e0f-3c6b8d174a52"
API_VERSION: Final = "2023-11-01"
# Sentinel takes no sub-techniques here: github.com/Azure/Azure-Sentinel/issues/8960.
BASE_TECHNIQUES: Final = tuple(technique.partition(".")[0] for technique in TECHNIQUES)
CONNECTORS: Final = (
    ("AzureActiveDirectory", SIGN_IN_TABLE.name),
    ("AzureActivity", OPERATION_TABLE.name),
)
# The entities of an alert: the type, and its identifiers with the columns that they take.
ENTITIES: Final = (
    ("Account", {"AadUserId": "ServicePrincipalId", "Name": "ServicePrincipalName"}),
    ("AzureResource", {"ResourceId": "AffectedResource"}),
    ("IP", {"Address": "Address"}),
)
# All details of an alert have 2 KB together: the shortest come first, and ids are left out.
DETAILS: Final = (
    "DistinctOperations",
    "DistinctSignIns",
    "DataPlaneAccesses",
    "FirstEvent",
    "LastEvent",
    "ResourceGroup",
    "Resources",
    "CallerIpAddresses",
    "SubscriptionIds",
    "Operations",
)


def as_yaml(rule: RuleSettings, alias: str) -> str:
    """Return the rule in the form of the public repository of Sentinel's rules.

    Raises SettingsError if the settings exceed a limit of Sentinel.
    """
    return to_yaml(
        {
            "id": RULE_ID,
            "name": RULE_NAME,
            "description": _description(rule),
            "severity": SEVERITY,
            "requiredDataConnectors": [
                {"connectorId": connector, "dataTypes": [table]} for connector, table in CONNECTORS
            ],
            "queryFrequency": f"{INTERVAL // HOUR}h",
            "queryPeriod": f"{query_period(rule) // HOUR}h",
            "triggerOperator": "gt",
            "triggerThreshold": 0,
            "tactics": list(TACTICS),
            "relevantTechniques": list(BASE_TECHNIQUES),
            "query": _query(rule, alias),
            **_alerts(rule),
            "version": RULE_VERSION,
            "kind": "Scheduled",
        }
    )


def as_arm(rule: RuleSettings, alias: str) -> str:
    """Return a template that deploys the rule to a workspace in its resource group.

    Raises SettingsError if the settings exceed a limit of Sentinel.
    """
    workspace = "resourceId('Microsoft.OperationalInsights/workspaces', parameters('workspace'))"
    properties = {
        "displayName": RULE_NAME,
        "description": _description(rule),
        "enabled": True,
        "severity": SEVERITY,
        "query": _query(rule, alias),
        "queryFrequency": format_duration(INTERVAL),
        "queryPeriod": format_duration(query_period(rule)),
        "triggerOperator": "GreaterThan",
        "triggerThreshold": 0,
        "suppressionEnabled": False,
        "suppressionDuration": format_duration(INTERVAL),
        "tactics": list(TACTICS),
        "techniques": list(BASE_TECHNIQUES),
        **_alerts(rule),
    }
    template = {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": f"{RULE_VERSION}.0",
        "parameters": {
            "workspace": {
                "type": "string",
                "metadata": {
                    "description": "A workspace with Microsoft Sentinel, in this resource group."
                },
            }
        },
        "resources": [
            {
                "type": "Microsoft.SecurityInsights/alertRules",
                "apiVersion": API_VERSION,
                "scope": f"[{workspace}]",
                "name": f"[guid({workspace}, '{RULE_ID}')]",
                "kind": "Scheduled",
                "properties": properties,
            }
        ],
    }
    return json.dumps(template, indent=2) + "\n"


def _query(rule: RuleSettings, alias: str) -> str:
    if query_period(rule) > MAX_PERIOD:
        raise SettingsError(
            "MAX_LATENESS and CORRELATION_SPAN are too long for a scheduled rule, which reads at "
            f"most {describe_duration(MAX_PERIOD)}: it would need "
            f"{describe_duration(query_period(rule))}"
        )
    text = scheduled_query(rule, alias)
    if len(text) > MAX_QUERY_LENGTH:
        raise SettingsError(
            "WATCHLIST_ALIAS and SUCCESS_STATUSES are too long for a scheduled rule, whose query "
            f"has at most {MAX_QUERY_LENGTH:,} characters: it would have {len(text):,}"
        )
    return text


def _description(rule: RuleSettings) -> str:
    return (
        "Identifies managed identities that sign in to Key Vault or Storage and change Azure "
        f"within {describe_duration(rule.span)}: a write or delete through Azure Resource Manager. "
        "Each operation is reported once. Deployment pipelines do the same: begin with High alerts."
    )


def _alerts(rule: RuleSettings) -> dict[str, Any]:
    """Return the properties of the alerts and incidents, which both forms spell alike."""
    return {
        "entityMappings": [
            {
                "entityType": kind,
                "fieldMappings": [
                    {"identifier": identifier, "columnName": column}
                    for identifier, column in fields.items()
                ],
            }
            for kind, fields in ENTITIES
        ],
        "customDetails": {name: name for name in DETAILS},
        "alertDetailsOverride": {
            "alertDisplayNameFormat": (
                "{{ServicePrincipalName}} changed Azure after data-plane access ({{ResourceGroup}})"
            ),
            "alertDescriptionFormat": (
                "{{DistinctOperations}} writes or deletes within "
                f"{describe_duration(rule.span)} after {{{{DistinctSignIns}}}} sign-ins to Key "
                "Vault or Storage, from {{FirstEvent}} on."
            ),
            "alertSeverityColumnName": "AlertSeverity",
        },
        "eventGroupingSettings": {"aggregationKind": "AlertPerResult"},
        # One incident a day for each identity and resource group, as a finding has its revisions.
        "incidentConfiguration": {
            "createIncident": True,
            "groupingConfiguration": {
                "enabled": True,
                "reopenClosedIncident": False,
                "lookbackDuration": format_duration(DAY),
                "matchingMethod": "Selected",
                "groupByEntities": ["Account"],
                "groupByCustomDetails": ["ResourceGroup"],
            },
        },
    }
