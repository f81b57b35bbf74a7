"""Every recorded scenario gives the findings and the run record that it expects."""

import json
from pathlib import Path
from typing import Any

import pytest

from detection.pipeline.invocation import Invocation
from detection.pipeline.job import run
from detection.rule.ticks import parse_time
from detection.settings import rule_settings
from detection.sources.recorded.folder import RecordedSource
from detection.state.folder import FolderStore
from tests.support import RECORDED, Collected, pick

SCENARIOS = sorted(path.parent.name for path in RECORDED.glob("*/expected.json"))
KEYS = {"title", "now", "later", "environment", "findings", "run"}
TIMES = ("FirstEvent", "LastEvent")


def expectations(scenario: str) -> dict[str, Any]:
    """Return what a scenario expects."""
    text = (RECORDED / scenario / "expected.json").read_text("utf-8")
    expected: dict[str, Any] = json.loads(text)
    return expected


def play(scenario: str, folder: Path) -> Collected:
    """Run the job at `now` and at each moment of `later`, one state throughout."""
    expected = expectations(scenario)
    settings = rule_settings(expected.get("environment", {}))
    source = RecordedSource(RECORDED / scenario)
    sink = Collected()
    for now in (expected["now"], *expected.get("later", [])):
        asked = Invocation("recorded", parse_time(now), settings)
        outcome = run(source, sink, FolderStore(folder), asked)
        assert not outcome.failures
    return sink


def comparable(row: dict[str, object]) -> dict[str, object]:
    """Return a finding with its times as ticks, however many digits they are written with."""
    return row | {name: parse_time(str(row[name])) for name in TIMES if name in row}


def test_every_scenario_says_what_it_expects() -> None:
    """Each folder has a title of one sentence, a moment, findings, and no key that goes unread."""
    titles = set()
    for scenario in SCENARIOS:
        expected = expectations(scenario)
        assert {"title", "now", "findings"} <= expected.keys() <= KEYS, scenario
        assert expected["title"].strip().endswith("."), scenario
        titles.add(expected["title"])
    assert len(titles) == len(SCENARIOS) > 30


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_gives_what_it_expects(scenario: str, tmp_path: Path) -> None:
    """All findings in order, each with the columns listed, and the last run's record."""
    expected = expectations(scenario)
    sink = play(scenario, tmp_path)
    assert len(sink.findings) == len(expected["findings"])
    for row, listed in zip(sink.findings, expected["findings"], strict=True):
        assert comparable(pick(row, listed)) == comparable(listed)
    listed = expected.get("run", {})
    assert pick(sink.runs[-1], listed) == listed


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_revisions_of_a_finding_share_its_id(scenario: str, tmp_path: Path) -> None:
    """A revision follows the one before it under the same id, and no two findings share one."""
    revisions: dict[object, int] = {}
    groups: dict[object, tuple[object, ...]] = {}
    for row in play(scenario, tmp_path).findings:
        assert row["Revision"] == revisions.get(row["FindingId"], 0) + 1
        revisions[row["FindingId"]] = int(str(row["Revision"]))
        about = tuple(
            str(row[name]).lower()
            for name in ("ServicePrincipalId", "ServicePrincipalName", "ResourceGroup")
        )
        assert groups.setdefault(row["FindingId"], about) == about
