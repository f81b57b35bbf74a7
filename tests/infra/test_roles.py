"""Who may do what: exactly the documented roles, each no wider than it has to be."""

import os
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.infra.compiler import CHOSEN, INFRA, OTHER, WORKSPACE, Deployment, deploy, evaluate
from tests.support import ROOT

ASSIGNMENT = "Microsoft.Authorization/roleAssignments"
ROLES = {
    "3b03c2da-16b3-4a49-8834-0f8130efdd3b": "Log Analytics Data Reader",
    "73c42c96-874c-492b-b04d-ab87d138a893": "Log Analytics Reader",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
}
SOURCES = ["AADManagedIdentitySignInLogs", "AzureActivity", "Watchlist"]
OWN = ["ManagedIdentityImpact_CL", "ManagedIdentityImpactRuns_CL"]
# The scopes' names in the documents, by their types.
SCOPES = {
    "Microsoft.OperationalInsights/workspaces": "each workspace",
    "Microsoft.Insights/dataCollectionRules": "the data collection rule",
    "Microsoft.Insights/components": "the Application Insights component",
    "Microsoft.Storage/storageAccounts": "the app's storage account",
}


class Granted(NamedTuple):
    """A role assignment; `who` and `scope` are resource names, `tables` empty without condition."""

    who: str
    role: str
    kind: str
    scope: str
    tables: list[str]


def granted(found: Deployment) -> list[Granted]:
    """Return the role assignments of a deployment, each looked at in full."""
    read = []
    for each in found.of_type(ASSIGNMENT):
        properties = each["properties"]
        assert properties["principalType"] == "ServicePrincipal"
        principal = properties["principalId"].strip("[]")
        (role,) = re.findall(r"/roleDefinitions/([0-9a-f-]{36})$", properties["roleDefinitionId"])
        (scope,) = re.findall(rf"^\[extensionResourceId\('([^']+)', '{ASSIGNMENT}', ", each["id"])
        assert each["name"] == f"[guid('{scope}', {principal}, '{role}')]"
        (who,) = re.findall(r"/userAssignedIdentities/(\S+)-[a-z0-9]{13}', ", principal)
        (kind, name) = re.findall(r"/providers/([^/]+/[^/]+)/([^/]+)$", scope)[0]
        condition = properties.get("condition")
        tables = tables_of(condition) if condition else []
        assert properties.get("conditionVersion") == ("2.0" if condition else None)
        read.append(Granted(who, ROLES[role], kind, re.sub(r"-?[a-z0-9]{13}$", "", name), tables))
    return read


def tables_of(condition: str) -> list[str]:
    """Return the tables that a condition leaves readable; it must be of the documented form."""
    action = r"Microsoft\.OperationalInsights/workspaces/tables/data/read"
    named = (
        r"@Resource\[Microsoft\.OperationalInsights/workspaces/tables:name\] StringEquals '(\w+)'"
    )
    assert re.fullmatch(
        rf"\(\(!\(ActionMatches\{{'{action}'\}}\)\) OR \({named}( OR {named})*\)\)", condition
    )
    return re.findall(named, condition)


def test_roles(plain: Deployment) -> None:
    """The app reads three tables, sends, and has its storage; the alerts read the product's own."""
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
    """Where conditions are not to be had, the role that reads a whole workspace stands in."""
    narrow = [
        each._replace(role="Log Analytics Reader", tables=[]) if each.tables else each
        for each in granted(plain)
    ]
    further = narrow[1]._replace(scope="other-security")
    assert granted(chosen) == [*narrow[:2], further, *narrow[2:]]


def test_every_workspace_is_readable(chosen: Deployment) -> None:
    """A further workspace is read where it lies, and one that was given twice is granted once."""
    readable = [
        re.findall(r"^\[extensionResourceId\('([^']+)'", each["id"])[0].lower()
        for each in chosen.of_type(ASSIGNMENT)
        if "id-impact-alerts" not in each["id"] and "/workspaces/" in each["id"]
    ]
    assert readable == [WORKSPACE.lower(), OTHER.lower()]


