"""An identity with very many names loses no finding, and memory stays bounded."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from detection.pipeline.invocation import Invocation
from detection.pipeline.job import run
from detection.rule.correlate import Detection, detect
from detection.rule.filters import RuleSettings
from detection.rule.kql_text import ascii_lower
from detection.rule.memo import Memo
from detection.rule.sign_in_index import (
    MAX_GROUPS_BY_NAME,
    OPERATIONS_PER_GROUP,
    IdentityRows,
    identities_with_too_many_names,
)
from detection.rule.ticks import HOUR, MINUTE
from detection.sources.recorded.folder import RecordedSource
from detection.state.folder import FolderStore
from tests.support import ROOT, Collected, environment, write_logs
from tests.support.strategies import END, GUID, START, Row, as_logs, operation, sign_in, written

NOON = START + HOUR
FEW, MANY = 2, 1_000

# Applies the rule to an identity with many names, and prints its peak memory in MB.
MEASURE = """
import re
from tests.rule.test_identity_names import MANY, STATUS, found, rows
groups = found(*rows(MANY, MANY)).groups
[peak] = re.findall(r"VmHWM:\\s+(\\d+) kB", STATUS.read_text())
print(len(groups), int(peak) / 1000)
"""
STATUS = Path("/proc/self/status")


def rows(names: int, resource_groups: int, identity: str = GUID) -> tuple[list[Row], list[Row]]:
    """Return an identity's sign-ins, each under another name, and operations in as many groups."""
    signed_in = [
        sign_in(
            TimeGenerated=written(NOON + number),
            ServicePrincipalId=identity,
            ServicePrincipalName=f"name-{number}",
            Id=f"s{number}",
        )
        for number in range(names)
    ]
    operated = [
        operation(
            TimeGenerated=written(NOON + MINUTE),
            Caller=identity,
            ResourceGroup=f"rg-{number}",
            EventDataId=f"o{number}",
        )
        for number in range(resource_groups)
    ]
    return signed_in, operated


def found(sign_ins: Sequence[Row], operations: Sequence[Row]) -> Detection:
    """Apply the rule."""
    return detect(as_logs(sign_ins, operations), START, END, RuleSettings())


def named(names: int, resource_groups: int, each: int = 1) -> IdentityRows:
    """Return an identity with many names, and operations in each of many resource groups."""
    _, operated = rows(1, resource_groups)
    logs = as_logs([], operated * each)
    return IdentityRows({f"name-{number}": [] for number in range(names)}, logs.operations)


def test_nothing_of_an_identity_with_many_names_is_missed() -> None:
    """Each resource group has one finding with every pair, under the name seen first."""
    detection = found(*rows(MANY, MANY))
    assert detection.unsplit_identities == (GUID,)
    assert {group.resource_group for group in detection.groups} == {f"rg-{n}" for n in range(MANY)}
    assert {group.pairs for group in detection.groups} == {MANY}
    assert {group.distinct_sign_ins for group in detection.groups} == {MANY}
    assert {group.service_principal_name for group in detection.groups} == {"name-0"}
    assert {group.key.name for group in detection.groups} == {""}


def test_other_identities_keep_their_names() -> None:
    """Another identity with two names still has findings under both."""
    sign_ins, operations = rows(MANY, MANY)
    others = rows(FEW, FEW, "another")
    detection = found([*others[0], *sign_ins], [*others[1], *operations])
    assert detection.unsplit_identities == (GUID,)
    assert sum(group.key.identity == "another" for group in detection.groups) == FEW * FEW


def test_the_largest_identities_lose_their_names_first() -> None:
    """The limit covers all identities together, and the smallest keep their names."""
    folded = Memo[str, str](ascii_lower)
    some = {"a": named(500, 198), "b": named(MANY, MANY), "c": named(4, 100)}
    assert some["a"].size(folded) + some["c"].size(folded) <= MAX_GROUPS_BY_NAME
    assert identities_with_too_many_names(some.items(), folded) == {"b"}
    assert identities_with_too_many_names([*some.items(), ("d", named(FEW, 300))], folded) == {
        "a",
        "b",
    }


def test_operations_count_towards_the_limit() -> None:
    """Few names and groups with very many operations exceed the limit too."""
    folded = Memo[str, str](ascii_lower)
    assert named(10, 1, each=50 * OPERATIONS_PER_GROUP).size(folded) == 10 * (1 + 50)


def test_one_name_never_exceeds_the_limit() -> None:
    """An identity with one name keeps it, however many changes it made."""
    folded = Memo[str, str](ascii_lower)
    assert (
        identities_with_too_many_names(
            [("a", named(1, 1, each=MAX_GROUPS_BY_NAME * OPERATIONS_PER_GROUP // 100))], folded
        )
        == set()
    )
    assert found(*rows(1, 500)).groups[0].key.name == "name-0"


@pytest.mark.skipif(not STATUS.exists(), reason="only Linux tells a process's own peak")
def test_memory_grows_with_the_rows() -> None:
    """A thousand names in a thousand resource groups take less than 200 MB, not two thousand."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE],
        cwd=ROOT,
        env=environment(None),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    groups, megabytes = done.stdout.split()
    assert int(groups) == MANY
    assert float(megabytes) < 200


@pytest.mark.parametrize("names", [MANY, MANY + 50])
def test_it_is_reported_once_and_warned_about(tmp_path: Path, names: int) -> None:
    """The run record names the identity in a warning; a later run reports no operation again."""
    folder = write_logs(tmp_path / "logs", *rows(names, MANY))
    source, store, sink = RecordedSource(folder), FolderStore(tmp_path / "state"), Collected()
    for now in (NOON + HOUR // 2, NOON + HOUR):
        assert run(source, sink, store, Invocation("w", now)).failures == []
    assert len(sink.findings) == MANY
    for record in sink.runs:
        assert record["Status"] == "Warning"
        reason = str(record["Reason"])
        assert "1 identity with too many names" in reason
        assert GUID in reason
