"""The items of the workbook, and its queries with values in place of the parameters."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from tests.infra.compiler import INFRA

WORKBOOK: Final[dict[str, Any]] = json.loads((INFRA / "workbook.json").read_bytes())
TEXT, QUERY, PARAMETERS, LINKS, GROUP = 1, 3, 9, 11, 12  # the type of an item
EVERYTHING: Final = "'*'"  # the value of a list in which a reader chose all


def all_items(items: Iterable[dict[str, Any]] = WORKBOOK["items"]) -> Iterator[dict[str, Any]]:
    """Yield every item, those of groups after their group."""
    for item in items:
        yield item
        if item["type"] == GROUP:
            yield from all_items(item["content"]["items"])


ITEMS: Final = {item["name"]: item for item in all_items()}
VIEWS: Final = {name: item["content"] for name, item in ITEMS.items() if item["type"] == QUERY}
CHOICES: Final[dict[str, dict[str, Any]]] = {
    each["name"]: each
    for item in ITEMS.values()
    if item["type"] == PARAMETERS
    for each in item["content"]["parameters"]
}
# Every query by the view that shows its rows, or by the parameter whose values it lists.
QUERIES: Final[dict[str, str]] = {
    **{name: view["query"] for name, view in VIEWS.items()},
    **{name: choice["query"] for name, choice in CHOICES.items() if "query" in choice},
}


def filled(name: str, **chosen: str) -> str:
    """Return a query with everything selected, except what `chosen` names by parameter."""
    values = {
        **dict.fromkeys(("Workspace", "Severity", "Identity"), EVERYTHING),
        "SelectedIdentity": "*",
        "SelectedFinding": "",
        **chosen,
    }
    return re.sub(r"\{(\w+)\}", lambda match: values[match[1]], QUERIES[name])
