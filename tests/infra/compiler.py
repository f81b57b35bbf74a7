"""The Bicep compiler, which also evaluates a template for given parameters.

It evaluates names, scopes, loops and conditions as Azure does, without Azure. Values that only
Azure knows, such as an identity's object id, stay expressions in square brackets.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT
from tests.support.effort import IN_CI

INFRA = ROOT / "infra"
BESIDE = ROOT.parent / "shared" / "tools" / "bicep" / "bicep"
MISSING = "the Bicep compiler is not at hand (https://aka.ms/bicep-install)"

SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"
GROUP = "rg-impact"
HERE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/"
# In another subscription and resource group, in a spelling of its owner's.
WORKSPACE = (
    "/subscriptions/22222222-2222-2222-2222-222222222222/resourceGroups/RG-Logs"
    "/providers/Microsoft.OperationalInsights/workspaces/Law-Security"
)
OTHER = WORKSPACE.replace("22222222", "44444444").replace("Law-", "other-")
TRACES = WORKSPACE.replace("Law-Security", "law-platform")
ACTION_GROUP = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-soc"
    "/providers/Microsoft.Insights/actionGroups/ag-soc"
)
OTHER_ACTION_GROUP = ACTION_GROUP.replace("soc", "itsm")
IDENTITY = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-identities"
    "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-"
)
NETWORK = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-network/providers/Microsoft.Network"
SUBNETS = f"{NETWORK}/virtualNetworks/vnet-hub/subnets"
# Private in every way: storage, ingestion and traces.
PRIVATE = {
    "appSubnetResourceId": f"{SUBNETS}/app",
    "endpointSubnetResourceId": f"{SUBNETS}/endpoints",
    "blobDnsZoneResourceId": f"{NETWORK}/privateDnsZones/privatelink.blob.core.windows.net",
    "privateLinkScopeResourceId": (
        "/subscriptions/55555555-5555-5555-5555-555555555555/resourceGroups/rg-hub"
        "/providers/Microsoft.Insights/privateLinkScopes/ampls-hub"
    ),
}
# Every parameter at a value that is not its default, and some workspaces given more than once.
CHOSEN = {
    "name": "A name_of (64) characters, as no resource may have: " + "x" * 12,
    "location": "northeurope",
    "furtherWorkspaceResourceIds": [OTHER, OTHER.lower(), WORKSPACE.lower()],
    "telemetryWorkspaceResourceId": TRACES,
    "tableAccess": "workspace",
    "schedule": "0 30 * * * *",
    "settings": {"LOOKBACK": "PT3H", "DRY_RUN": "true", "WATCHLIST_ALIAS": "OfficeNetworks"},
    "retentionInDays": 30,
    "pythonVersion": "3.12",
    "instanceMemoryMB": 4096,
    "alertSeverity": "Low",
    "alertEmails": ["soc@example.com", "oncall@example.com", "soc@example.com"],
    "actionGroupResourceIds": [ACTION_GROUP, OTHER_ACTION_GROUP],
    "monitoringInWorkspaceGroup": False,
    "sampleWatchlist": True,
    "identityResourceId": f"{IDENTITY}app",
    "alertsIdentityResourceId": f"{IDENTITY}alerts",
    "network": PRIVATE,
    "storageSku": "Standard_ZRS",
    "diagnostics": True,
    "lock": True,
    "tags": {"owner": "soc"},
}

Json = dict[str, Any]


def bicep(*arguments: str | Path, cwd: Path = ROOT) -> str:
    """Run the compiler and return its stdout.

    Skips the test without a compiler, except in CI; fails it if the compiler fails or warns.
    """
    found = str(BESIDE) if BESIDE.exists() else shutil.which("bicep")
    if not found and IN_CI:
        pytest.fail(f"{MISSING}, and CI may not do without")
    if not found:
        pytest.skip(MISSING)
    result = subprocess.run(
        [found, *arguments],
        cwd=cwd,
        env=os.environ | {"DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert result.returncode == 0, result.stderr or result.stdout
    assert not result.stderr
    return result.stdout


@dataclass(frozen=True)
class Deployment:
    """An evaluated main.bicep: its resources, and its outputs by name."""

    document: Json

    @cached_property
    def resources(self) -> list[Json]:
        """Return every resource of the deployment, in any scope."""
        return list(self.document["predictedResources"])

    @cached_property
    def outputs(self) -> dict[str, Any]:
        """Return the outputs by name, each with its value."""
        return dict(self.document["outputs"])

    def of_type(self, kind: str) -> list[Json]:
        """Return the resources of a type."""
        return [each for each in self.resources if each["type"].lower() == kind.lower()]

    def one(self, kind: str) -> Json:
        """Return the only resource of a type."""
        (found,) = self.of_type(kind)
        return found

    @cached_property
    def settings(self) -> dict[str, str]:
        """Return the app's settings."""
        listed = self.one("Microsoft.Web/sites")["properties"]["siteConfig"]["appSettings"]
        settings = {each["name"]: each["value"] for each in listed}
        assert len(settings) == len(listed)
        return settings


