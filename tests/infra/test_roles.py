"""The deployment assigns exactly the documented roles, each with the narrowest scope."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.infra.compiler import CHOSEN, INFRA, OTHER, WORKSPACE, Deployment, call, deploy
from tests.support import ROOT

ASSIGNMENT = "Microsoft.Authorization/roleAssignments"
ROLES = {
    "3b03c2da-16b3-4a49-8834-0f8130efdd3b": "Log Analytics Data Reader",
    "73c42c96-874c-492b-b04d-ab87d138a893": "Log Analytics Reader",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
}
# The identities that a deployment makes, by the names of those that it was given instead.
BROUGHT = {"id-app": "id-impact", "id-alerts": "id-impact-alerts"}
SOURCES = ["AADManagedIdentitySignInLogs", "AzureActivity", "Watchlist"]
OWN = ["ManagedIdentityImpact_CL", "ManagedIdentityImpactRuns_CL"]
# The documentation's names of the scopes, by resource type.
SCOPES = {
    "Microsoft.OperationalInsights/workspaces": "each workspace",
    "Microsoft.Insights/dataCollectionRules": "the data collection rule",
    "Microsoft.Insights/components": "the Application Insights component",
    "Microsoft.Storage/storageAccounts": "the app's storage account",
}


class Granted(NamedTuple):
    """A role assignment; `who` and `scope` are resource names; no condition means no tables."""

    who: str
    role: str
    kind: str
    scope: str
    tables: list[str]


def granted(found: Deployment) -> list[Granted]:
    """Return the role assignments of a deployment, each checked in full."""
    read = []
    for each in found.of_type(ASSIGNMENT):
        properties = each["properties"]
        assert properties["principalType"] == "ServicePrincipal"
        principal = properties["principalId"].strip("[]")
        (role,) = re.findall(r"/roleDefinitions/([0-9a-f-]{36})$", properties["roleDefinitionId"])
        (scope,) = re.findall(rf"^\[extensionResourceId\('([^']+)', '{ASSIGNMENT}', ", each["id"])
        assert each["name"] == f"[guid('{scope}', {principal}, '{role}')]"
        (who,) = re.findall(r"/userAssignedIdentities/(\S+?)(?:-[a-z0-9]{13})?', ", principal)
        who = BROUGHT.get(who, who)
        (kind, name) = re.findall(r"/providers/([^/]+/[^/]+)/([^/]+)$", scope)[0]
        condition = properties.get("condition")
        tables = tables_of(condition) if condition else []
        assert properties.get("conditionVersion") == ("2.0" if condition else None)
        read.append(Granted(who, ROLES[role], kind, re.sub(r"-?[a-z0-9]{13}$", "", name), tables))
    return read


def tables_of(condition: str) -> list[str]:
    """Return the tables that a condition permits; it must have the documented form."""
    action = r"Microsoft\.OperationalInsights/workspaces/tables/data/read"
    named = (
        r"@Resource\[Microsoft\.OperationalInsights/workspaces/tables:name\] StringEquals '(\w+)'"
    )
    assert re.fullmatch(
        rf"\(\(!\(ActionMatches\{{'{action}'\}}\)\) OR \({named}( OR {named})*\)\)", condition
    )
    return re.findall(named, condition)


def test_roles_of_the_default_deployment(plain: Deployment) -> None:
    """The app reads three tables, sends rows and uses its storage; the alerts read our tables."""
    assert granted(plain) == [
        ("id-impact", "Storage Blob Data Owner", "Microsoft.Storage/storageAccounts", "st", []),
        (
            *("id-impact", "Log Analytics Data Reader"),
            *("Microsoft.OperationalInsights/workspaces", "law-security", SOURCES),
        ),
        (
            *("id-impact-alerts", "Log Analytics Data Reader"),
            *("Microsoft.OperationalInsights/workspaces", "law-security", OWN),
        ),
        (
            *("id-impact", "Monitoring Metrics Publisher"),
            *("Microsoft.Insights/dataCollectionRules", "dcr-impact", []),
        ),
        (
            *("id-impact", "Monitoring Metrics Publisher"),
            *("Microsoft.Insights/components", "appi-impact", []),
        ),
    ]


def test_roles_without_conditions(plain: Deployment, chosen: Deployment) -> None:
    """Without conditions, a role that reads a whole workspace is assigned instead."""
    narrow = [
        each._replace(role="Log Analytics Reader", tables=[]) if each.tables else each
        for each in granted(plain)
    ]
    further = narrow[1]._replace(scope="other-security")
    assert granted(chosen) == [*narrow[:2], further, *narrow[2:]]


def test_every_workspace_is_readable(chosen: Deployment) -> None:
    """A further workspace is readable too, and one that is given twice has one assignment."""
    readable = [
        re.findall(r"^\[extensionResourceId\('([^']+)'", each["id"])[0].lower()
        for each in chosen.of_type(ASSIGNMENT)
        if "/id-alerts'" not in each["id"] and "/workspaces/" in each["id"]
    ]
    assert readable == [WORKSPACE.lower(), OTHER.lower()]


def test_the_workspace_s_case_does_not_matter(plain: Deployment, tmp_path: Path) -> None:
    """A second deployment with the workspace's id in another case is the same."""
    again = deploy(tmp_path, {"workspaceResourceId": WORKSPACE.lower()})
    assert [each["id"] for each in again.resources] == [each["id"] for each in plain.resources]