def test_one_spelling_names_all(plain: Deployment, tmp_path: Path) -> None:
    """Deployed again with the workspace in another case, everything is the same."""
    again = deploy(tmp_path, {"workspaceResourceId": WORKSPACE.lower()})
    assert [each["id"] for each in again.resources] == [each["id"] for each in plain.resources]


@pytest.mark.parametrize("parameters", [{}, CHOSEN], ids=["plain", "chosen"])
def test_roles_may_be_left_to_others(
    request: pytest.FixtureRequest, tmp_path: Path, parameters: dict[str, object]
) -> None:
    """Without the right to assign roles there is a command in place of each assignment."""
    assigned = request.getfixturevalue("chosen" if parameters else "plain")
    assert assigned.outputs["roleCommands"] == []
    left = deploy(tmp_path, {**parameters, "assignRoles": False})
    assert left.of_type(ASSIGNMENT) == []
    commands = left.outputs["roleCommands"].split("az role assignment create ")[1:]
    told = [
        (
            *re.findall(r"/(id-impact\S*?)-[a-z0-9]{13}',", command),
            *re.findall(r"--role ([0-9a-f-]{36}) --scope ''(\S+?)''", command)[0],
            re.findall(r"StringEquals \W+(\w+)", command),
        )
        for command in commands
    ]
    wanted = [
        (
            *re.findall(r"/(id-impact\S*?)-[a-z0-9]{13}',", each["properties"]["principalId"]),
            each["properties"]["roleDefinitionId"].rpartition("/")[2],
            *re.findall(r"extensionResourceId\('([^']+)'", each["id"]),
            re.findall(r"StringEquals '(\w+)'", each["properties"].get("condition") or ""),
        )
        for each in assigned.of_type(ASSIGNMENT)
    ]
    assert sorted(_folded(told)) == sorted(_folded(wanted))


def _folded(assignments: list[tuple[object, ...]]) -> list[str]:
    """Return assignments in a form that compares without case."""
    return [str(each).lower() for each in assignments]


def test_commands_survive_the_shell(tmp_path: Path) -> None:
    """A shell takes a command apart into exactly the options that az expects."""
    roles = Path(os.path.relpath(INFRA, tmp_path), "modules", "roles.bicep").as_posix()
    (tmp_path / "main.bicep").write_text(
        f"import {{ assignCommand, readerCondition, readerRole }} from '{roles}'\n"
        "output told string = assignCommand('/scope', 'who', readerRole('conditioned'), "
        "readerCondition('conditioned', ['A_CL', 'B']))\n"
        "output plain string = assignCommand('/scope', 'who', 'role', null)\n",
        "utf-8",
    )
    found = evaluate(tmp_path, tmp_path / "main.bicep", {})
    _, _, *told = shlex.split(found.outputs["told"])
    options = dict(zip(told[2::2], told[3::2], strict=True))
    assert tables_of(options.pop("--condition")) == ["A_CL", "B"]
    assert options == {
        "--assignee-object-id": "who",
        "--assignee-principal-type": "ServicePrincipal",
        "--role": "3b03c2da-16b3-4a49-8834-0f8130efdd3b",
        "--scope": "/scope",
        "--condition-version": "2.0",
    }
    assert "--condition" not in found.outputs["plain"]


def test_the_documents_list_them(plain: Deployment, chosen: Deployment) -> None:
    """The table of roles says what is granted, to whom and where, and nothing else."""
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    listed = re.findall(r"^\| (app|alerts) \| ([^|]+) \| ([^|]+) \|", page, re.MULTILINE)
    wanted = set()
    for found in (plain, chosen):
        for each in granted(found):
            who = "alerts" if each.who.endswith("alerts") else "app"
            scope = SCOPES[each.kind].replace("each", "each" if who == "app" else "the")
            wanted.add((who, each.role, scope))
    told = {(who, role, scope) for who, roles, scope in listed for role in roles.split(", or ")}
    assert told == wanted


def test_no_role_is_known_beside_them() -> None:
    """Only the roles of the table are named in the template, and each by its published id."""
    text = (INFRA / "azuredeploy.json").read_text("utf-8")
    ids = set(re.findall(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", text))
    workbook = (INFRA / "workbook.json").read_text("utf-8")
    assert {each for each in ids if each not in workbook} == ROLES.keys()
