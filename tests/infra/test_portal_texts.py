"""The text boxes of the portal form refuse what the template would refuse, and explain it."""

import json
import subprocess
from pathlib import Path

import pytest

from scripts.node import NODE
from tests.infra.compiler import ACTION_GROUP, OTHER_ACTION_GROUP, WORKSPACE, call
from tests.infra.portal_form import ELEMENTS, outputs

MANY = ", ".join(f"a{number}@example.com" for number in range(100))
LOWER_CASE = ACTION_GROUP.replace("Microsoft.Insights/actionG", "microsoft.insights/actiong")
SMART_DETECTION = ACTION_GROUP.replace("ag-soc", "Application Insights Smart Detection")
ACCEPTED = {
    "name": ["impact", "i", "Team A (2)", "x" * 64],
    "emails": [
        *("a@example.com", "a.b+c@mail.example.com", "a@x.com, b@y.org", "a@x.com,b@y.org,c@z.net"),
        *("a@x.com ; b@y.org", "a@x.com;b@y.org, c@z.net", MANY),
    ],
    "actionGroups": [
        *(ACTION_GROUP, LOWER_CASE, f"{ACTION_GROUP}, {OTHER_ACTION_GROUP}"),
        *(";".join([ACTION_GROUP] * 4), SMART_DETECTION, f"{SMART_DETECTION} ; {ACTION_GROUP}"),
    ],
    "tags": [
        *("owner=soc", "owner=", "cost centre=1, 2", "a=b;c=d", "a=b ; c=d/e?f", "a=;b=\xe4 'x'"),
    ],
}
REFUSED = {
    "name": [" ", " impact", "impact ", "x" * 65],
    "emails": [
        *("a", "a@b", "@x.com", "a@", "a b@x.com", "a@x.com,", ",a@x.com", "a@x.com,,b@y.org"),
        *("a@x.com b@y.org", "a@@x.com", "a@x..com", "<a@x.com>", "A <a@x.com>", f"{MANY}, a"),
    ],
    "actionGroups": [
        *("ag-soc", f"{ACTION_GROUP}/", f"{ACTION_GROUP} {OTHER_ACTION_GROUP}", WORKSPACE),
        *(ACTION_GROUP.replace("/rg-soc", ""), ACTION_GROUP[1:], f"{ACTION_GROUP},"),
        *(";".join([ACTION_GROUP] * 5), f"{ACTION_GROUP} ", f" {ACTION_GROUP}"),
        *(f"{ACTION_GROUP},  {OTHER_ACTION_GROUP}", ACTION_GROUP.replace("/rg-soc", "/ rg-soc")),
    ],
    "tags": [
        *("owner", "=soc", "a=b;", ";a=b", "a=b,c=d", "a/b=c", 'a="b"', "a=b\\", "a=b  c"),
        *("a=b\tc", "a=b ;  c=d", " a=b"),
    ],
}
MATCH = """
const [regex, texts] = JSON.parse(require("fs").readFileSync(0));
console.log(JSON.stringify(texts.map(text => new RegExp(regex).test(text))));
"""


def matches(element: str, texts: list[str]) -> list[bool]:
    """Return for each text whether the text box accepts it, as JavaScript matches it."""
    (check,) = ELEMENTS[element]["constraints"]["validations"]
    answer = subprocess.run(
        [NODE, "-e", MATCH],
        input=json.dumps([check["regex"], texts]),
        capture_output=True,
        check=True,
        encoding="utf-8",
    )
    return list(json.loads(answer.stdout))


def test_every_text_box_is_tried() -> None:
    """The tables of texts have every text box."""
    boxes = {name for name, each in ELEMENTS.items() if each["type"].endswith(".TextBox")}
    assert boxes == ACCEPTED.keys() == REFUSED.keys()


@pytest.mark.parametrize("element", ACCEPTED)
def test_text_is_checked_as_it_is_typed(element: str) -> None:
    """Each text box accepts and refuses what it should, by JavaScript's regular expressions."""
    texts = dict.fromkeys(ACCEPTED[element], True) | dict.fromkeys(REFUSED[element], False)
    assert dict(zip(texts, matches(element, list(texts)), strict=True)) == texts


@pytest.mark.parametrize("element", ACCEPTED)
def test_only_a_required_text_box_refuses_emptiness(element: str) -> None:
    """A text box that may stay empty accepts an empty text, and no other does."""
    assert matches(element, [""]) == [not ELEMENTS[element]["constraints"]["required"]]


def test_the_template_agrees(tmp_path: Path) -> None:
    """The form accepts one address or one action group exactly where the template does."""
    texts = {
        element: [
            text for text in ACCEPTED[element] + REFUSED[element] if not set(text) & set(",;")
        ]
        for element in ("emails", "actionGroups")
    }
    found = call(
        tmp_path,
        "checks.bicep",
        {
            "emails": "bool[] = map(emails, each => library.isMailAddress(each))",
            "actionGroups": (
                "bool[] = map(actionGroups, each => "
                "library.isResourceId(each, 'Microsoft.Insights/actionGroups'))"
            ),
        },
        texts,
    )
    for element, each in texts.items():
        assert dict(zip(each, found[element], strict=True)) == dict(
            zip(each, matches(element, each), strict=True)
        )


@pytest.mark.parametrize(
    ("typed", "emails"),
    [
        ("a@x.com", ["a@x.com"]),
        ("a@x.com, b@y.org ;c@z.net", ["a@x.com", "b@y.org", "c@z.net"]),
    ],
    ids=["one", "three"],
)
def test_addresses_become_a_list(typed: str, emails: list[str]) -> None:
    """Commas and semicolons separate addresses, with blanks around them or without."""
    assert outputs(emails=typed)["alertEmails"] == emails


@pytest.mark.parametrize("typed", ACCEPTED["actionGroups"])
def test_action_groups_become_a_list(typed: str) -> None:
    """Commas and semicolons separate ids, whose names may have blanks."""
    ids = [each.strip() for each in typed.replace(",", ";").split(";")]
    assert outputs(actionGroups=typed)["actionGroupResourceIds"] == ids


@pytest.mark.parametrize("typed", ACCEPTED["tags"])
def test_tags_become_an_object(typed: str) -> None:
    """Each name=value becomes a property, whose value may be empty or have blanks and commas."""
    pairs = [each.strip().partition("=") for each in typed.split(";")]
    assert outputs(tags=typed)["tags"] == {name: value for name, _, value in pairs}
