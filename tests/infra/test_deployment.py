"""A deployment has hardened resources, the declared tables, and nothing outside its scope."""

import csv
import io
import re
import shlex
from pathlib import Path

from detection.rule.allowlist import Allowlist
from detection.schema import Finding, RunRecord, columns
from detection.settings import SETTINGS
from tests.infra.compiler import (
    CHOSEN,
    GROUP,
    HERE,
    INFRA,
    SUBSCRIPTION,
    TRACES,
    WORKSPACE,
    Deployment,
    deploy,
    properties,
)
from tests.support.runbook import FUNCTIONS, deployed

TABLES = {SETTINGS["FINDINGS_STREAM"].default: Finding, SETTINGS["RUNS_STREAM"].default: RunRecord}
RESERVED = {"_ResourceId", "id", "_SubscriptionId", "TenantId", "Type", "UniqueId", "Title"}
ALERTS = "Microsoft.Insights/scheduledQueryRules"
WATCHLIST = "Microsoft.SecurityInsights/watchlists"
BLOBS = "Microsoft.Storage/storageAccounts/blobServices"

# Azure's naming rules for each type of resource in the deployment's own group.
NAMES = {
    "Microsoft.Authorization/locks": r"[\w.()-]{1,260}",
    "Microsoft.Authorization/roleAssignments": r"\[guid\(.+\)\]",
    "Microsoft.Insights/actionGroups": r"[\w-]{1,260}",
    "Microsoft.AlertsManagement/actionRules": r"[\w-]{1,260}",
    "Microsoft.Insights/activityLogAlerts": r"[\w-]{1,260}",
    "Microsoft.Insights/components": r"[\w.()-]{1,254}",
    "Microsoft.Insights/dataCollectionEndpoints": r"[A-Za-z0-9][\w-]{1,42}[A-Za-z0-9]",
    "Microsoft.Insights/dataCollectionRules": r"[A-Za-z0-9][\w-]{1,28}[A-Za-z0-9]",  # Direct: 30
    "Microsoft.Insights/diagnosticSettings": r"[\w.()-]{1,260}",
    "Microsoft.Insights/scheduledQueryRules": r"[\w-]{1,260}",
    "Microsoft.Insights/workbooks": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "Microsoft.ManagedIdentity/userAssignedIdentities": r"[A-Za-z0-9][\w-]{2,127}",
    "Microsoft.Network/privateEndpoints": r"\w[\w.-]{0,62}\w",
    "Microsoft.Storage/storageAccounts": r"[a-z0-9]{3,24}",
    "Microsoft.Web/serverfarms": r"[A-Za-z0-9-]{1,40}",
    "Microsoft.Web/sites": r"[a-z0-9](-?[a-z0-9]){1,31}",  # past 32 host ids collide
}


def test_storage_accepts_no_key(plain: Deployment) -> None:
    """The account accepts identities only, over TLS 1.2, and shows no blob to the public."""
    account = properties(plain.one("Microsoft.Storage/storageAccounts"))
    del account["networkAcls"], account["publicNetworkAccess"]
    assert account == {
        "accessTier": "Hot",
        "allowBlobPublicAccess": False,
        "allowCrossTenantReplication": False,
        "allowSharedKeyAccess": False,
        "defaultToOAuthAuthentication": True,
        "minimumTlsVersion": "TLS1_2",
        "supportsHttpsTrafficOnly": True,
    }
    containers = plain.of_type(f"{BLOBS}/containers")
    assert [properties(each) for each in containers] == [{"publicAccess": "None"}] * 2


def test_state_can_be_recovered(plain: Deployment) -> None:
    """Overwritten and deleted blobs are kept for a limited time."""
    blobs = properties(plain.one(BLOBS))
    assert blobs["isVersioningEnabled"] is True
    for kind in ("deleteRetentionPolicy", "containerDeleteRetentionPolicy"):
        assert blobs[kind]["enabled"] is True
        assert blobs[kind]["days"] >= 7
    policy = properties(plain.one("Microsoft.Storage/storageAccounts/managementPolicies"))
    (rule,) = policy["policy"]["rules"]
    actions = rule["definition"]["actions"]
    assert set(actions) == {"version"}  # and the rule never deletes the state itself
    assert actions["version"]["delete"]["daysAfterCreationGreaterThan"] == 30


def test_the_app_accepts_https_only(plain: Deployment) -> None:
    """The app uses https with TLS 1.2 only, and accepts no FTP and no publishing passwords."""
    site = properties(plain.one("Microsoft.Web/sites"))
    assert site["httpsOnly"] is True
    config = site["siteConfig"]
    assert (config["minTlsVersion"], config["scmMinTlsVersion"]) == ("1.2", "1.2")
    # Flex Consumption refuses the runtime settings of other plans, and in some regions ftpsState:
    # https://github.com/Azure/terraform-azurerm-avm-res-web-site/issues/360
    assert config.keys() == {"appSettings", "minTlsVersion", "scmMinTlsVersion"}
    passwords = plain.of_type("Microsoft.Web/sites/basicPublishingCredentialsPolicies")
    assert {each["name"].split("/")[1] for each in passwords} == {"ftp", "scm"}
    assert all(properties(each) == {"allow": False} for each in passwords)


