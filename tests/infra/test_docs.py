"""What the documentation says of the deployment is so."""

import json
import re

from tests.infra.compiler import INFRA
from tests.support import ROOT
from tests.support.pages import PAGES, blocks

TEMPLATE = json.loads((INFRA / "azuredeploy.json").read_bytes())
RULE = json.loads((INFRA / "sentinel" / "ManagedIdentityImpact.json").read_bytes())
DEPLOY = PAGES["docs/deploy.md"]
COMMANDS = [
    line
    for page in PAGES
    for block in blocks(page, "sh")
    for line in block.replace("\\\n", " ").splitlines()
]


def test_every_choice_is_listed() -> None:
    """The table of parameters has every parameter with its default."""
    rows = dict(re.findall(r"^\| `(\w+)` \| `?([^|`]+?)`? \|", DEPLOY, re.MULTILINE))
    worded = {"[resourceGroup().location]": "the group's"}
    defaults = {}
    for name, each in TEMPLATE["parameters"].items():
        default = each.get("defaultValue") or "none"
        if name == "telemetryWorkspaceResourceId":
            default = "the workspace"
        if each.get("type") == "bool":
            default = json.dumps(each["defaultValue"])
        defaults[name] = worded.get(str(default), str(default))
    assert rows == defaults


def test_commands_name_what_is_there() -> None:
    """Parameters and outputs that a command names are those of a template."""
    text = "\n".join(line for line in COMMANDS if not line.startswith("make "))
    given = re.findall(r"(?<!-)(?<!export )\b(\w+)=", text.replace("--parameters", ""))
    assert given
    assert set(given) <= TEMPLATE["parameters"].keys() | RULE["parameters"].keys()
    asked = re.findall(r"outputs\.(\w+)|\$\(output (\w+)\)", text)
    assert len(asked) >= 4
    assert {one or other for one, other in asked} <= TEMPLATE["outputs"].keys()
    variables = set(re.findall(r"azd env set (\w+)", text))
    sample = (INFRA / "main.bicepparam").read_text("utf-8")
    assert variables <= set(re.findall(r"'([A-Z_]+)'", sample))


def test_the_arithmetic_is_right() -> None:
    """The products in the table of costs are what they are said to be."""
    text = DEPLOY
    assert "730 x 30 s x 2 GB = 43,800; at $0.000026 | $1.14" in text
    assert 730 * 30 * 2 == 43_800
    assert round(43_800 * 0.000026, 2) == 1.14
    assert "876,000 GB-seconds, $22.78" in text
    assert 730 * 600 * 2 == 876_000
    assert round(876_000 * 0.000026, 2) == 22.78
    assert "730 x 1 KB + 100 x 8 KB = 1.5 MB" in text
    assert round((730 + 800) / 1000, 1) == 1.5
    assert "730 x 2 writes x 100 KB, kept 30 days = 146 MB" in text
    assert 730 * 2 * 100 / 1000 == 146


def test_the_schedule_is_hourly() -> None:
    """By default a run is due every full hour, as windows and the alert on silence expect."""
    sample = json.loads((ROOT / "local.settings.sample.json").read_bytes())["Values"]
    assert TEMPLATE["parameters"]["schedule"]["defaultValue"] == sample["DETECTION_SCHEDULE"]
