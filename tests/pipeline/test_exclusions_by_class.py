"""An exclusion that names operation classes leaves out a finding that has no other operations."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.errors import SourceError
from detection.kql.constants import BUCKETS
from detection.pipeline.enrichment import Enrichment
from detection.ranking.classify import classify
from detection.rule.correlate import OPERATIONS_SHOWN, Group, ReportedKeys, detect
from detection.rule.exclusions import ExclusionRow
from detection.rule.filters import RuleSettings
from detection.rule.pairs import OperationPairs
from detection.sources.workspace.queries import WindowQueries
from detection.window import Mode, Window
from tests.support import NoContext, kusto, naive_rule
from tests.support.strategies import (
    END,
    GUID,
    HOUR,
    START,
    Row,
    Scenario,
    as_logs,
    operation,
    sign_in,
    written,
)

EXAMPLES = settings().max_examples
OTHER_IDENTITY = "0e29b7b8-6f3b-4a0c-9d4b-2f3c1d5e6a70"
ROLE = "Microsoft.Authorization/roleAssignments/write"
HARMLESS = (
    "Microsoft.Resources/deployments/write",
    "MICROSOFT.RESOURCES/DEPLOYMENTS/WRITE",
    "Microsoft.Resources/tags/write",
    *(f"Contoso.Provider/things{number}/write" for number in range(OPERATIONS_SHOWN + 2)),
)
NAMES = st.one_of(
    st.lists(st.sampled_from(HARMLESS), min_size=1, max_size=3),
    st.permutations(HARMLESS),
    st.permutations([*HARMLESS, ROLE]),
)
IDENTITIES = st.sampled_from(("", GUID, GUID.upper(), OTHER_IDENTITY))
GROUPS = st.sampled_from(("", "rg", "RG", "other"))
LISTS = st.sampled_from(
    ("", "routine", "Other ; routine", "routine,other,", "authorization;other;routine", "rotine")
)
ENTRIES = st.lists(
    st.tuples(IDENTITIES, GROUPS, LISTS, st.just("ops"), st.just("deploys"), st.just("2099-01-01")),
    max_size=4,
)


class Listed(NoContext):
    """A context with exclusions."""

    def __init__(self, rows: Sequence[ExclusionRow]) -> None:
        self._rows = list(rows)

    def exclusions(self) -> list[ExclusionRow]:
        """Return the exclusions."""
        return self._rows


def enrichment(*rows: ExclusionRow) -> Enrichment:
    """Return the enrichment of a window with these exclusions."""
    return Enrichment(Listed(rows), RuleSettings(), END)


def operations(names: Sequence[str], **columns: str) -> list[Row]:
    """Return an operation of each name, in this order."""
    return [
        operation(
            OperationNameValue=name,
            TimeGenerated=written(START + HOUR + at),
            EventDataId=f"{name} {columns} {at}",
            **columns,
        )
        for at, name in enumerate(names)
    ]


def kept_naively(scenario: Scenario, rows: Sequence[ExclusionRow]) -> set[tuple[str, ...]]:
    """Return the keys of the groups that stay, from loops over all pairs and entries."""
    found: dict[tuple[str, ...], set[str]] = {}
    for access, change in naive_rule.pairs(*scenario.naive_arguments):
        who, where = access["ServicePrincipalId"], change["ResourceGroup"]
        key = (str(who).lower(), "app", str(where).lower())
        found.setdefault(key, set()).add(classify(str(change["OperationNameValue"])).name)
    return {
        key
        for key, classes in found.items()
        if not any(covers_naively(row, key, classes) for row in rows)
    }


def covers_naively(row: ExclusionRow, key: tuple[str, ...], classes: set[str]) -> bool:
    """Return True if an entry covers a group whose operations are of these classes."""
    identity, resource_group, listed = (text.lower() for text in row[:3])
    named = {name.strip() for name in listed.replace(";", ",").split(",")} - {""}
    return (
        bool(identity or resource_group)
        and "rotine" not in named
        and identity in ("", key[0])
        and resource_group in ("", key[2])
        and (not named or classes <= named)
    )


@pytest.fixture(scope="module")
def database() -> Any:
    """Return a database with both tables, empty."""
    return kusto.database()


@settings(max_examples=max(EXAMPLES // 10, 1))
@given(st.lists(st.tuples(IDENTITIES, GROUPS, NAMES), min_size=1, max_size=4), ENTRIES)
def test_both_engines_leave_out_what_a_naive_reading_leaves_out(
    database: Any, changes: list[tuple[str, str, list[str]]], rows: list[ExclusionRow]
) -> None:
    """Groups of both engines stay or go as loops over all pairs, entries and classes say."""
    scenario = Scenario(
        [sign_in(), sign_in(ServicePrincipalId=OTHER_IDENTITY, Id="s2")],
        [
            row
            for who, where, names in changes
            for row in operations(names, Caller=who, ResourceGroup=where)
        ],
        allowlist=[],
        span=HOUR,
        statuses=("Success",),
    )
    logs, rule = scenario.logs(), RuleSettings()
    queries = WindowQueries(Window(START, END, Mode.SCHEDULED), END, rule)
    expected = kept_naively(scenario, rows)
    for groups in (
        detect(logs, START, END, rule).groups,
        kusto.groups_in_cluster(database, logs, queries, range(BUCKETS)),
    ):
        assert {group.key for group in enrichment(*rows).without_excluded(groups)} == expected


def pipeline(*names: str) -> Group:
    """Return the group of an identity that did these operations, in this order."""
    logs = as_logs([sign_in()], operations(names, ResourceGroup="rg"))
    (only,) = detect(logs, START, END, RuleSettings()).groups
    return only


DEPLOYS = (GUID, "", "routine;other", "ops", "deploys", "2099-01-01")


def test_a_name_beyond_the_shown_ones_counts() -> None:
    """A role assignment after as many other operations as a finding names keeps the finding."""
    harmless, grave = pipeline(*HARMLESS), pipeline(*HARMLESS, ROLE)
    assert harmless.operations == grave.operations
    assert len(grave.operations) == OPERATIONS_SHOWN
    assert enrichment(DEPLOYS).without_excluded([harmless, grave]) == [grave]


def test_operations_that_cannot_be_read_are_not_covered() -> None:
    """If the names beyond the shown ones cannot be read, the finding stays, with a warning."""

    def fail(*_: object) -> Any:
        raise SourceError("no pairs today")

    many, few = (replace(pipeline(*HARMLESS[:n]), read_pairs=fail) for n in (13, 3))
    found = enrichment(DEPLOYS)
    assert found.without_excluded([many, few]) == [many]
    assert found.excluded.total() == 1
    (warning,) = found.warnings
    assert "no pairs today" in warning


def test_all_groups_are_asked_with_one_object() -> None:
    """The cluster's pairs are read once for all groups, as each gets the same reported keys."""
    asked: list[object] = []

    def read_pairs(reported: ReportedKeys) -> list[OperationPairs]:
        asked.append(reported)
        return []

    many = replace(pipeline(*HARMLESS), read_pairs=read_pairs)
    assert enrichment(DEPLOYS).without_excluded([many, many]) == []
    assert len(asked) == 2
    assert asked[0] is asked[1]
