"""What a deployment comes to: every resource hardened, the tables as declared, nothing astray."""

import csv
import io
import re

from detection.rule.allowlist import Allowlist
from detection.schema import Finding, RunRecord, columns
from detection.settings import SETTINGS
from tests.infra.compiler import (
    CHOSEN,
    GROUP,
    INFRA,
    SUBSCRIPTION,
    TRACES,
    WORKSPACE,
    Deployment,
    Json,
)

HERE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/"
TABLES = {SETTINGS["FINDINGS_STREAM"].default: Finding, SETTINGS["RUNS_STREAM"].default: RunRecord}
RESERVED = {"_ResourceId", "id", "_SubscriptionId", "TenantId", "Type", "UniqueId", "Title"}
ALERTS = "Microsoft.Insights/scheduledQueryRules"
WATCHLIST = "Microsoft.SecurityInsights/watchlists"
BLOBS = "Microsoft.Storage/storageAccounts/blobServices"

# What Azure accepts as the name of each kind of thing that lies in the deployment's own group.
NAMES = {
    "Microsoft.Authorization/roleAssignments": r"\[guid\(.+\)\]",
    "Microsoft.Insights/actionGroups": r"[\w-]{1,260}",
    "Microsoft.Insights/components": r"[\w.()-]{1,254}",
    "Microsoft.Insights/dataCollectionRules": r"[A-Za-z0-9][\w-]{1,28}[A-Za-z0-9]",  # Direct: 30
    "Microsoft.Insights/scheduledQueryRules": r"[\w-]{1,260}",
    "Microsoft.Insights/workbooks": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "Microsoft.ManagedIdentity/userAssignedIdentities": r"[A-Za-z0-9][\w-]{2,127}",
    "Microsoft.Storage/storageAccounts": r"[a-z0-9]{3,24}",
    "Microsoft.Web/serverfarms": r"[A-Za-z0-9-]{1,40}",
    "Microsoft.Web/sites": r"[a-z0-9](-?[a-z0-9]){1,31}",  # past 32 the host takes two for one
}


def properties(resource: Json) -> Json:
    """Return a resource's properties."""
    return dict(resource["properties"])


def test_storage_takes_no_key(plain: Deployment) -> None:
    """The account knows identities only, over TLS 1.2, and shows nothing to the public."""
    account = properties(plain.one("Microsoft.Storage/storageAccounts"))
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


def test_state_can_be_had_back(plain: Deployment) -> None:
    """What was overwritten or deleted is kept, and not for ever."""
    blobs = properties(plain.one(BLOBS))
    assert blobs["isVersioningEnabled"] is True
    for kind in ("deleteRetentionPolicy", "containerDeleteRetentionPolicy"):
        assert blobs[kind]["enabled"] is True
        assert blobs[kind]["days"] >= 7
    policy = properties(plain.one("Microsoft.Storage/storageAccounts/managementPolicies"))
    (rule,) = policy["policy"]["rules"]
    actions = rule["definition"]["actions"]
    assert set(actions) == {"version"}  # and never the state itself
    assert actions["version"]["delete"]["daysAfterCreationGreaterThan"] == 30


def test_the_app_is_closed(plain: Deployment) -> None:
    """The app speaks https with TLS 1.2 only, and is published to without FTP or passwords."""
    site = properties(plain.one("Microsoft.Web/sites"))
    assert site["httpsOnly"] is True
    config = site["siteConfig"]
    assert (config["ftpsState"], config["minTlsVersion"]) == ("Disabled", "1.2")
    assert config["scmMinTlsVersion"] == "1.2"
    # Flex Consumption refuses what other plans know about runtimes.
    assert config.keys() == {"appSettings", "ftpsState", "minTlsVersion", "scmMinTlsVersion"}
    passwords = plain.of_type("Microsoft.Web/sites/basicPublishingCredentialsPolicies")
    assert {each["name"].split("/")[1] for each in passwords} == {"ftp", "scm"}
    assert all(properties(each) == {"allow": False} for each in passwords)


def test_the_app_runs_on_flex_consumption(plain: Deployment) -> None:
    """The app is Python 3.13 on Linux, deployed from a container that is there, as its identity."""
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
    made = {each["name"].split("/")[-1] for each in plain.of_type(f"{BLOBS}/containers")}
    assert made == {"package", SETTINGS["STATE_CONTAINER"].default}
    assert config["scaleAndConcurrency"] == {"instanceMemoryMB": 2048, "maximumInstanceCount": 40}


