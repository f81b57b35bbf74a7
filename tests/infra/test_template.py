"""The compiled template is up to date, described, without secrets, and deploys in order."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from detection.kql.render import FOLDER
from scripts.product import product
from tests.infra.compiler import INFRA, Json, bicep

COMPILED = INFRA / "azuredeploy.json"
TEMPLATE: Json = json.loads(COMPILED.read_bytes())
SOURCES = sorted(INFRA.rglob("*.bicep"))
KINDS = ("Required.", "Optional.", "Conditional.")
DEPLOYMENT = "Microsoft.Resources/deployments"


def named(template: Json) -> dict[str, Json]:
    """Return the resources of a template by symbolic name; by number if it uses no such names."""
    found = template["resources"]
    return {str(at): each for at, each in enumerate(found)} if isinstance(found, list) else found


def templates(template: Json = TEMPLATE) -> Iterator[Json]:
    """Yield a template and all templates nested in it."""
    yield template
    for each in named(template).values():
        if each["type"] == DEPLOYMENT:
            yield from templates(each["properties"]["template"])


def resources() -> Iterator[tuple[str, Json]]:
    """Yield every resource of the template, with its symbolic name."""
    for template in templates():
        for name, each in named(template).items():
            if not each.get("existing") and each["type"] != DEPLOYMENT:
                yield name, each


def without_compiler(value: Any) -> Any:
    """Return a template without the compiler's version."""
    if isinstance(value, dict):
        return {k: without_compiler(v) for k, v in value.items() if k != "_generator"}
    return [without_compiler(each) for each in value] if isinstance(value, list) else value


def before(name: str, template: Json = TEMPLATE) -> set[str]:
    """Return everything that a resource depends on, directly or not."""
    waits = template["resources"][name].get("dependsOn", [])
    return {*waits}.union(*(before(each, template) for each in waits))


def test_values_from_the_product_are_up_to_date() -> None:
    """Columns, sources and settings are those of detection/; `make infra` updates them."""
    assert (INFRA / "product.bicep").read_text("utf-8") == product()


def test_the_compiled_template_is_up_to_date() -> None:
    """Compiling the sources gives the stored template without a warning (`make infra`)."""
    compiled = json.loads(bicep("build", INFRA / "main.bicep", "--stdout"))
    assert without_compiler(compiled) == without_compiler(TEMPLATE)


def test_the_sample_parameters_compile() -> None:
    """The sample parameter file compiles unchanged, with an empty environment."""
    parameters = json.loads(bicep("build-params", INFRA / "main.bicepparam", "--stdout"))
    values = json.loads(parameters["parametersJson"])["parameters"]
    assert values.keys() == {
        *("name", "workspaceResourceId", "furtherWorkspaceResourceIds"),
        *("alertEmails", "actionGroupResourceIds", "pythonVersion"),
    }


def test_nothing_is_downloaded_to_compile() -> None:
    """No module comes from a registry, so the sources compile behind any proxy."""
    assert not any(re.search(r"\b(br|ts)[:/]", path.read_text("utf-8")) for path in SOURCES)


def test_everything_is_described() -> None:
    """Every parameter states whether it is required and what it is; every output what it is."""
    for template in templates():
        for name, each in template.get("parameters", {}).items():
            description = each["metadata"]["description"]
            assert description.startswith(KINDS), name
            assert description.startswith("Optional.") == ("defaultValue" in each), name
        for name, each in template.get("outputs", {}).items():
            assert each["metadata"]["description"], name


def test_only_the_workspace_is_required() -> None:
    """A deployment has one required parameter: the workspace."""
    parameters = TEMPLATE["parameters"].items()
    assert [name for name, each in parameters if "defaultValue" not in each] == [
        "workspaceResourceId"
    ]