def test_the_app_runs_on_flex_consumption(plain: Deployment) -> None:
    """The app is Python 3.13 on Linux, deployed from an existing container with its identity."""
    app, plan = plain.one("Microsoft.Web/sites"), plain.one("Microsoft.Web/serverfarms")
    assert plan["sku"] == {"name": "FC1", "tier": "FlexConsumption"}
    assert (plan["kind"], properties(plan)) == ("functionapp", {"reserved": True})
    assert app["kind"] == "functionapp,linux"
    assert app["tags"]["azd-service-name"] == "detection"
    (identity,) = app["identity"]["userAssignedIdentities"]
    config = properties(app)["functionAppConfig"]
    assert config["runtime"] == {"name": "python", "version": "3.13"}
    storage = config["deployment"]["storage"]
    assert storage["type"] == "blobContainer"
    assert storage["authentication"] == {
        "type": "UserAssignedIdentity",
        "userAssignedIdentityResourceId": identity,
    }
    assert re.fullmatch(
        r"\[format\('\{0\}\{1\}', reference\(.+\)\.primaryEndpoints\.blob, 'package'\)\]",
        storage["value"],
    )
    containers = {each["name"].split("/")[-1] for each in plain.of_type(f"{BLOBS}/containers")}
    assert containers == {"package", SETTINGS["STATE_CONTAINER"].default}
    assert config["scaleAndConcurrency"] == {"instanceMemoryMB": 2048, "maximumInstanceCount": 40}


def test_the_version_of_python_can_be_chosen(chosen: Deployment) -> None:
    """The app runs on the version that was chosen."""
    config = properties(chosen.one("Microsoft.Web/sites"))["functionAppConfig"]
    assert config["runtime"] == {"name": "python", "version": CHOSEN["pythonVersion"]}


def test_the_command_that_publishes_names_the_app(plain: Deployment) -> None:
    """The output is one command of make that names app, resource group and subscription."""
    make, target, *names = shlex.split(plain.outputs["publishCommand"])
    assert (make, target) == ("make", "publish")
    assert dict(name.split("=", 1) for name in names) == {
        "APP": plain.one("Microsoft.Web/sites")["name"],
        "GROUP": GROUP,
        "SUBSCRIPTION": SUBSCRIPTION,
    }


def test_telemetry_needs_an_identity(plain: Deployment, chosen: Deployment) -> None:
    """Application Insights accepts no key, and stores telemetry in the given workspace."""
    for found, workspace in ((plain, WORKSPACE), (chosen, TRACES)):
        component = properties(found.one("Microsoft.Insights/components"))
        assert component["DisableLocalAuth"] is True
        assert component["WorkspaceResourceId"] == workspace.lower()


def test_tables_have_the_declared_columns(chosen: Deployment) -> None:
    """Both tables have the columns of detection/schema.py, with the table's type names."""
    tables = chosen.of_type("Microsoft.OperationalInsights/workspaces/tables")
    assert ["Custom-" + each["name"].split("/")[1] for each in tables] == list(TABLES)
    for each, row in zip(tables, TABLES.values(), strict=True):
        table = properties(each)
        assert (table["plan"], table["retentionInDays"]) == ("Analytics", 30)
        assert table["schema"]["name"] == each["name"].split("/")[1]
        assert [(column["name"], column["type"]) for column in table["schema"]["columns"]] == [
            (name, "dateTime" if kind == "datetime" else kind) for name, kind in columns(row)
        ]
        names = {name for name, _ in columns(row)}
        assert "TimeGenerated" in names
        assert not names & RESERVED


def test_the_data_collection_rule_passes_rows_unchanged(plain: Deployment) -> None:
    """Each stream has the columns of detection/schema.py, and flows into its table unchanged."""
    resource = plain.one("Microsoft.Insights/dataCollectionRules")
    assert resource["kind"] == "Direct"
    rule = properties(resource)
    assert {
        stream: [(column["name"], column["type"]) for column in declared["columns"]]
        for stream, declared in rule["streamDeclarations"].items()
    } == {stream: columns(row) for stream, row in TABLES.items()}
    assert rule["dataFlows"] == [
        {
            "streams": [stream],
            "destinations": ["workspace"],
            "outputStream": stream,
            "transformKql": "source",
        }
        for stream in TABLES
    ]
    (destination,) = rule["destinations"]["logAnalytics"]
    assert destination == {"name": "workspace", "workspaceResourceId": WORKSPACE.lower()}
    assert rule.get("dataCollectionEndpointId") is None


def test_the_rule_is_in_the_workspace_s_region(chosen: Deployment) -> None:
    """Rule and alerts are in the workspace's region, in Azure's spelling, wherever the app is."""
    for kind in ("Microsoft.Insights/dataCollectionRules", ALERTS):
        for each in chosen.of_type(kind):
            assert re.fullmatch(
                r"\[toLower\(replace\(reference\('[^']+/law-security', [^()]+, 'full'\)\.location"
                r", ' ', ''\)\)\]",
                each["location"],
            )
    assert chosen.one("Microsoft.Web/sites")["location"] == CHOSEN["location"]


