"""The deployed function and all documented queries bind without a diagnostic."""

import re
from typing import Any

import pytest

from detection.schema import Finding, RunRecord, columns
from detection.settings import SETTINGS
from tests.infra.compiler import INFRA
from tests.support.language_service import Column, LanguageService
from tests.support.pages import PAGES, blocks

QUERIES = INFRA / "queries"
FUNCTION = (QUERIES / "ManagedIdentityImpact.kql").read_text("utf-8")
SHOWN = [block for page in PAGES for block in blocks(page, "kusto")]


def table(setting: str, row: type) -> tuple[str, list[Column]]:
    """Return a custom table's name and columns."""
    name = SETTINGS[setting].default.removeprefix("Custom-")
    return name, [{"name": name, "type": _spelt(kind)} for name, kind in columns(row)]


def _spelt(kind: str) -> str:
    return {"boolean": "bool"}.get(kind, kind)


TABLES = dict([table("FINDINGS_STREAM", Finding), table("RUNS_STREAM", RunRecord)])
# Tables of Azure Resource Graph, with the columns that all rows have:
# https://learn.microsoft.com/azure/governance/resource-graph/concepts/query-language
RESOURCE_GRAPH: dict[str, list[Column]] = {
    name: [
        *({"name": each, "type": "string"} for each in ("id", "name", "type")),
        *({"name": each, "type": "dynamic"} for each in ("identity", "properties")),
    ]
    for name in ("resources", "authorizationresources")
}


def bound(language_service: LanguageService, *texts: str) -> list[Any]:
    """Return the result columns by query, with the deployed function defined."""
    defined = [f"let ManagedIdentityImpact = () {{\n{FUNCTION}\n}};\n{text}" for text in texts]
    answers = language_service.bind(defined, tables=TABLES | RESOURCE_GRAPH)
    for text, answer in zip(texts, answers, strict=True):
        assert answer["diagnostics"] == [], text
    return [answer["columns"] for answer in answers]


def test_the_function_gives_the_columns_of_the_table(language_service: LanguageService) -> None:
    """ManagedIdentityImpact() has exactly the columns of a finding, with their types."""
    (found,) = bound(language_service, "ManagedIdentityImpact()")
    (expected,) = bound(language_service, "ManagedIdentityImpact_CL")
    assert sorted(found, key=lambda each: str(each["name"])) == sorted(
        expected, key=lambda each: str(each["name"])
    )


def test_every_set_is_united_or_of_the_latest_revision() -> None:
    """A new array column needs a decision on how the function chooses among the revisions."""
    united = re.findall(r"pack_array\((.*?)\)", FUNCTION)[0].split(", ")
    latest = ["Tactics", "Techniques", "Entities", "Investigate"]
    latest += ["RolesUsed", "Grants", "Links"]  # lists of objects
    gravest = ["RiskReasons", "Evidence", "ObservedTactics", "ObservedTechniques"]
    assert set(gravest) <= set(re.findall(r"arg_max\(Rank, (.*?)\)", FUNCTION)[0].split(", "))
    arrays = [name for name, kind in columns(Finding) if kind == "dynamic"]
    assert sorted(arrays) == sorted([*united, *latest, *gravest])
    assert re.findall(r"(\w+) = coalesce\(Set(\d)", FUNCTION) == [
        (name, str(number)) for number, name in enumerate(united)
    ]


def test_the_documentation_binds(language_service: LanguageService) -> None:
    """Every query in the documentation binds."""
    assert len(SHOWN) >= 8
    assert all(bound(language_service, *SHOWN))


def test_a_wrong_column_is_an_error(language_service: LanguageService) -> None:
    """A query with an unknown column gives a diagnostic."""
    with pytest.raises(AssertionError):
        bound(language_service, "ManagedIdentityImpact() | project Risk")
