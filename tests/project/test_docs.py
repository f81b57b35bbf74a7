"""The documents say nothing that is not so."""

import re
from pathlib import Path

import pytest

from detection.pipeline.finding_context import QUESTIONS
from detection.printable import (
    MAX_ENTRIES,
    MAX_ENTRY_LENGTH,
    MAX_TEXT_LENGTH,
)
from detection.ranking.classify import CHANGES
from detection.ranking.score import (
    ACTION_COUNTS,
    BOTH_SERVICES,
    CLASS_COUNTS,
    DELETE_COUNTS,
    FIRST_CLASS,
    FIRST_GROUP,
    LONG_SEEN,
    MAX_POINTS,
    OWN_ADDRESS,
    PROXIMITY,
    RESOURCE_GROUP_COUNTS,
    ROUTINE_DAYS,
    SEVERITY_BANDS,
    SUBSCRIPTION_COUNTS,
)
from detection.rule.exclusions import EXCLUSIONS_TABLE
from detection.rule.ticks import MINUTE
from detection.schema import FINDINGS_TABLE, Finding, RunRecord, columns
from tests.kql.test_queries import bind
from tests.support import ROOT
from tests.support.language_service import LanguageService

DOCS = {path.name: path.read_text("utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
README = (ROOT / "README.md").read_text("utf-8")
QUERIES = [
    (name, number, text)
    for name, document in DOCS.items()
    for number, text in enumerate(re.findall(r"```kusto\n(.*?)```", document, re.DOTALL))
]


def section(document: str, title: str) -> str:
    """Return the text between a heading and the next."""
    return re.split(r"\n#+ ", DOCS[document].split(f"# {title}\n", 1)[1])[0]


@pytest.mark.parametrize(
    ("table", "title"), [(Finding, FINDINGS_TABLE), (RunRecord, "ManagedIdentityImpactRuns_CL")]
)
def test_schemas(table: type, title: str) -> None:
    """Each table's columns are documented with their types, in order."""
    rows = re.findall(r"\n\| `(\w+)` \| (\w+) \| \S", section("schemas.md", title))
    assert rows == columns(table)


def test_bounds_of_a_record() -> None:
    """How long lists and texts of a run record get is told as it is."""
    text = " ".join(section("schemas.md", "ManagedIdentityImpactRuns_CL").split())
    assert f"at most {MAX_ENTRIES}, each of at most {MAX_ENTRY_LENGTH} characters, texts" in text
    assert f"have at most {MAX_TEXT_LENGTH:,}" in text


def test_queries_in_documents_bind(language_service: LanguageService) -> None:
    """Every query of the documents binds to the tables without a remark."""
    assert len(QUERIES) >= 4
    runs = [{"name": name, "type": kind} for name, kind in columns(RunRecord)]
    answers = bind(
        language_service,
        [text for _, _, text in QUERIES],
        schema={"ManagedIdentityImpactRuns_CL": runs},
    )
    for (name, number, _), answer in zip(QUERIES, answers, strict=True):
        assert answer["diagnostics"] == [], (name, number)
        assert answer["columns"], (name, number)


def test_bands() -> None:
    """The bands of severity are the score's, without a gap from 0 to 100."""
    rows = re.findall(r"\| ([A-Z]\w+) \| (\d+) (?:to (\d+)|and up) \|", DOCS["risk.md"])
    assert [(int(least), name) for name, least, _ in reversed(rows)] == list(SEVERITY_BANDS)
    assert [int(most or 100) + 1 for _, _, most in rows[:-1]] == [int(row[1]) for row in rows[1:]]


def test_points() -> None:
    """The table of signals has the points that the score gives, the most of which make 100."""
    rows = dict(
        re.findall(r"\n\| ([A-Z][\w ]+) \| ([\w, ]+) \|", section("risk.md", "The risk score"))
    )
    listed = {name: [int(n) for n in re.findall(r"\d+", points)] for name, points in rows.items()}
    expected = {
        "Gravest operation": [MAX_POINTS["class"]],
        "Deletes": [points for _, points in reversed(DELETE_COUNTS)],
        "Classes": [points for _, points in reversed(CLASS_COUNTS)],
        "Spread": [
            points for _, points in (*reversed(RESOURCE_GROUP_COUNTS), *SUBSCRIPTION_COUNTS)
        ],
        "Haste": [points for _, points in PROXIMITY],
        "Both services": [BOTH_SERVICES],
        "Address": [OWN_ADDRESS],
        "Corroboration": [points for _, points in reversed(ACTION_COUNTS)],
    }
    assert {name: listed[name] for name in expected} == expected
    assert f"| {FIRST_CLASS} and {FIRST_GROUP}, or {LONG_SEEN} |" in DOCS["risk.md"]
    assert f"{ROUTINE_DAYS} or more days" in DOCS["risk.md"]
    minutes = [most // MINUTE for most, _ in PROXIMITY]
    assert f"at most {minutes[0]}, {minutes[1]} minutes after a sign-in" in DOCS["risk.md"]


def test_classes() -> None:
    """Each class is documented with the fewest and the most points that its operations have."""
    rows = re.findall(r"\n\| ([a-z ]+) \| (\d+)(?: to (\d+))? \|", DOCS["risk.md"])
    listed = {name: (int(least), int(most or least)) for name, least, most in rows}
    points: dict[str, list[int]] = {}
    for entry in CHANGES:
        points.setdefault(entry.name, []).append(entry.points)
    assert listed == {name: (min(each), max(each)) for name, each in points.items()}


def test_the_runbook_has_the_queries_of_a_finding() -> None:
    """The three numbered steps of the runbook are titled as the queries that a finding carries."""
    steps = re.findall(r"\n(\d\. )\*\*(.+?)\.\*\*", section("triage.md", "Runbook"))
    assert [number + title for number, title in steps] == list(QUESTIONS)


def test_exclusion_columns() -> None:
    """The columns of the exclusions are those that are read, in the table and in the example."""
    text = section("tuning.md", "Exclude what somebody answers for")
    assert tuple(re.findall(r"\n\| `(\w+)` \|", text)) == EXCLUSIONS_TABLE.columns
    assert ",".join(EXCLUSIONS_TABLE.columns) + "\n" in text


@pytest.mark.parametrize("name", DOCS)
def test_links(name: str) -> None:
    """Each link to a file leads somewhere, and the README leads to each document."""
    for target, _ in re.findall(r"\]\(([^)#:]+)(#[^)]*)?\)", DOCS[name]):
        assert (Path(ROOT / "docs") / target).exists(), target
    assert f"docs/{name}" in README