def test_traces_need_an_identity(plain: Deployment, chosen: Deployment) -> None:
    """Application Insights takes no key, and keeps traces in the workspace named for it."""
    for found, workspace in ((plain, WORKSPACE), (chosen, TRACES)):
        component = properties(found.one("Microsoft.Insights/components"))
        assert component["DisableLocalAuth"] is True
        assert component["WorkspaceResourceId"] == workspace


def test_tables_have_the_declared_columns(chosen: Deployment) -> None:
    """Both tables have the columns of detection/schema.py, in the spelling of tables."""
    made = chosen.of_type("Microsoft.OperationalInsights/workspaces/tables")
    assert ["Custom-" + each["name"].split("/")[1] for each in made] == list(TABLES)
    for each, row in zip(made, TABLES.values(), strict=True):
        table = properties(each)
        assert (table["plan"], table["retentionInDays"]) == ("Analytics", 30)
        assert table["schema"]["name"] == each["name"].split("/")[1]
        assert [(column["name"], column["type"]) for column in table["schema"]["columns"]] == [
            (name, "dateTime" if kind == "datetime" else kind) for name, kind in columns(row)
        ]
        names = {name for name, _ in columns(row)}
        assert "TimeGenerated" in names
        assert not names & RESERVED


def test_the_rule_takes_rows_as_they_are(plain: Deployment) -> None:
    """Each stream has the columns of detection/schema.py, and flows into its table unchanged."""
    made = plain.one("Microsoft.Insights/dataCollectionRules")
    assert made["kind"] == "Direct"
    rule = properties(made)
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
    assert "dataCollectionEndpointId" not in rule


def test_the_rule_is_where_the_workspace_is(chosen: Deployment) -> None:
    """Rule and alerts are in the workspace's region, wherever the app is, as Azure spells it."""
    for kind in ("Microsoft.Insights/dataCollectionRules", ALERTS):
        for each in chosen.of_type(kind):
            assert re.fullmatch(
                r"\[toLower\(replace\(reference\('[^']+/law-security', [^()]+, 'full'\)\.location"
                r", ' ', ''\)\)\]",
                each["location"],
            )
    assert chosen.one("Microsoft.Web/sites")["location"] == CHOSEN["location"]


def test_the_function_can_be_deployed_again(plain: Deployment) -> None:
    """The saved function has its alias, and overwrites what an earlier deployment made."""
    made = plain.one("Microsoft.OperationalInsights/workspaces/savedSearches")
    search = properties(made)
    assert (search["functionAlias"], search["version"]) == ("ManagedIdentityImpact", 2)
    assert search["etag"] == "*"
    assert search["query"] == (INFRA / "queries" / "ManagedIdentityImpact.kql").read_text("utf-8")


def test_the_workspace_may_be_anywhere(plain: Deployment) -> None:
    """Of all resources only those of the workspace lie outside the deployment's resource group."""
    away = [
        each
        for each in plain.resources
        if not each["id"].lstrip("[").startswith((HERE, f"extensionResourceId('{HERE}"))
    ]
    assert all(WORKSPACE.lower() in each["id"].lower() for each in away)
    assert sorted(each["type"].split("/")[-1] for each in away) == [
        *("roleAssignments", "roleAssignments", "savedSearches", "tables", "tables")
    ]


def test_names(chosen: Deployment) -> None:
    """Every name is one that Azure takes, however long or odd the deployment's own name is."""
    own = [each for each in chosen.resources if HERE in each["id"]]
    tops = [each for each in own if each["type"].count("/") == 1]
    assert {each["type"] for each in tops} == NAMES.keys()
    for each in tops:
        assert re.fullmatch(NAMES[each["type"]], each["name"]), each["id"]


def test_two_deployments_share_a_group(plain: Deployment, chosen: Deployment) -> None:
    """Two deployments in one group have nothing in common there."""
    one, two = (
        {each["id"] for each in found.resources if HERE in each["id"]} for found in (plain, chosen)
    )
    assert one
    assert not one & two


