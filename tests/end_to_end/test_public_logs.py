"""Published log rows, of which a copy may be stored beside the project, give known findings."""

import json
from pathlib import Path
from typing import Any

import pytest

from detection.pipeline.invocation import Invocation
from detection.pipeline.job import run
from detection.rule.ticks import HOUR, SECOND, parse_time
from detection.sources.recorded.folder import RecordedSource
from detection.state import ReadOnlyStore
from tests.support import ROOT, Collected

PUBLIC = ROOT.parent / "shared" / "data" / "public-logs"
LOWERED = ("ServicePrincipalName", "ServicePrincipalId", "ResourceGroup")
MICROSECOND = SECOND // 1_000_000
EXACT = ("DataPlaneAccesses", "MgmtPlaneOps", "DistinctSignIns", "DistinctOperations")


def folder(name: str) -> Path:
    """Return the folder with that name, or skip the test."""
    path = PUBLIC / name
    if not path.is_dir():
        pytest.skip(f"the published logs are not there: {path}")
    return path


def findings(source: RecordedSource, now: int) -> list[Any]:
    """Return the findings of a first run at `now`."""
    sink = Collected()
    outcome = run(source, sink, ReadOnlyStore(), Invocation("public", now))
    assert not outcome.failures
    return sink.findings


def comparable(row: dict[str, Any]) -> dict[str, Any]:
    """Return the comparable values: identifiers without case, sets as sets.

    Times are compared to the microsecond, the precision of the expectation.
    """
    affected = row.get("AffectedResources")
    return {
        **{name: row[name].lower() for name in LOWERED},
        **{name: row[name] for name in EXACT},
        "FirstEvent": parse_time(row["FirstEvent"]) // MICROSECOND,
        "LastEvent": parse_time(row["LastEvent"]) // MICROSECOND,
        "Operations": sorted(map(str.lower, row["Operations"])),
        "AffectedResourcesCount": (
            row["AffectedResourcesCount"] if affected is None else len(affected)
        ),
    }


def test_the_combined_logs_give_the_expected_findings() -> None:
    """Published rows, combined into one log, give the findings worked out by hand."""
    path = folder("spliced")
    expected = json.loads((path / "expected.json").read_text("utf-8"))
    found = findings(RecordedSource(path), parse_time(expected["now"]))

    def by_group(rows: list[Any]) -> list[dict[str, Any]]:
        return sorted(map(comparable, rows), key=lambda row: str(row["ResourceGroup"]))

    assert by_group(found) == by_group(expected["findings"])


@pytest.mark.parametrize("day", ["2022-01-24", "2021-04-28"])
def test_the_published_logs_give_no_finding(day: str) -> None:
    """No hour of either day, read as published, has a finding."""
    source = RecordedSource(folder("as-published"))
    for hour in range(1, 25):
        assert not findings(source, parse_time(day) + hour * HOUR)
