"""The operation catalog gives each operation its class, points and technique."""

import re

import pytest

from detection.ranking.classify import (
    ACTION_CLASSES,
    OPERATION_CLASSES,
    OperationClass,
    classify,
    classify_action,
    is_delete,
    read_table,
)
from detection.rule.filters import (
    CHANGE_TERMS,
    READ_TERMS,
)
from detection.rule.kql_text import has_any

CLASSES = {
    "authorization",
    "defence evasion",
    "persistence",
    "vault and storage control",
    "execution",
    "exfiltration preparation",
    "destruction",
    "routine",
    "other",
}


@pytest.mark.parametrize(
    ("operation", "name", "points", "technique"),
    [
        ("MICROSOFT.AUTHORIZATION/ROLEASSIGNMENTS/WRITE", "authorization", 42, "T1098.003"),
        ("MICROSOFT.AUTHORIZATION/ROLEDEFINITIONS/WRITE", "authorization", 42, "T1098.003"),
        ("MICROSOFT.AUTHORIZATION/LOCKS/DELETE", "authorization", 40, "T1685"),
        ("MICROSOFT.INSIGHTS/DIAGNOSTICSETTINGS/DELETE", "defence evasion", 40, "T1685.002"),
        ("MICROSOFT.SQL/SERVERS/FIREWALLRULES/WRITE", "defence evasion", 32, "T1686.001"),
        ("MICROSOFT.INSIGHTS/ACTIVITYLOGALERTS/DELETE", "defence evasion", 36, "T1685"),
        (
            "MICROSOFT.MANAGEDIDENTITY/USERASSIGNEDIDENTITIES/FEDERATEDIDENTITYCREDENTIALS/WRITE",
            "persistence",
            40,
            "T1098.001",
        ),
        ("MICROSOFT.KEYVAULT/VAULTS/WRITE", "vault and storage control", 30, "T1555.006"),
        ("MICROSOFT.STORAGE/STORAGEACCOUNTS/WRITE", "vault and storage control", 28, "T1530"),
        ("MICROSOFT.COMPUTE/VIRTUALMACHINES/RUNCOMMANDS/WRITE", "execution", 36, "T1651"),
        ("MICROSOFT.COMPUTE/VIRTUALMACHINES/EXTENSIONS/WRITE", "execution", 36, "T1651"),
        ("MICROSOFT.AUTOMATION/AUTOMATIONACCOUNTS/RUNBOOKS/DRAFT/WRITE", "execution", 34, "T1651"),
        ("MICROSOFT.COMPUTE/SNAPSHOTS/WRITE", "exfiltration preparation", 34, "T1578.001"),
        ("MICROSOFT.COMPUTE/DISKS/WRITE", "exfiltration preparation", 28, "T1578"),
        ("MICROSOFT.COMPUTE/IMAGES/WRITE", "exfiltration preparation", 30, "T1578"),
        ("MICROSOFT.RESOURCES/SUBSCRIPTIONS/RESOURCEGROUPS/DELETE", "destruction", 44, "T1485"),
        ("MICROSOFT.RECOVERYSERVICES/VAULTS/DELETE", "destruction", 44, "T1490"),
        ("MICROSOFT.KEYVAULT/VAULTS/DELETE", "destruction", 44, "T1485"),
        (
            "MICROSOFT.STORAGE/STORAGEACCOUNTS/BLOBSERVICES/CONTAINERS/IMMUTABILITYPOLICIES/DELETE",
            "destruction",
            44,
            "T1490",
        ),
        (
            "MICROSOFT.RECOVERYSERVICES/VAULTS/BACKUPFABRICS/PROTECTIONCONTAINERS/PROTECTEDITEMS/DELETE",
            "destruction",
            44,
            "T1490",
        ),
        ("MICROSOFT.RESOURCES/DEPLOYMENTS/WRITE", "routine", 0, "T1059.009"),
        ("Microsoft.Resources/tags/write", "routine", 0, "T1059.009"),
        ("MICROSOFT.INSIGHTS/METRICALERTS/DELETE", "routine", 0, "T1059.009"),
        ("MICROSOFT.WEB/SITES/WRITE", "other", 8, "T1059.009"),
        ("", "other", 8, "T1059.009"),
        ("no name/\nWRITE", "other", 8, "T1059.009"),
    ],
)
def test_operations_are_of_their_class(
    operation: str, name: str, points: int, technique: str
) -> None:
    """Operations as Azure writes them get the class, points and technique worked out by hand."""
    kind = classify(operation)
    assert (kind.name, kind.points, kind.technique) == (name, points, technique)