def test_an_alert_tells_of_findings(plain: Deployment) -> None:
    """The alert on findings looks back twice as far as it runs apart, at late arrivals too."""
    found, _ = plain.of_type(ALERTS)
    rule = properties(found)
    (condition,) = rule["criteria"]["allOf"]
    assert (rule["evaluationFrequency"], rule["windowSize"]) == ("PT15M", "PT30M")
    assert rule["overrideQueryTimeRange"] == "P2D"  # older rows are stamped anew on arrival
    assert "ingestion_time() " in condition["query"].replace("\n", " ")
    assert "ago(30m)" in condition["query"]
    assert (condition["operator"], condition["threshold"]) == ("GreaterThan", 0)


def test_an_alert_tells_of_silence(plain: Deployment, chosen: Deployment) -> None:
    """A workspace without a good run for three hours is told of: fewer examined than watched."""
    _, found = plain.of_type(ALERTS)
    rule = properties(found)
    (condition,) = rule["criteria"]["allOf"]
    assert (rule["windowSize"], rule["evaluationFrequency"]) == ("PT3H", "PT1H")
    assert (condition["timeAggregation"], condition["operator"]) == ("Count", "LessThan")
    assert condition["threshold"] == 1
    assert "dimensions" not in condition
    assert 'Status != "Failure"' in condition["query"]
    ids = r"createArray\(reference\([^()]+\)\.customerId\)"
    assert re.search(rf"""'{{workspaceIds}}', join\({ids}, '", "'\)\)\]$""", condition["query"])
    _, found = chosen.of_type(ALERTS)
    assert properties(found)["criteria"]["allOf"][0]["threshold"] == 2


def test_alerts_query_as_an_identity(plain: Deployment) -> None:
    """Alert rules query as an identity of their own, and do not wait for tables to have rows."""
    app = set(plain.one("Microsoft.Web/sites")["identity"]["userAssignedIdentities"])
    for each in plain.of_type(ALERTS):
        rule = properties(each)
        assert each["kind"] == "LogAlert"
        (identity,) = each["identity"]["userAssignedIdentities"]
        assert "id-impact-alerts-" in identity
        assert identity not in app
        assert rule["scopes"] == [WORKSPACE.lower()]
        assert (rule["enabled"], rule["skipQueryValidation"]) == (True, True)
        assert rule["autoMitigate"] is True


def test_mail_is_optional(plain: Deployment, chosen: Deployment) -> None:
    """Alerts go to an action group with the address that was given, and to none without."""
    assert plain.of_type("Microsoft.Insights/actionGroups") == []
    assert [properties(each)["actions"] for each in plain.of_type(ALERTS)] == [
        {"actionGroups": []}
    ] * 2
    group = chosen.one("Microsoft.Insights/actionGroups")
    assert properties(group)["emailReceivers"][0]["emailAddress"] == "soc@example.com"
    assert len(properties(group)["groupShortName"]) <= 12
    for each in chosen.of_type(ALERTS):
        assert properties(each)["actions"] == {"actionGroups": [group["id"]]}


def test_the_workbook_belongs_to_the_workspace(plain: Deployment) -> None:
    """The workbook is shared, is shown with the workspace, and holds what workbook.json does."""
    workbook = plain.one("Microsoft.Insights/workbooks")
    assert workbook["kind"] == "shared"
    assert properties(workbook)["sourceId"] == WORKSPACE.lower()
    assert properties(workbook)["category"] == "sentinel"


def test_the_sample_allowlist(plain: Deployment, chosen: Deployment) -> None:
    """A sample allowlist is made on request only, where the app looks, and every entry is read."""
    assert plain.of_type(WATCHLIST) == []
    made = chosen.one(WATCHLIST)
    assert made["name"] == chosen.settings["WATCHLIST_ALIAS"] == "OfficeNetworks"
    sample = properties(made)
    assert sample["contentType"] == "text/csv"
    assert sample["displayName"] == made["name"]
    assert sample["provider"]
    rows = list(csv.DictReader(io.StringIO(sample["rawContent"])))
    assert sample["itemsSearchKey"] == "IPOrRange"
    allowlist = Allowlist.of([row["IPOrRange"] for row in rows])
    assert (allowlist.entries, allowlist.invalid) == (len(rows), ())
    assert len(rows) >= 4


def test_tags(chosen: Deployment) -> None:
    """Everything that takes tags has those that were given, and the name azd knows it by."""
    tagged = [each for each in chosen.resources if "location" in each]
    assert len(tagged) == 11
    for each in tagged:
        assert each["tags"].items() >= {"owner": "soc", "azd-env-name": CHOSEN["name"]}.items()
