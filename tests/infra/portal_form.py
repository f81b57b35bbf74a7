"""The form of the Deploy button, taken apart and filled in."""

import json
from itertools import chain
from typing import Any

from tests.infra.compiler import INFRA, WORKSPACE
from tests.infra.ui_expressions import evaluate

DEFINITION = json.loads((INFRA / "createUiDefinition.json").read_bytes())
OUTPUTS = DEFINITION["parameters"]["outputs"]
# The elements of each step; the basics are step "".
STEPS = {"": DEFINITION["parameters"]["basics"]} | {
    step["name"]: step["elements"] for step in DEFINITION["parameters"]["steps"]
}
ELEMENTS = {each["name"]: each for each in chain.from_iterable(STEPS.values())}
# As the portal gives a resource that somebody picked.
PICKED = {"id": WORKSPACE, "name": "Law-Security", "location": "westeurope"}


def outputs(**given: Any) -> dict[str, Any]:
    """Return the outputs of the form with these elements filled in, and a workspace picked."""
    filled = {"workspace": PICKED} | given
    assert filled.keys() <= ELEMENTS.keys()
    values = {
        step: {each["name"]: filled.get(each["name"], initial(each)) for each in elements}
        for step, elements in STEPS.items()
    }
    return evaluate(OUTPUTS, values, location="northeurope")


def initial(element: dict[str, Any]) -> Any:
    """Return the value of an element that nobody touched; None if it has none."""
    default = element.get("defaultValue")
    match element["type"].rsplit(".", 1)[1]:
        case "DropDown" | "OptionsGroup":
            (chosen,) = [each["value"] for each in offers(element) if each["label"] == default]
            return chosen
        case "CheckBox":
            return False
        case _:
            return default


def offers(element: dict[str, Any]) -> list[dict[str, str]]:
    """Return the values that an element offers, each with its label."""
    return list(element["constraints"]["allowedValues"])
