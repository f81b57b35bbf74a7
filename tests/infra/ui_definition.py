"""The schema of a portal form, createUiDefinition.json, for the elements that the project uses.

Written from the pages of the elements: https://learn.microsoft.com/azure/azure-resource-manager
/managed-applications/create-uidefinition-elements. The published schema, 0.1.2-preview
/CreateUIDefinition.MultiVm.json in Azure/azure-resource-manager-schemas, is older than the pages.
It has no ResourceSelector, no `config` and no descriptions in a drop-down list, and it requires
`subLabel` and `bladeTitle` of a step, which the pages leave out. Here a step needs both.
"""

from typing import Any

TEXT = {"type": "string", "minLength": 1}
FLAG = {"type": "boolean"}
LABELLED = {"label": TEXT, "toolTip": TEXT}


def closed(needed: list[str], /, **properties: Any) -> dict[str, Any]:
    """Return the schema of an object that has these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": needed,
        "additionalProperties": False,
    }


def several(items: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a list with at least one item."""
    return {"type": "array", "minItems": 1, "items": items}


def element(type_: str, needed: list[str], /, **properties: Any) -> dict[str, Any]:
    """Return the schema of an element; each has a name and a type."""
    named = {"name": {"type": "string", "pattern": "^[a-zA-Z]+$"}, "type": {"const": type_}}
    return closed(["name", "type", *needed], **named, **properties)


def choice(**more: Any) -> dict[str, Any]:
    """Return the schema of the constraints of an element that offers values."""
    allowed = closed(["label", "value"], label=TEXT, value=TEXT, **more)
    return closed(["allowedValues"], required=FLAG, allowedValues=several(allowed))


ELEMENTS = [
    element(
        "Microsoft.Common.InfoBox",
        ["options"],
        options=closed(
            ["icon", "text"],
            icon={"enum": ["None", "Info", "Warning", "Error"]},
            text=TEXT,
            uri=TEXT,
        ),
    ),
    element(
        "Microsoft.Common.TextBox",
        ["label"],
        **LABELLED,
        defaultValue=TEXT,
        placeholder=TEXT,
        constraints=closed(
            [],
            required=FLAG,
            validations=several(closed(["regex", "message"], regex=TEXT, message=TEXT)),
        ),
    ),
    element(
        "Microsoft.Common.DropDown",
        ["label", "constraints"],
        **LABELLED,
        defaultValue=TEXT,
        multiLine=FLAG,
        constraints=choice(description=TEXT),
    ),
    element(
        "Microsoft.Common.OptionsGroup",
        ["label", "constraints"],
        **LABELLED,
        defaultValue=TEXT,
        constraints=choice(),
    ),
    # No page gives a check box a default value: it begins unchecked.
    element("Microsoft.Common.CheckBox", ["label"], **LABELLED),
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
]
# The published schema takes no element that depends on the subscription into the basics.
BASICS = [each for each in ELEMENTS if "Common" in each["properties"]["type"]["const"]]

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
            config=closed(
                ["basics"],
                basics=closed(
                    [],
                    subscription=closed(["resourceProviders"], resourceProviders=several(TEXT)),
                    resourceGroup=closed(["allowExisting"], allowExisting=FLAG),
                ),
            ),
            basics={"type": "array", "items": {"oneOf": BASICS}},
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
                    elements=several({"oneOf": ELEMENTS}),
                ),
            },
            outputs={"type": "object", "additionalProperties": {"type": "string"}},
        ),
    },
)
