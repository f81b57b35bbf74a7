"""A deployment works in every cloud, and for many workspaces in many subscriptions."""

import re
from pathlib import Path
from urllib.parse import quote

from detection.clouds import CLOUDS
from tests.infra.compiler import INFRA, WORKSPACE, Deployment, call, deploy

FURTHER = [
    f"/subscriptions/{number:08}-0000-0000-0000-000000000000/resourceGroups/RG-{number}"
    f"/providers/microsoft.operationalinsights/workspaces/law-{number}"
    for number in range(30)
]


def test_thirty_further_workspaces_are_watched(tmp_path: Path) -> None:
    """Each of many workspaces has its role and its place in the settings, in the given order."""
    found = deploy(tmp_path, {"furtherWorkspaceResourceIds": FURTHER})
    listed = re.findall(r"/([^/']+)', '[^']+'\)\.customerId", found.settings["WORKSPACE_IDS"])
    assert listed == ["law-security", *(f"law-{number}" for number in range(30))]
    scopes = [
        re.findall(r"^\[extensionResourceId\('([^']+)'", each["id"])[0]
        for each in found.of_type("Microsoft.Authorization/roleAssignments")
    ]
    read = [scope.lower() for scope in scopes if "/law-" in scope]
    assert read[1:-1] == [id_.lower() for id_ in FURTHER]


def test_no_cloud_is_named(plain: Deployment) -> None:
    """Every address comes from the cloud that is deployed to."""
    assert "environment().name" in plain.settings["AZURE_CLOUD"]
    hosts = r"azure\.(com|us|cn)|windows\.net|azurewebsites|chinacloudapi|usgovcloudapi"
    for each in INFRA.rglob("*.bicep"):
        code = re.sub(
            r"^\s*//.*|@description\(.*|#disable.*", "", each.read_text("utf-8"), flags=re.MULTILINE
        )
        assert not re.search(hosts, code), each.name


def test_links_lead_to_the_portal_of_the_cloud(plain: Deployment, tmp_path: Path) -> None:
    """Links to workbook, function app and queries begin with the cloud's portal and the tenant."""
    links = plain.outputs["portalLinks"]
    assert len(re.findall(r"environment\(\)\.portal", links)) == 4
    portals = [cloud.portal for cloud in CLOUDS.values()]
    query = "'ManagedIdentityImpact() | take 1'"
    pages = {
        "pages": f"library.resourcePage(each, 't', '{WORKSPACE}')",
        "queries": f"library.logsPage(each, 't', '{WORKSPACE}', {query})",
        "workbooks": f"library.workbookPage(each, 't', '{WORKSPACE}', '/a/b', 'My page')",
    }
    found = call(
        tmp_path,
        "links.bicep",
        {name: f"array = map(portals, each => {page})" for name, page in pages.items()},
        {"portals": portals},
    )
    assert found["pages"] == [f"{portal}/#@t/resource{WORKSPACE}" for portal in portals]
    for portal, query in zip(portals, found["queries"], strict=True):
        assert query.startswith(f"{portal}/#@t/blade/Microsoft_Azure_Monitoring_Logs/LogsBlade/")
        assert query.endswith("/query/ManagedIdentityImpact%28%29%20%7C%20take%201/timespan/P7D")
        assert WORKSPACE not in query  # encoded, so that it is one part of the address
    blade = "blade/AppInsightsExtension/UsageNotebookBlade"
    names = "ConfigurationId/%2Fa%2Fb/Type/sentinel/WorkbookTemplateName/My%20page"
    assert found["workbooks"] == [
        f"{portal}/#@t/{blade}/ComponentId/{quote(WORKSPACE, safe='')}/{names}"
        for portal in portals
    ]
