"""The form of the Deploy button fills parameters of the template, and refuses wrong addresses."""

import json
import re
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from scripts.node import NODE
from tests.infra.compiler import INFRA, WORKSPACE, deploy
from tests.support import ROOT

FORM = json.loads((INFRA / "createUiDefinition.json").read_bytes())
TEMPLATE = json.loads((INFRA / "azuredeploy.json").read_bytes())
PARAMETERS = FORM["parameters"]
STEPS = {step["name"]: step["elements"] for step in PARAMETERS["steps"]}

TEXT = {"type": "string", "minLength": 1}
FLAG = {"type": "boolean"}


def closed(needed: list[str], /, **properties: Any) -> dict[str, Any]:
    """Return the schema of an object that has these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": needed,
        "additionalProperties": False,
    }


def element(type_: str, needed: list[str], /, **properties: Any) -> dict[str, Any]:
    """Return the schema of an element; each has a name and a type."""
    named = {"name": {"type": "string", "pattern": "^[a-zA-Z]+$"}, "type": {"const": type_}}
    return closed(["name", "type", *needed], **named, **properties)


# Written from the pages of each element: https://learn.microsoft.com/azure/azure-resource-manager
# /managed-applications/create-uidefinition-elements. The published schema of the whole file,
# 0.1.2-preview/CreateUIDefinition.MultiVm.json in Azure/azure-resource-manager-schemas, requires
# subLabel and bladeTitle of a step, which the pages leave out. It knows only the handler
# Microsoft.Compute.MultiVm, where the pages say "always Microsoft.Azure.CreateUIDef".
LABELLED = {"label": TEXT, "toolTip": TEXT}
ELEMENTS = [
    element(
        "Microsoft.Common.InfoBox",
        ["options"],
        visible=FLAG,
        options=closed(
            ["icon", "text"],
            icon={"enum": ["None", "Info", "Warning", "Error"]},
            text=TEXT,
            uri=TEXT,
        ),
    ),
    element(
        "Microsoft.Solutions.ResourceSelector",
        ["label", "resourceType"],
        **LABELLED,
        resourceType={"type": "string", "pattern": r"^[\w.]+/\w+$"},
        constraints=closed([], required=FLAG),
        options=closed(
            [],
            filter=closed(
                [],
                subscription={"enum": ["all", "onBasics"]},
                location={"enum": ["all", "onBasics"]},
            ),
        ),
    ),
    element(
        "Microsoft.Common.DropDown",
        ["label", "constraints"],
        **LABELLED,
        defaultValue=TEXT,
        constraints=closed(
            ["allowedValues"],
            required=FLAG,
            allowedValues={
                "type": "array",
                "minItems": 1,
                "items": closed(["label", "value"], label=TEXT, value=TEXT),
            },
        ),
    ),
    element(
        "Microsoft.Common.TextBox",
        ["label"],
        **LABELLED,
        placeholder=TEXT,
        constraints=closed(
            [],
            required=FLAG,
            validations={
                "type": "array",
                "items": closed(["regex", "message"], regex=TEXT, message=TEXT),
            },
        ),
    ),
    element("Microsoft.Common.CheckBox", ["label"], **LABELLED, defaultValue=FLAG),
]
LISTED = {"type": "array", "items": {"oneOf": ELEMENTS}}
SCHEMA = closed(
    ["$schema", "handler", "version", "parameters"],
    **{
        "$schema": {
            "const": "https://schema.management.azure.com/schemas/0.1.2-preview"
            "/CreateUIDefinition.MultiVm.json#"
        },
        "handler": {"const": "Microsoft.Azure.CreateUIDef"},
        "version": {"const": "0.1.2-preview"},
        "parameters": closed(
            ["basics", "steps", "outputs"],
            basics=LISTED,
            steps={
                "type": "array",
                "items": closed(
                    ["name", "label", "subLabel", "bladeTitle", "elements"],
                    name=TEXT,
                    label=TEXT,
                    subLabel=closed(
                        ["preValidation", "postValidation"], preValidation=TEXT, postValidation=TEXT
                    ),
                    bladeTitle=TEXT,
                    elements=LISTED,
                ),
            },
            outputs={"type": "object", "additionalProperties": {"type": "string"}},
        ),
    },
)

# The form as somebody fills it in: the value of each element.
FILLED = {
    "workspace": {"id": WORKSPACE, "name": "Law-Security", "location": "westeurope"},
    "severity": "High",
    "emails": "soc@example.com, on-call@example.org",
    "assignRoles": False,
    "monitoringInWorkspaceGroup": True,
    "sampleWatchlist": False,
}


def evaluated(output: str, values: dict[str, Any]) -> Any:
    """Return the value of an output, in the few forms that the form uses."""
    text = output[1:-1]
    assert output == f"[{text}]"
    if text == "location()":
        return "northeurope"
    if picked := re.fullmatch(r"basics\('(\w+)'\)\.id", text):
        return values[picked[1]]["id"]
    if given := re.fullmatch(r"steps\('\w+'\)\.(\w+)", text):
        return values[given[1]]
    form = (
        r"if\(empty\((steps\('\w+'\)\.(\w+))\), parse\('\[\]'\), "
        r"split\(replace\(\1, ' ', ''\), ','\)\)"
    )
    listed = re.fullmatch(form, text)
    assert listed, output
    value = values[listed[2]]
    return value.replace(" ", "").split(",") if value else []


def test_the_form_has_its_schema() -> None:
    """Every element has the properties that the portal documents for it, and no others."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(FORM, SCHEMA)