def test_functions_can_be_deployed_again(plain: Deployment) -> None:
    """Each saved function has its alias, and overwrites that of an earlier deployment."""
    found = {
        each["name"].split("/")[1]: properties(each)
        for each in plain.of_type("Microsoft.OperationalInsights/workspaces/savedSearches")
    }
    for name, function in found.items():
        assert (function["functionAlias"], function["version"]) == (name, 2)
        assert function["etag"] == "*"
    impact = found.pop("ManagedIdentityImpact")
    assert impact["query"] == (INFRA / "queries" / "ManagedIdentityImpact.kql").read_text("utf-8")
    assert impact["functionParameters"] == ""
    assert {name: function["query"] for name, function in found.items()} == {
        name: deployed(name) for name in FUNCTIONS
    }
    assert {function["functionParameters"] for function in found.values()} == {"FindingId:string"}


def test_the_workspace_may_be_in_any_group(plain: Deployment) -> None:
    """Only the workspace's resources are outside the deployment's resource group."""
    away = [
        each
        for each in plain.resources
        if not each["id"].lstrip("[").startswith((HERE, f"extensionResourceId('{HERE}"))
    ]
    group = WORKSPACE.lower().partition("/providers/")[0]
    assert all(f"{group}/" in each["id"].lower() for each in away)
    assert sorted(each["type"].split("/")[-1] for each in away) == [
        "actionRules",
        *("roleAssignments", "roleAssignments", *["savedSearches"] * 5, "tables", "tables"),
        "workbooks",
    ]


def test_names_follow_azure_s_rules(plain: Deployment, chosen: Deployment) -> None:
    """Every name is valid in Azure, for any name of the deployment."""
    resources = plain.resources + chosen.resources
    tops = [each for each in resources if each["type"] in NAMES]
    own = {each["type"] for each in resources if HERE in each["id"]}
    assert {kind for kind in own if kind.count("/") == 1} <= NAMES.keys()
    assert {each["type"] for each in tops} == NAMES.keys()
    for each in tops:
        assert re.fullmatch(NAMES[each["type"]], each["name"]), each["id"]


def test_two_deployments_may_share_a_group(plain: Deployment, chosen: Deployment) -> None:
    """Two deployments in one resource group share no resource there."""
    one, two = (
        {each["id"] for each in found.resources if HERE in each["id"]} for found in (plain, chosen)
    )
    assert one
    assert not one & two


def test_names_ignore_the_case_of_group_and_name(plain: Deployment, tmp_path: Path) -> None:
    """The same group or name in another case is the same deployment, not a second app."""
    # The case of a group's id is that of whoever wrote it:
    # https://github.com/MicrosoftDocs/azure-docs/issues/98457
    again = deploy(tmp_path, {"name": "IMPACT"}, group=GROUP.upper())
    assert [each["name"].lower() for each in again.resources] == [
        each["name"].lower() for each in plain.resources
    ]


def test_the_workbook_belongs_to_the_workspace(plain: Deployment, chosen: Deployment) -> None:
    """The workbook is shared, linked to the workspace, and in its group unless said otherwise."""
    # Microsoft Sentinel lists those in the workspace's group only:
    # https://github.com/briandelmsft/SentinelAutomationModules/issues/252
    workbook = plain.one("Microsoft.Insights/workbooks")
    assert workbook["id"].lower().startswith(f"{WORKSPACE.lower().partition('/providers/')[0]}/")
    elsewhere = chosen.one("Microsoft.Insights/workbooks")
    assert elsewhere["id"].startswith(HERE)
    assert workbook["kind"] == "shared"
    assert properties(workbook)["sourceId"] == WORKSPACE.lower()
    assert properties(workbook)["category"] == "sentinel"


def test_the_sample_allowlist_is_optional(plain: Deployment, chosen: Deployment) -> None:
    """A sample allowlist is deployed on request only, under the app's alias, and is readable."""
    assert plain.of_type(WATCHLIST) == []
    watchlist = chosen.one(WATCHLIST)
    assert watchlist["name"] == chosen.settings["WATCHLIST_ALIAS"] == "OfficeNetworks"
    sample = properties(watchlist)
    assert sample["contentType"] == "text/csv"
    assert sample["displayName"] == watchlist["name"]
    assert sample["provider"]
    rows = list(csv.DictReader(io.StringIO(sample["rawContent"])))
    assert sample["itemsSearchKey"] == "IPOrRange"
    allowlist = Allowlist.of([row["IPOrRange"] for row in rows])
    assert (allowlist.entries, allowlist.invalid) == (len(rows), ())
    assert len(rows) >= 4


def test_all_resources_have_the_tags(chosen: Deployment) -> None:
    """Every resource that supports tags has the given ones and azd's."""
    tagged = [each for each in chosen.resources if "location" in each]
    assert len(tagged) == 15
    for each in tagged:
        assert each["tags"].items() >= {"owner": "soc", "azd-env-name": CHOSEN["name"]}.items()