@pytest.mark.parametrize("parameters", [{}, CHOSEN], ids=["plain", "chosen"])
def test_roles_may_be_assigned_by_others(
    request: pytest.FixtureRequest, tmp_path: Path, parameters: dict[str, object]
) -> None:
    """Without the right to assign roles, the output has a command for each assignment."""
    assigned = request.getfixturevalue("chosen" if parameters else "plain")
    assert assigned.outputs["roleCommands"] == []
    left = deploy(tmp_path, {**parameters, "assignRoles": False})
    assert left.of_type(ASSIGNMENT) == []
    commands = left.outputs["roleCommands"].split("az role assignment create ")[1:]
    listed_roles = [
        (
            *re.findall(r"/userAssignedIdentities/(\S+?)',", command),
            *re.findall(r"--role ([0-9a-f-]{36}) --scope ''(\S+?)''", command)[0],
            re.findall(r"StringEquals \W+(\w+)", command),
        )
        for command in commands
    ]
    assigned_roles = [
        (
            *re.findall(r"/userAssignedIdentities/(\S+?)',", each["properties"]["principalId"]),
            each["properties"]["roleDefinitionId"].rpartition("/")[2],
            *re.findall(r"extensionResourceId\('([^']+)'", each["id"]),
            re.findall(r"StringEquals '(\w+)'", each["properties"].get("condition") or ""),
        )
        for each in assigned.of_type(ASSIGNMENT)
    ]
    assert sorted(_folded(listed_roles)) == sorted(_folded(assigned_roles))


def _folded(assignments: list[tuple[object, ...]]) -> list[str]:
    """Return assignments in a form that ignores case."""
    return [str(each).lower() for each in assignments]


def test_commands_survive_the_shell(tmp_path: Path) -> None:
    """A shell splits a command into exactly the options that az expects."""
    condition = "library.readerCondition('conditioned', ['A_CL', 'B'])"
    reader = f"library.readerRole('conditioned'), {condition}"
    found = call(
        tmp_path,
        "modules/roles.bicep",
        {
            "listed_roles": f"string = library.assignCommand('/scope', 'who', {reader})",
            "plain": "string = library.assignCommand('/scope', 'who', 'role', null)",
        },
        {},
    )
    _, _, *listed_roles = shlex.split(found["listed_roles"])
    options = dict(zip(listed_roles[2::2], listed_roles[3::2], strict=True))
    assert tables_of(options.pop("--condition")) == ["A_CL", "B"]
    assert options == {
        "--assignee-object-id": "who",
        "--assignee-principal-type": "ServicePrincipal",
        "--role": "3b03c2da-16b3-4a49-8834-0f8130efdd3b",
        "--scope": "/scope",
        "--condition-version": "2.0",
    }
    assert "--condition" not in found["plain"]


def test_the_documentation_lists_the_roles(plain: Deployment, chosen: Deployment) -> None:
    """The documented table of roles equals the assignments: role, identity and scope."""
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    listed = re.findall(r"^\| (app|alerts) \| ([^|]+) \| ([^|]+) \|", page, re.MULTILINE)
    assigned_roles = set()
    for found in (plain, chosen):
        for each in granted(found):
            who = "alerts" if each.who.endswith("alerts") else "app"
            scope = SCOPES[each.kind].replace("each", "each" if who == "app" else "the")
            assigned_roles.add((who, each.role, scope))
    listed_roles = {
        (who, role, scope) for who, roles, scope in listed for role in roles.split(", or ")
    }
    assert listed_roles == assigned_roles


def test_no_other_role_is_named() -> None:
    """The template names only the roles of the table, each by its published id."""
    text = (INFRA / "azuredeploy.json").read_text("utf-8")
    ids = set(re.findall(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", text))
    workbook = (INFRA / "workbook.json").read_text("utf-8")
    assert {each for each in ids if each not in workbook} == ROLES.keys()