def test_a_misspelt_property_would_be_seen() -> None:
    """The schema refuses a property that no element has."""
    broken = json.loads(json.dumps(FORM))
    broken["parameters"]["basics"][1]["resourcetype"] = "x"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, SCHEMA)


def test_outputs_are_parameters() -> None:
    """Every output is a parameter of the template, and every required parameter is an output."""
    outputs = PARAMETERS["outputs"].keys()
    parameters = TEMPLATE["parameters"]
    assert outputs <= parameters.keys()
    assert {name for name, each in parameters.items() if "defaultValue" not in each} <= outputs


def test_outputs_refer_to_elements_that_exist() -> None:
    """Every reference names a step and an element in it."""
    text = json.dumps(PARAMETERS["outputs"])
    basics = {each["name"] for each in PARAMETERS["basics"]}
    references = re.findall(r"steps\('(\w+)'\)\.(\w+)", text)
    assert references
    assert set(re.findall(r"basics\('(\w+)'\)", text)) <= basics
    for step, name in references:
        assert name in {each["name"] for each in STEPS[step]}
    elements = [*PARAMETERS["basics"], *chain.from_iterable(STEPS.values())]
    named = [each["name"] for each in elements]
    assert len(named) == len(set(named))


def test_choices_are_those_of_the_template() -> None:
    """The severities are those of the template, the default is the same, and so are the flags."""
    severity, _ = STEPS["alerts"]
    listed = severity["constraints"]["allowedValues"]
    parameter = TEMPLATE["parameters"]["alertSeverity"]
    assert {each["value"] for each in listed} == set(parameter["allowedValues"])
    (default,) = [each["value"] for each in listed if each["label"] == severity["defaultValue"]]
    assert default == parameter["defaultValue"]
    for each in STEPS["rights"]:
        assert each["defaultValue"] == TEMPLATE["parameters"][each["name"]]["defaultValue"]


@pytest.mark.parametrize("emails", [FILLED["emails"], ""], ids=["two", "none"])
def test_a_filled_form_deploys(tmp_path: Path, emails: str) -> None:
    """The values of a filled form are accepted by the template."""
    values = FILLED | {"emails": emails}
    given = {name: evaluated(each, values) for name, each in PARAMETERS["outputs"].items()}
    assert given["alertEmails"] == (["soc@example.com", "on-call@example.org"] if emails else [])
    found = deploy(tmp_path, given)
    assert found.one("Microsoft.Web/sites")["location"] == "northeurope"


ADDRESSES = {
    **dict.fromkeys(
        [
            *("", "a@example.com", "a.b+c@mail.example.com", "a@x.com, b@y.org"),
            *("a@x.com,b@y.org,c@z.net", "a@x.com , b@y.org"),
        ],
        True,
    ),
    **dict.fromkeys(
        [
            *("a", "a@b", "@x.com", "a@", "a b@x.com", "a@x.com;b@y.org", "a@x.com,", ",a@x.com"),
            *("a@x.com b@y.org", "a@@x.com", "a@x..com", "<a@x.com>", "A <a@x.com>"),
        ],
        False,
    ),
}


def test_addresses_are_checked_as_they_are_typed() -> None:
    """The form's own check accepts lists of addresses, and refuses what is none."""
    _, emails = STEPS["alerts"]
    (check,) = emails["constraints"]["validations"]
    script = (
        "const [r, ts] = JSON.parse(process.argv[1]); const x = new RegExp(r);"
        "console.log(JSON.stringify(ts.map(t => x.test(t))))"
    )
    given = json.dumps([check["regex"], list(ADDRESSES)])
    answer = subprocess.run(
        [NODE, "-e", script, given], capture_output=True, check=True, encoding="utf-8"
    )
    assert dict(zip(ADDRESSES, json.loads(answer.stdout), strict=True)) == ADDRESSES


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
