"""Private networking is a choice, tested in each documented combination."""

import json
import re
from pathlib import Path

import pytest

from tests.infra.compiler import PRIVATE, SUBNETS, Deployment, deploy, properties, refusal
from tests.support import ROOT

APP = {"appSubnetResourceId": PRIVATE["appSubnetResourceId"]}
STORAGE = APP | {"endpointSubnetResourceId": PRIVATE["endpointSubnetResourceId"]}
INGESTION = APP | {"privateLinkScopeResourceId": PRIVATE["privateLinkScopeResourceId"]}
LIMITED = APP | {
    "storageAllowedIpRanges": ["203.0.113.0/24"],
    "storageAllowedSubnetResourceIds": [f"{SUBNETS}/build"],
}
ENDPOINT = "Microsoft.Network/privateEndpoints"
SCOPED = "Microsoft.Insights/privateLinkScopes/scopedResources"
COLLECTION_ENDPOINT = "Microsoft.Insights/dataCollectionEndpoints"
ACCOUNT = "Microsoft.Storage/storageAccounts"


def test_everything_is_public_unless_chosen(plain: Deployment) -> None:
    """By default there is no subnet, no endpoint, no lock, no diagnostic setting and no limit."""
    for kind in (ENDPOINT, SCOPED, COLLECTION_ENDPOINT, "Microsoft.Authorization/locks"):
        assert plain.of_type(kind) == []
    assert plain.of_type("Microsoft.Insights/diagnosticSettings") == []
    assert properties(plain.one("Microsoft.Web/sites")).get("virtualNetworkSubnetId") is None
    account = properties(plain.one(ACCOUNT))
    assert account["publicNetworkAccess"] == "Enabled"
    assert account["networkAcls"]["defaultAction"] == "Allow"
    assert plain.one(ACCOUNT)["sku"] == {"name": "Standard_LRS"}
    component = properties(plain.one("Microsoft.Insights/components"))
    assert component["publicNetworkAccessForIngestion"] == "Enabled"


def test_a_private_deployment_has_no_public_way_in(chosen: Deployment) -> None:
    """Storage, ingestion and traces are reached by the app's subnet and private links only."""
    site = properties(chosen.one("Microsoft.Web/sites"))
    assert site["virtualNetworkSubnetId"] == PRIVATE["appSubnetResourceId"]
    account = properties(chosen.one(ACCOUNT))
    assert account["publicNetworkAccess"] == "Disabled"
    assert account["networkAcls"]["defaultAction"] == "Deny"
    assert chosen.one(ACCOUNT)["sku"] == {"name": "Standard_ZRS"}

    endpoint = properties(chosen.one(ENDPOINT))
    assert endpoint["subnet"] == {"id": PRIVATE["endpointSubnetResourceId"]}
    (connection,) = endpoint["privateLinkServiceConnections"]
    assert connection["properties"] == {
        "privateLinkServiceId": chosen.one(ACCOUNT)["id"],
        "groupIds": ["blob"],
    }
    (zone,) = properties(chosen.one(f"{ENDPOINT}/privateDnsZoneGroups"))["privateDnsZoneConfigs"]
    assert zone["properties"] == {"privateDnsZoneId": PRIVATE["blobDnsZoneResourceId"]}

    collection = chosen.one(COLLECTION_ENDPOINT)
    assert collection["properties"] == {"networkAcls": {"publicNetworkAccess": "Disabled"}}
    rule = properties(chosen.one("Microsoft.Insights/dataCollectionRules"))
    assert rule["dataCollectionEndpointId"] == collection["id"]
    assert collection["id"] in chosen.settings["LOGS_INGESTION_ENDPOINT"]
    assert ".logsIngestion.endpoint" in chosen.settings["LOGS_INGESTION_ENDPOINT"]
    component = chosen.one("Microsoft.Insights/components")
    assert component["properties"]["publicNetworkAccessForIngestion"] == "Disabled"
    scoped = chosen.of_type(SCOPED)
    assert [each["properties"] for each in scoped] == [
        {"linkedResourceId": collection["id"]},
        {"linkedResourceId": component["id"]},
    ]
    scope = str(PRIVATE["privateLinkScopeResourceId"])
    assert all(each["id"].startswith(f"{scope}/scopedResources/") for each in scoped)


def test_the_collection_endpoint_is_in_the_region_of_its_rule(chosen: Deployment) -> None:
    """The data collection endpoint is in the workspace's region, as its rule must be."""
    rule = chosen.one("Microsoft.Insights/dataCollectionRules")
    assert chosen.one(COLLECTION_ENDPOINT)["location"] == rule["location"]


@pytest.mark.parametrize(
    ("network", "public", "endpoints", "scoped"),
    [(APP, "Enabled", 0, 0), (STORAGE, "Disabled", 1, 0), (INGESTION, "Enabled", 0, 2)],
    ids=["app", "storage", "ingestion"],
)
def test_each_part_is_a_choice_of_its_own(
    tmp_path: Path, network: dict[str, object], public: str, endpoints: int, scoped: int
) -> None:
    """A subnet for the app, private storage and private ingestion do not need each other."""
    found = deploy(tmp_path, {"network": network})
    assert properties(found.one(ACCOUNT))["publicNetworkAccess"] == public
    assert len(found.of_type(ENDPOINT)) == endpoints
    assert len(found.of_type(SCOPED)) == scoped
    assert len(found.of_type(COLLECTION_ENDPOINT)) == bool(scoped)
    assert found.of_type(f"{ENDPOINT}/privateDnsZoneGroups") == []  # a policy may register it
    site = properties(found.one("Microsoft.Web/sites"))
    assert site["virtualNetworkSubnetId"] == APP["appSubnetResourceId"]