def test_the_classes_are_those_of_the_score() -> None:
    """The catalog holds the classes that the documentation names, and no others."""
    assert {kind.name for kind in OPERATION_CLASSES} == CLASSES


@pytest.mark.parametrize("kind", OPERATION_CLASSES, ids=lambda kind: str(kind.pattern))
def test_no_line_is_hidden_by_another(kind: OperationClass) -> None:
    """Each line is the one that counts for the plainest name that it matches."""
    assert classify(kind.pattern.replace("*", "x")) == kind


@pytest.mark.parametrize("kind", ACTION_CLASSES, ids=lambda kind: str(kind.pattern))
def test_no_action_is_hidden_by_another(kind: OperationClass) -> None:
    """Each action's line counts for the plainest name that it matches."""
    assert classify_action(kind.pattern.replace("*", "x").upper()) == kind


@pytest.mark.parametrize(
    "kind", [*OPERATION_CLASSES, *ACTION_CLASSES], ids=lambda kind: str(kind.pattern)
)
def test_lines_are_complete(kind: OperationClass) -> None:
    """Each line has a lower-case pattern, a technique, and words that complete a sentence."""
    assert re.fullmatch(r"T1\d{3}(\.\d{3})?", kind.technique)
    assert kind.pattern == kind.pattern.lower()
    assert re.fullmatch(r"[a-z][\w' -]+", kind.words)
    assert (kind.points == 0) == (kind.name == "routine")


@pytest.mark.parametrize(
    "kind",
    [k for k in OPERATION_CLASSES if "*" not in k.pattern],
    ids=lambda kind: str(kind.pattern),
)
def test_catalog_names_pass_the_rule(kind: OperationClass) -> None:
    """Clause 3 accepts each full name in the catalog."""
    assert has_any(kind.pattern, CHANGE_TERMS)
    assert not has_any(kind.pattern, READ_TERMS)


@pytest.mark.parametrize("kind", ACTION_CLASSES, ids=lambda kind: str(kind.pattern))
def test_actions_are_outside_the_rule(kind: OperationClass) -> None:
    """Clause 3 accepts no action, so an action never makes a finding."""
    assert not has_any(kind.pattern, CHANGE_TERMS)
    assert kind.pattern.endswith("/action")


def test_the_most_specific_line_counts() -> None:
    """A full name beats a pattern, and a longer pattern a shorter one, whatever their points."""
    backup = "microsoft.recoveryservices/vaults/a/"
    assert classify(backup + "delete").points < classify(backup + "protecteditems/delete").points
    assert classify("microsoft.sql/servers/firewallrules/delete").name == "defence evasion"
    assert classify("microsoft.storage/storageaccounts/blobservices/write").points == 26
    assert classify("microsoft.storage/storageaccounts/blobservices/containers/delete").points == 42


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("MICROSOFT.STORAGE/STORAGEACCOUNTS/LISTKEYS/ACTION", "credential access"),
        ("Microsoft.Storage/storageAccounts/regenerateKey/action", "credential access"),
        ("MICROSOFT.STORAGE/STORAGEACCOUNTS/LISTACCOUNTSAS/ACTION", "credential access"),
        ("MICROSOFT.DOCUMENTDB/DATABASEACCOUNTS/LISTKEYS/ACTION", "credential access"),
        ("MICROSOFT.COMPUTE/VIRTUALMACHINES/RUNCOMMAND/ACTION", "grave actions"),
        ("MICROSOFT.KEYVAULT/LOCATIONS/DELETEDVAULTS/PURGE/ACTION", "grave actions"),
        ("MICROSOFT.WEB/SITES/RESTART/ACTION", None),
        ("MICROSOFT.STORAGE/STORAGEACCOUNTS/WRITE", None),
    ],
)
def test_actions_that_corroborate(operation: str, expected: str | None) -> None:
    """Handing out keys corroborates a finding; restarting an app does not."""
    kind = classify_action(operation)
    assert (kind.name if kind else None) == expected


def test_deletes() -> None:
    """An operation is a delete if its name has the whole word DELETE."""
    assert is_delete("MICROSOFT.WEB/SITES/DELETE")
    assert not is_delete("MICROSOFT.KEYVAULT/LOCATIONS/DELETEDVAULTS/WRITE")


@pytest.mark.parametrize(
    "text",
    ["class: words\nno line", "    8 T1059 * words", "c: w\n    x T1059 * w", "c: w\n    8 T9 *"],
)
def test_a_damaged_catalog_is_refused(text: str) -> None:
    """A line without points, technique, pattern and words, or outside a class, is an error."""
    with pytest.raises(ValueError, match="no line of the table"):
        list(read_table(text))
