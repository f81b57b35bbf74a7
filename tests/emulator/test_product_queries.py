"""Every query of the product, of the deployment and of the documents runs in the emulator."""

import re
from collections.abc import Iterator

import pytest
from ruamel.yaml import YAML

from detection.kql import runbook
from detection.kql.render import FOLDER
from detection.pipeline.invocation import Invocation
from detection.pipeline.job import run
from detection.rule.filters import RuleSettings
from detection.rule.ticks import HOUR, parse_time
from detection.schema import FINDINGS_TABLE
from detection.sentinel.query import Period, logs_page_query
from detection.sentinel.rule import as_yaml
from detection.sources.recorded.folder import RecordedSource
from detection.sources.workspace.queries import WindowQueries
from detection.sources.workspace.query_checks import all_queries
from detection.state import ReadOnlyStore
from detection.window import Mode, Window
from emulator.kusto.saved_functions import BODIES, IMPACT
from emulator.kusto.tables import RUNS_TABLE
from emulator.kusto.workspace import Workspace
from emulator.recording import read_recording
from tests.infra.alert_tables import deployed
from tests.infra.workbook import QUERIES, filled
from tests.support import ALLOWLIST, DEMO, EXCLUSIONS, NOW, ROOT, Collected

TEN = parse_time(NOW)
BLOCK = re.compile(r"^```kusto\n(.*?)^```", re.DOTALL | re.MULTILINE)
PARTS = {"is_grave"}  # one line with placeholders, within other queries
# The demo has no log of another service, and nobody got or gave a right before it.
WITHOUT_ROWS = {"ManagedIdentityDataAccess"}
# Queries of docs/triage.md for Azure Resource Graph, which is another service.
RESOURCE_GRAPH = re.compile(r"^\s*(authorizationresources|resources)\b", re.IGNORECASE)


@pytest.fixture(scope="module")
def workspace() -> Workspace:
    """Return a workspace with the demo's logs, and the rows that a run delivers about them."""
    emulated = Workspace(read_recording(DEMO).tables)
    delivered = Collected()
    run(RecordedSource(DEMO), delivered, ReadOnlyStore(), Invocation("recorded", TEN))
    emulated.add(FINDINGS_TABLE, delivered.findings, TEN)
    emulated.add(RUNS_TABLE, delivered.runs, TEN)
    return emulated


def queries() -> Iterator[tuple[str, str]]:
    """Yield each query with a name."""
    window = Window(TEN - 2 * HOUR, TEN, Mode.SCHEDULED)
    product = WindowQueries(window, TEN, RuleSettings())
    for each in all_queries(product, ALLOWLIST, EXCLUSIONS):
        yield f"run: {each.name}", str(each.text)
    for name in QUERIES:
        yield f"workbook: {name}", filled(name)
    for name in ("findings_alert", "silence_alert"):
        yield f"alert: {name}", deployed(name)
    yield "logs page: last hours", logs_page_query(RuleSettings(), ALLOWLIST)
    period = Period(TEN - 2 * HOUR, TEN)
    yield "logs page: a period", logs_page_query(RuleSettings(), ALLOWLIST, period)
    yield "scheduled rule", YAML(typ="safe").load(as_yaml(RuleSettings(), ALLOWLIST))["query"]
    for title, text in runbook.texts().items():
        head = runbook.values("e1525895-2305-453d-b6ab-6a524251f7d9", TEN - HOUR, TEN, ())
        yield f"report: {title}", head + text
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for number, text in enumerate(BLOCK.findall(page.read_text("utf-8")), start=1):
            if not RESOURCE_GRAPH.match(text):
                yield f"{page.name}: {number}", text


ALL = dict(queries())


@pytest.mark.parametrize("name", ALL)
def test_the_query_runs(workspace: Workspace, name: str) -> None:
    """The query is accepted and gives columns; only those of the report may lack a table."""
    answer = workspace.ask(ALL[name], TEN)
    assert answer.columns
    assert answer.left_out == () or name.startswith("report")


@pytest.mark.parametrize("function", BODIES)
def test_the_saved_function_runs(workspace: Workspace, function: str) -> None:
    """The function gives rows; those of the runbook do so for a finding of the demo."""
    findings = workspace.ask(f"{IMPACT}() | project FindingId, RiskScore", TEN).rows
    assert len(findings) == 2
    if function != IMPACT:
        calls = [f'{function}("{finding}")' for finding, _ in findings]
        answers = [workspace.ask(call, TEN) for call in calls]
        assert all(answer.columns for answer in answers)
        assert function in WITHOUT_ROWS or any(answer.rows for answer in answers)


def test_each_query_of_the_product_is_tried() -> None:
    """Each file of detection/kql/ is a part of one of the queries."""
    packed = {"".join(text.split()) for text in ALL.values()}
    for path in FOLDER.glob("*.kql"):
        lines = ["".join(line.split()) for line in path.read_text("utf-8").splitlines()]
        long = [line for line in lines if len(line) > 20 and "{" not in line]
        assert path.stem in PARTS or any(line in text for line in long for text in packed), path
