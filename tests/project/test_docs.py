"""The documents agree with the program."""

import json
import re

import pytest

from detection.kql.runbook import QUESTIONS, calls
from detection.printable import (
    MAX_ENTRIES,
    MAX_ENTRY_LENGTH,
    MAX_TEXT_LENGTH,
)
from detection.ranking.classify import CHANGE, CLASSES, catalog
from detection.ranking.familiarity import HISTORY_NEEDED, ROUTINE_DAYS
from detection.ranking.score import (
    CLASS_COUNTS,
    GRAVE_POINTS,
    MAX_POINTS,
    RESOURCE_GROUP_COUNTS,
    SEVERITY_BANDS,
    SUBSCRIPTION_COUNTS,
    VOLUME_COUNTS,
)
from detection.rule.correlate import (
    ADDRESSES_SHOWN,
    AFFECTED_SHOWN,
    OPERATIONS_SHOWN,
    RESOURCES_SHOWN,
    SUBSCRIPTIONS_SHOWN,
)
from detection.rule.exclusions import EXCLUSIONS_TABLE
from detection.rule.filters import CHANGE_TERMS, READ_TERMS, TARGET_TERMS
from detection.rule.log_rows import OPERATION_TABLE, SIGN_IN_TABLE
from detection.schema import FINDINGS_TABLE, Finding, RunRecord, columns
from detection.settings import SETTINGS
from tests.support import RECORDED, ROOT, json_lines, run_cli
from tests.support.pages import PAGES, blocks, section

RISK = PAGES["docs/risk.md"]


@pytest.mark.parametrize(
    ("table", "title"), [(Finding, FINDINGS_TABLE), (RunRecord, "ManagedIdentityImpactRuns_CL")]
)
def test_schemas(table: type, title: str) -> None:
    """Each table's columns are documented with their types, in order."""
    rows = re.findall(r"\n\| `(\w+)` \| (\w+) \| \S", section("docs/schemas.md", title))
    assert rows == columns(table)


@pytest.mark.parametrize("terms", [TARGET_TERMS, CHANGE_TERMS, READ_TERMS])
def test_terms(terms: tuple[str, ...]) -> None:
    """The clauses of the rule are documented with the terms that the program looks for."""
    listed = ", ".join(f'"{term}"' for term in terms)
    assert f"has_any ({listed})" in PAGES["docs/rule.md"]


def test_caps() -> None:
    """The columns that hold a capped set are documented with its cap."""
    capped = re.findall(r"\n\| `(\w+)` \| dynamic \|.* at most (\d+) \|", PAGES["docs/schemas.md"])
    assert {column: int(most) for column, most in capped} == {
        "Resources": RESOURCES_SHOWN,
        "Operations": OPERATIONS_SHOWN,
        "AffectedResources": AFFECTED_SHOWN,
        "SubscriptionIds": SUBSCRIPTIONS_SHOWN,
        "CallerIpAddresses": ADDRESSES_SHOWN,
    }


def test_bounds_of_a_record() -> None:
    """The documented bounds of lists and texts of a run record are the program's."""
    text = " ".join(section("docs/schemas.md", "ManagedIdentityImpactRuns_CL").split())
    assert f"at most {MAX_ENTRIES}, each of at most {MAX_ENTRY_LENGTH} characters, texts" in text
    assert f"have at most {MAX_TEXT_LENGTH:,}" in text


def test_bands() -> None:
    """The bands of severity are the score's, without a gap from 0 to 100."""
    rows = re.findall(r"\| ([A-Z]\w+) \| (\d+) (?:to (\d+)|and up) \|", RISK)
    assert [(int(least), name) for name, least, _ in reversed(rows)] == list(SEVERITY_BANDS)
    assert [int(most or 100) + 1 for _, _, most in rows[:-1]] == [int(row[1]) for row in rows[1:]]


def test_points() -> None:
    """The table of signals has the points that the score gives, each with its reason."""
    rows = re.findall(
        r"\n\| ([A-Z][\w ]+) \| ([\d, and]+) \| ([^|]+) \| ([^|]+) \|",
        section("docs/risk.md", "The risk score"),
    )
    listed = {name.lower(): [int(n) for n in re.findall(r"\d+", each)] for name, each, *_ in rows}
    counted = {
        "volume": [points for _, points in reversed(VOLUME_COUNTS)],
        "classes": [points for _, points in reversed(CLASS_COUNTS)],
        "spread": [
            points for _, points in (*reversed(RESOURCE_GROUP_COUNTS), *SUBSCRIPTION_COUNTS)
        ],
    }
    names = {"actions": "corroboration"}
    assert listed == {
        names.get(name, name): counted.get(name, [points]) for name, points in MAX_POINTS.items()
    }
    least = ", ".join(str(count) for count, _ in reversed(VOLUME_COUNTS))
    assert f"{least} or more grave operations: with {GRAVE_POINTS} points" in RISK
    assert f"did on {ROUTINE_DAYS} or more of these days" in RISK
    assert f"less than {HISTORY_NEEDED} whole days" in RISK