def properties(resource: Json) -> Json:
    """Return a resource's properties."""
    return dict(resource["properties"])


def deploy(folder: Path, parameters: Mapping[str, object], group: str = GROUP) -> Deployment:
    """Evaluate main.bicep with these parameters; `folder` is scratch space."""
    values = {"workspaceResourceId": WORKSPACE, **parameters}
    return evaluate(folder, INFRA / "main.bicep", values, group)


def refusal(folder: Path, parameters: Mapping[str, object]) -> str:
    """Return the sentence with which main.bicep refuses these parameters."""
    with pytest.raises(AssertionError) as refused:
        deploy(folder, parameters)
    said = re.findall(r"' is not valid: (.*?)\. Please see", str(refused.value), re.DOTALL)
    assert said, str(refused.value)
    return str(said[0])


def evaluate(
    folder: Path, template: Path, values: Mapping[str, object], group: str = GROUP
) -> Deployment:
    """Evaluate a template with these parameters; `folder` is scratch space."""
    lines = [f"using '{os.path.relpath(template, folder)}'"]
    lines += [f"param {name} = {literal(value)}" for name, value in values.items()]
    (folder / "sample.bicepparam").write_text("\n".join(lines), "utf-8")
    bicep(
        *("snapshot", "sample.bicepparam", "--mode", "overwrite"),
        *("--subscription-id", SUBSCRIPTION, "--resource-group", group),
        *("--tenant-id", "33333333-3333-3333-3333-333333333333"),
        *("--location", "westeurope", "--deployment-name", "main"),
        cwd=folder,
    )
    document = json.loads((folder / "sample.snapshot.json").read_text("utf-8"))
    assert document["diagnostics"] == []
    return Deployment(document)


def call(
    folder: Path, library: str, outputs: Mapping[str, str], values: Mapping[str, object]
) -> dict[str, Any]:
    """Return the values of outputs that call functions of a Bicep file of infra/, by name.

    An output is a type and an expression, in which `library` stands for the file, and the name of
    each of the `values`, lists of texts, for its value.
    """
    path = Path(os.path.relpath(INFRA / library, folder)).as_posix()
    lines = [f"import * as library from '{path}'"]
    lines += [f"param {name} string[]" for name in values]
    lines += [f"output {name} {each}" for name, each in outputs.items()]
    (folder / "main.bicep").write_text("\n".join([*lines, ""]), "utf-8")
    return evaluate(folder, folder / "main.bicep", values).outputs


def literal(value: object) -> str:
    """Return a value in Bicep's syntax."""
    match value:
        case str():
            escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("${", "\\${")
            return f"'{escaped}'"
        case list():
            return f"[{', '.join(map(literal, value))}]"
        case dict():
            return f"{{{', '.join(f'{name}: {literal(each)}' for name, each in value.items())}}}"
        case _:
            return json.dumps(value)
