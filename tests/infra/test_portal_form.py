"""The form of the Deploy button fills parameters of the template."""

import json
import re
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from detection.ranking.score import SEVERITY_BANDS
from tests.infra.compiler import ACTION_GROUP, INFRA, OTHER_ACTION_GROUP, WORKSPACE, deploy
from tests.infra.portal_form import DEFINITION, ELEMENTS, OUTPUTS, STEPS, offers, outputs
from tests.infra.ui_definition import SCHEMA
from tests.infra.ui_expressions import evaluate
from tests.support import ROOT

TEMPLATE = json.loads((INFRA / "azuredeploy.json").read_bytes())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
TYPES = {"string": str, "int": int, "bool": bool, "array": list, "object": dict}


def resolved(parameter: dict[str, Any]) -> dict[str, Any]:
    """Return a parameter with its type's definition, if it refers to one."""
    if "$ref" not in parameter:
        return parameter
    kind = parameter["$ref"].removeprefix("#/definitions/")
    return {**TEMPLATE["definitions"][kind], **parameter}


PARAMETERS = {name: resolved(each) for name, each in TEMPLATE["parameters"].items()}


def test_the_form_has_its_schema() -> None:
    """Every element has the properties that the portal documents for it, and no others."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    VALIDATOR.validate(DEFINITION)


@pytest.mark.parametrize("name", ELEMENTS)
def test_a_misspelt_property_is_seen(name: str) -> None:
    """The schema refuses an element one of whose properties has another name."""
    for key in ELEMENTS[name]:
        broken = json.loads(json.dumps(DEFINITION))
        steps = broken["parameters"]["steps"]
        everywhere = [broken["parameters"]["basics"], *(step["elements"] for step in steps)]
        (element,) = [each for each in chain.from_iterable(everywhere) if each["name"] == name]
        element[f"{key}s"] = element.pop(key)
        assert not VALIDATOR.is_valid(broken), key


def test_elements_have_names_of_their_own() -> None:
    """No two elements and no two steps have the same name."""
    assert len(ELEMENTS) == sum(map(len, STEPS.values()))
    assert len(STEPS) == 1 + len(DEFINITION["parameters"]["steps"])


def test_outputs_refer_to_elements_that_exist() -> None:
    """Every reference names an element of its step, and every input reaches an output."""
    text = json.dumps(OUTPUTS)
    references = [("", element) for element in re.findall(r"basics\('(\w+)'\)", text)]
    references += re.findall(r"steps\('(\w+)'\)\.(\w+)", text)
    assert len(references) == len(re.findall(r"\b(?:basics|steps)\(", text))
    inputs = {
        (step, each["name"])
        for step, elements in STEPS.items()
        for each in elements
        if each["type"] != "Microsoft.Common.InfoBox"
    }
    assert set(references) == inputs


def test_outputs_are_parameters() -> None:
    """Every output is a parameter of its type, and every required parameter is an output."""
    for name, value in outputs().items():
        assert type(value) is TYPES[PARAMETERS[name]["type"]], name
    required = {name for name, each in PARAMETERS.items() if "defaultValue" not in each}
    assert required <= OUTPUTS.keys()


def test_a_form_that_nobody_changed_gives_the_defaults() -> None:
    """With nothing but a workspace picked, each parameter has the default of the template."""
    known = {"location": "northeurope", "workspaceResourceId": WORKSPACE}
    defaults = {name: PARAMETERS[name]["defaultValue"] for name in OUTPUTS.keys() - known.keys()}
    assert outputs() == defaults | known


@pytest.mark.parametrize("element", ["emails", "actionGroups", "tags"])
def test_an_emptied_text_box_is_like_an_untouched_one(element: str) -> None:
    """The form gives the same parameters for a text box without a value and an empty one."""
    assert outputs(**{element: ""}) == outputs(**{element: None}) == outputs()


def test_choices_are_those_of_the_template() -> None:
    """Each list offers the values that the template takes, within its limits."""
    for element, parameter in (("severity", "alertSeverity"), ("tableAccess", "tableAccess")):
        offered = {each["value"] for each in offers(ELEMENTS[element])}
        assert offered == set(PARAMETERS[parameter]["allowedValues"])
    days = [int(each["value"]) for each in offers(ELEMENTS["retention"])]
    limits = PARAMETERS["retentionInDays"]
    assert limits["minValue"] <= min(days) < max(days) <= limits["maxValue"]
    assert [each["label"] for each in offers(ELEMENTS["retention"])] == [f"{n} days" for n in days]


def test_severities_are_explained_by_their_scores() -> None:
    """The line under each severity names the least score of a finding that has it."""
    lines = {each["value"]: each["description"] for each in offers(ELEMENTS["severity"])}
    assert len(lines) == len(SEVERITY_BANDS)
    for least, severity in SEVERITY_BANDS:
        assert re.findall(r"\d+", lines[severity]) == ([str(least)] if least else [])


def test_texts_name_outputs_that_exist() -> None:
    """An output that a text of the form names is one of the template."""
    named = re.findall(r"\boutput (\w+)", json.dumps(DEFINITION))
    assert len(named) == 3
    assert set(named) <= TEMPLATE["outputs"].keys()


@pytest.mark.parametrize(
    "expression",
    [
        "steps('a').b",
        "[steps('b').a]",
        "[int(steps('a').c)]",
        "[unknown('a')]",
        "[1 + 1]",
        "[x[0]]",
    ],
)
def test_a_wrong_expression_is_seen(expression: str) -> None:
    """An expression that the portal does not know, or that has no value, is an error."""
    with pytest.raises(ValueError, match=r"no expression|Error"):
        evaluate({"name": expression}, {"a": {"b": "1"}}, location="northeurope")


def test_a_filled_form_deploys(tmp_path: Path) -> None:
    """The template accepts the parameters of a form in which everything was changed."""
    given = outputs(
        name="second",
        retention="730",
        tableAccess="workspace",
        sampleWatchlist=True,
        severity="Informational",
        emails="soc@example.com; on-call@example.org",
        actionGroups=f"{ACTION_GROUP}, {OTHER_ACTION_GROUP}",
        roles="output",
        workbook="here",
        tags="owner=soc; environment=a, b",
    )
    unchanged = {name for name, value in outputs().items() if value == given[name]}
    assert unchanged == {"location", "workspaceResourceId"}
    found = deploy(tmp_path, given)
    app = found.one("Microsoft.Web/sites")
    assert app["location"] == "northeurope"
    assert app["tags"].items() >= {"owner": "soc", "environment": "a, b"}.items()
    assert not found.of_type("Microsoft.Authorization/roleAssignments")
    (group,) = found.of_type("Microsoft.Insights/actionGroups")
    receivers = group["properties"]["emailReceivers"]
    assert [each["emailAddress"] for each in receivers] == [
        "soc@example.com",
        "on-call@example.org",
    ]


def test_the_button_leads_to_template_and_form() -> None:
    """The documented command prints the button's address for a published copy of infra/."""
    page = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    (command,) = re.findall(r"^python3 -c '(.*createUIDefinitionUri.*)' (\S+)$", page, re.MULTILINE)
    printed = subprocess.run(
        [sys.executable, "-c", command[0], "https://example.com/a b/infra"],
        capture_output=True,
        check=True,
        encoding="utf-8",
    ).stdout
    base = "https%3A%2F%2Fexample.com%2Fa%20b%2Finfra%2F"
    assert printed.strip() == (
        "https://portal.azure.com/#create/Microsoft.Template"
        f"/uri/{base}azuredeploy.json/createUIDefinitionUri/{base}createUiDefinition.json"
    )