def test_classes() -> None:
    """Each class has its description, and the fewest and the most points of its operations."""
    rows = re.findall(r"\n\| ([a-z ]+) \| (\d+)(?: to (\d+))? \| ([^|]+) \|", RISK)
    listed = {name: (int(least), int(most or least)) for name, least, most, _ in rows}
    described = {name: description for name, *_, description in rows}
    points: dict[str, list[int]] = {}
    for entry in catalog(CHANGE).entries:
        points.setdefault(entry.name, []).append(entry.points)
    assert listed == {name: (min(each), max(each)) for name, each in points.items()}
    assert described == {name: CLASSES[name].description for name in points}


def test_the_runbook_has_the_queries_of_a_finding() -> None:
    """The numbered steps of the runbook are the questions of a finding, with a call's example."""
    text = section("docs/triage.md", "Runbook")
    steps = re.findall(r"\n(\d\. )\*\*(.+?)\*\*", text)
    assert [number + title for number, title in steps] == [each.title for each in QUESTIONS]
    assert f"`{calls('<FindingId>')[0]['Query']}`" in text


def test_exclusion_columns() -> None:
    """The columns of the exclusions are those that are read, in the table and in the example."""
    text = section("docs/tuning.md", "Exclude known automation")
    assert tuple(re.findall(r"\n\| `(\w+)` \|", text)) == EXCLUSIONS_TABLE.columns
    assert ",".join(EXCLUSIONS_TABLE.columns) + "\n" in text


def test_settings() -> None:
    """The tables of settings have each setting of the product, with its default."""
    rows = dict(re.findall(r"\| `([A-Z_]+)` \| `?([^|`]+?)`? \|", PAGES["docs/settings.md"]))
    defaults = {name: setting.default or "none" for name, setting in SETTINGS.items()}
    assert rows == defaults | {"DETECTION_SCHEDULE": "none"}


def options(text: str) -> set[str]:
    """Return the options that a text names."""
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))


@pytest.mark.parametrize(
    "command", ["run", "record", "demo", "check", "query", "kql", "completion"]
)
def test_options(command: str) -> None:
    """The options of a command are those of its help text; each has --help and --verbose."""
    listed = {
        option
        for row in re.findall(r"\n\| ([^|]+) \|", section("docs/cli.md", command))
        for option in options(row)
    }
    helped = options(run_cli(command, "--help").stdout.partition("Options:")[2])
    assert listed == helped - {"--help", "--verbose"}
    assert {"--help", "--verbose"} <= options(section("docs/cli.md", "The command line"))


def test_commands() -> None:
    """The table of commands has each command, and the options that stand before one."""
    rows = re.findall(r"\n\| `([a-z-]+)` \|", section("docs/cli.md", "The command line"))
    helped = run_cli("--help").stdout
    listed = helped.partition("Commands:")[2].partition("Examples:")[0]
    commands = re.findall(r"^  ([a-z]+) ", listed, re.MULTILINE)
    assert {row for row in rows if not row.startswith("--")} == set(commands)
    before = helped.partition("Options:")[2].partition("Commands:")[0]
    assert options(before) - {"--help"} <= set(rows)


def test_required_columns() -> None:
    """The columns that a page calls required are those that are."""
    text = section("docs/own-logs.md", "Which table a file holds")
    for shape in (SIGN_IN_TABLE, OPERATION_TABLE):
        names = ", ".join(f"`{column}`" for column in shape.columns[: shape.required])
        assert f"required are {names} |" in text


def test_differences_have_tests() -> None:
    """Each difference of the table has a test named after it, and no test is without its row."""
    listed = set(re.findall(r"\n\| D(\d) \|", PAGES["docs/rule.md"]))
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("*.py"))
    tested = set(re.findall(r"\ndef test_d(\d)_", sources))
    assert listed == tested == set("123456789")


def test_scenarios() -> None:
    """The list has each recorded scenario with its title and its number of findings."""
    rows = re.findall(r"\n(\| \[.+?\]\(.+?\) \| .+ \|)", PAGES["tests/recorded/README.md"])
    expected = []
    for path in sorted(RECORDED.glob("*/expected.json")):
        answer, name = json.loads(path.read_bytes()), path.parent.name
        number = len(answer["findings"]) or "none"
        expected.append(f"| [{name}]({name}) | {answer['title']} | {number} |")
    assert "\n".join(rows) == "\n".join(expected)


def test_sample_finding() -> None:
    """The sample finding is one that the demo prints, without the parts that are left out."""
    sample = json.loads(blocks("docs/schemas.md", "json")[0])
    printed = json_lines(run_cli("demo", "--json").stdout)
    for row in printed:
        del row["Entities"], row["Links"], row["Investigate"], row["Evidence"][1:]
    assert sample in printed