def test_no_key_is_read() -> None:
    """No template lists keys or signatures, or contains a connection string."""
    text = COMPILED.read_text("utf-8")
    # This query looks for requests that were signed with a key.
    kql = (FOLDER / "investigate_data_access.kql").read_text("utf-8")
    assert json.dumps(kql) in text
    text = text.replace(json.dumps(kql), "")
    key_functions = (
        r"\blist\w*\(|AccountKey|SharedAccess|DefaultEndpointsProtocol|InstrumentationKey|secure"
    )
    assert not re.search(key_functions, text, re.IGNORECASE)


def test_no_output_is_a_secret() -> None:
    """No output of any template, nor its description, refers to a secret."""
    for template in templates():
        for name, each in template.get("outputs", {}).items():
            text_of_output = json.dumps([name, each])
            assert not re.search(
                r"connection|secret|password|key", text_of_output, re.IGNORECASE
            ), name
            assert not each["type"].startswith("secure")


def test_the_connection_string_is_that_of_application_insights() -> None:
    """The only connection string is that of Application Insights, whose key is disabled."""
    assert COMPILED.read_text("utf-8").count("ConnectionString") == 1
    holders = [each for name, each in resources() if "ConnectionString" in json.dumps(each)]
    (app,) = holders
    assert app["type"] == "Microsoft.Web/sites"
    assert (
        "reference('component').ConnectionString" in app["properties"]["siteConfig"]["appSettings"]
    )


@pytest.mark.parametrize(
    ("later", "earlier"),
    [
        ("ingestion", {"workspace", "identity"}),
        ("functionApp", {"ingestion", "workspace", "storage", "monitoring", "reader", "identity"}),
        ("alerts", {"workspace", "reader", "alertsIdentity"}),
        ("reader", {"identity", "alertsIdentity"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_resources_are_deployed_in_order(later: str, earlier: set[str]) -> None:
    """Tables come before the rule, roles and rule before the app, both before the alerts."""
    assert earlier <= before(later)


def test_tables_are_deployed_one_by_one() -> None:
    """The workspace never has to change two tables at the same time."""
    (table,) = [each for _, each in resources() if each["type"].endswith("/workspaces/tables")]
    assert (table["copy"]["mode"], table["copy"]["batchSize"]) == ("serial", 1)


def test_locations_are_known_at_the_start() -> None:
    """No location is read from a resource, which would fail only during a deployment."""
    for name, each in resources():
        if "location" in each:
            assert each["location"] in {"[parameters('location')]", "global"}, name


def test_each_module_uses_its_own_parameters() -> None:
    """A nested template is evaluated on its own, with the parameters that it gets."""
    for template in templates():
        for each in named(template).values():
            if each["type"] == DEPLOYMENT:
                options = each["properties"]["expressionEvaluationOptions"]
                assert options == {"scope": "inner"}


def test_no_preview_version_is_used() -> None:
    """Every resource has a released API version, except a type that never got a usable one."""
    # https://learn.microsoft.com/azure/templates/microsoft.insights/diagnosticsettings: the only
    # released version, 2016-09-01, has no log categories for blob services.
    unreleased = "Microsoft.Insights/diagnosticSettings"
    versions = {each["apiVersion"] for _, each in resources() if each["type"] != unreleased}
    assert versions
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", version) for version in versions)


def test_assignments_are_named_after_their_content() -> None:
    """An assignment's name follows from its scope, principal and role, so it is found again."""
    assignments = [each for _, each in resources() if each["type"].endswith("/roleAssignments")]
    assert len(assignments) == 4
    for each in assignments:
        assert re.fullmatch(
            r"\[guid\((resourceId|extensionResourceId)\(.+\), parameters\('principalId'\), .+\)\]",
            each["name"],
        )
        assert "scope" in each


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_modules_are_short(path: Path) -> None:
    """No file is longer than a reader can take in at once, apart from parameters and outputs."""
    text = path.read_text("utf-8")
    declared = re.findall(
        r"^@description.*\n(?:@.*\n)*(?:param|output) .*\n\n?", text, re.MULTILINE
    )
    assert len(text.splitlines()) - sum(each.count("\n") for each in declared) <= 260