def test_public_storage_can_be_limited(tmp_path: Path) -> None:
    """Only the given ranges and subnets, and the subnet of the app, may use storage."""
    account = properties(deploy(tmp_path, {"network": LIMITED}).one(ACCOUNT))
    assert account["publicNetworkAccess"] == "Enabled"
    rules = account["networkAcls"]
    assert (rules["defaultAction"], rules["bypass"]) == ("Deny", "None")
    assert rules["ipRules"] == [{"value": "203.0.113.0/24", "action": "Allow"}]
    assert [each["id"] for each in rules["virtualNetworkRules"]] == [
        APP["appSubnetResourceId"],
        f"{SUBNETS}/build",
    ]


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        (
            {k: v for k, v in PRIVATE.items() if not k.startswith("app")},
            (
                "Set appSubnetResourceId too: endpointSubnetResourceId and "
                "privateLinkScopeResourceId would shut out the app itself"
            ),
        ),
        (
            {"storageAllowedIpRanges": ["203.0.113.7"]},
            "Set appSubnetResourceId too: storageAllowedIpRanges would shut out the app itself",
        ),
        (
            STORAGE | LIMITED,
            (
                "With endpointSubnetResourceId, storage has no public access that "
                "storageAllowedIpRanges and storageAllowedSubnetResourceIds could limit"
            ),
        ),
        (
            {"blobDnsZoneResourceId": PRIVATE["blobDnsZoneResourceId"]},
            "blobDnsZoneResourceId needs endpointSubnetResourceId",
        ),
    ],
    ids=["no subnet", "limited without subnet", "limits without effect", "zone alone"],
)
def test_combinations_without_effect_or_storage_are_refused(
    tmp_path: Path, network: dict[str, object], sentence: str
) -> None:
    """A combination that shuts out the app, or that has no effect, is refused with a sentence."""
    assert refusal(tmp_path, {"network": network}) == f"network: {sentence}"


def test_a_misspelt_choice_is_refused(tmp_path: Path) -> None:
    """A choice that does not exist is an error, not a public deployment."""
    with pytest.raises(AssertionError, match='property "appSubnetId" is not allowed'):
        deploy(tmp_path, {"network": {"appSubnetId": "x"}})


def test_diagnostics_go_to_the_workspace_for_traces(chosen: Deployment) -> None:
    """On request, requests to storage and the app's log are kept beside the app's traces."""
    workspace = properties(chosen.one("Microsoft.Insights/components"))["WorkspaceResourceId"]
    found = chosen.of_type("Microsoft.Insights/diagnosticSettings")
    assert [
        (each["properties"]["workspaceId"], [log["category"] for log in each["properties"]["logs"]])
        for each in found
    ] == [
        (workspace, ["StorageRead", "StorageWrite", "StorageDelete"]),
        (workspace, ["FunctionAppLogs"]),
    ]


def test_a_lock_protects_the_memory_and_the_way_of_findings(chosen: Deployment) -> None:
    """On request, the storage account and the data collection rule cannot be deleted."""
    locks = chosen.of_type("Microsoft.Authorization/locks")
    assert {each["properties"]["level"] for each in locks} == {"CanNotDelete"}
    kinds = (ACCOUNT, "Microsoft.Insights/dataCollectionRules")
    for each, kind in zip(locks, kinds, strict=True):
        assert each["id"].startswith(f"{chosen.one(kind)['id']}/providers/Microsoft.Authorization/")


def test_an_identity_can_be_brought(chosen: Deployment, plain: Deployment) -> None:
    """With identities that exist already, no identity is made, and those get the roles."""
    kind = "Microsoft.ManagedIdentity/userAssignedIdentities"
    assert len(plain.of_type(kind)) == 2
    assert chosen.of_type(kind) == []
    (app,) = chosen.one("Microsoft.Web/sites")["identity"]["userAssignedIdentities"]
    assert app.endswith("/id-app")
    assert f"{app}'" in chosen.settings["AZURE_CLIENT_ID"]
    assignments = chosen.of_type("Microsoft.Authorization/roleAssignments")
    assert {
        name
        for each in assignments
        for name in re.findall(
            r"/userAssignedIdentities/([\w-]+)'", each["properties"]["principalId"]
        )
    } == {"id-app", "id-alerts"}


def test_every_choice_is_documented() -> None:
    """The page has each choice of private networking, and an example with all private ones."""
    page = (ROOT / "docs" / "networks.md").read_text("utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == {*PRIVATE, *LIMITED}
    (example,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    given = json.loads(example)
    assert given.keys() == PRIVATE.keys()
    for name, value in given.items():
        form = re.sub(r"<[^>]+>", "[^/]+", value)
        assert re.fullmatch(form, str(PRIVATE[name]))
