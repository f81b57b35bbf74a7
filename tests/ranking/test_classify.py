"""Operations are classified by the catalogue, and its two files are sound tables."""

import csv
import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.ranking.classify import (
    ACTION,
    CATALOG_COLUMNS,
    CHANGE,
    CLASS_COLUMNS,
    CLASSES,
    FOLDER,
    ROUTINE,
    Catalog,
    CatalogEntry,
    catalog,
    classify,
    classify_action,
    is_delete,
    read_catalog,
    read_classes,
)
from detection.ranking.score import MAX_POINTS
from detection.rule.filters import CHANGE_TERMS, READ_TERMS
from detection.rule.kql_text import has_any

CLASSES_OF_CHANGES = {
    "authorization",
    "defense impairment",
    "persistence",
    "vault and storage control",
    "execution",
    "exfiltration preparation",
    "destruction",
    "routine",
    "other",
}
CLASSES_OF_ACTIONS = {"credential access", "grave actions"}
CHANGES = catalog(CHANGE).entries
ACTIONS = catalog(ACTION).entries


@pytest.mark.parametrize(
    ("operation", "name", "points", "technique"),
    [
        ("MICROSOFT.AUTHORIZATION/ROLEASSIGNMENTS/WRITE", "authorization", 42, "T1098.003"),
        ("MICROSOFT.AUTHORIZATION/ROLEDEFINITIONS/WRITE", "authorization", 42, "T1098.003"),
        ("MICROSOFT.AUTHORIZATION/LOCKS/DELETE", "authorization", 40, "T1685"),
        ("MICROSOFT.INSIGHTS/DIAGNOSTICSETTINGS/DELETE", "defense impairment", 40, "T1685.002"),
        ("MICROSOFT.SQL/SERVERS/FIREWALLRULES/WRITE", "defense impairment", 30, "T1686.001"),
        ("MICROSOFT.INSIGHTS/ACTIVITYLOGALERTS/DELETE", "defense impairment", 36, "T1685"),
        (
            "MICROSOFT.MANAGEDIDENTITY/USERASSIGNEDIDENTITIES/FEDERATEDIDENTITYCREDENTIALS/WRITE",
            "persistence",
            40,
            "T1098.001",
        ),
        ("MICROSOFT.KEYVAULT/VAULTS/WRITE", "vault and storage control", 20, ""),
        ("MICROSOFT.STORAGE/STORAGEACCOUNTS/WRITE", "vault and storage control", 20, "T1686.001"),
        ("MICROSOFT.COMPUTE/VIRTUALMACHINES/RUNCOMMANDS/WRITE", "execution", 36, "T1651"),
        ("MICROSOFT.COMPUTE/VIRTUALMACHINES/EXTENSIONS/WRITE", "execution", 18, "T1651"),
        ("MICROSOFT.AUTOMATION/AUTOMATIONACCOUNTS/RUNBOOKS/DRAFT/WRITE", "execution", 30, "T1651"),
        ("MICROSOFT.COMPUTE/SNAPSHOTS/WRITE", "exfiltration preparation", 16, "T1537"),
        ("MICROSOFT.COMPUTE/DISKS/WRITE", "routine", 4, ""),
        ("MICROSOFT.COMPUTE/IMAGES/WRITE", "other", 12, ""),
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
        ("MICROSOFT.RESOURCES/DEPLOYMENTS/WRITE", "routine", 0, ""),
        ("Microsoft.Resources/tags/write", "routine", 0, ""),
        ("MICROSOFT.INSIGHTS/METRICALERTS/DELETE", "defense impairment", 20, "T1685"),
        ("MICROSOFT.WEB/SITES/WRITE", "other", 12, ""),
        ("MICROSOFT.WEB/SITES/DELETE", "destruction", 38, "T1485"),
        ("MICROSOFT.WEB/SITES/SLOTS/DELETE", "destruction", 30, "T1485"),
        ("MICROSOFT.DBFORPOSTGRESQL/FLEXIBLESERVERS/DELETE", "destruction", 44, "T1485"),
        ("MICROSOFT.SQL/MANAGEDINSTANCES/ADMINISTRATORS/WRITE", "authorization", 38, "T1098"),
        ("MICROSOFT.AADIAM/DIAGNOSTICSETTINGS/DELETE", "defense impairment", 42, "T1685.002"),
        ("CONTOSO.PROVIDER/THINGS/DELETE", "other", 20, ""),
        ("CONTOSO.PROVIDER/THINGS/DELETE/ACTION", "other", 20, ""),
        ("CONTOSO.PROVIDER/THINGS/WRITE", "other", 8, ""),
        ("", "other", 8, ""),
        ("no name/\nWRITE", "other", 8, ""),
    ],
)
def test_operations_are_of_their_class(
    operation: str, name: str, points: int, technique: str
) -> None:
    """Operations as Azure writes them have the class, points and technique worked out by hand."""
    entry = classify(operation)
    assert (entry.name, entry.points, entry.technique) == (name, points, technique)


def test_each_class_has_operations_of_its_kind() -> None:
    """The classes are those that the score knows, and each has an entry."""
    kinds = {name: each.kind for name, each in CLASSES.items()}
    assert kinds == dict.fromkeys(CLASSES_OF_CHANGES, CHANGE) | dict.fromkeys(
        CLASSES_OF_ACTIONS, ACTION
    )
    assert {entry.name for entry in CHANGES} == CLASSES_OF_CHANGES
    assert {entry.name for entry in ACTIONS} == CLASSES_OF_ACTIONS


def test_no_entry_is_hidden_by_another() -> None:
    """Each entry is the one that counts for the plainest name that it fits."""
    hidden = [each for each in CHANGES if classify(each.pattern.replace("*", "x")) != each]
    hidden += [
        each for each in ACTIONS if classify_action(each.pattern.replace("*", "x").upper()) != each
    ]
    assert not hidden


def test_no_two_entries_have_the_same_pattern() -> None:
    """Each pattern stands once, so the order of the lines means nothing but for the last."""
    patterns = [entry.pattern for entry in (*CHANGES, *ACTIONS)]
    assert len(set(patterns)) == len(patterns)
    assert CHANGES[-1].pattern == "*"


def test_entries_are_complete() -> None:
    """Each entry has a pattern in lower case, words that go on a sentence, and fitting points."""
    for entry in (*CHANGES, *ACTIONS):
        assert re.fullmatch(r"(T1\d{3}(\.\d{3})?)?", entry.technique), entry
        assert entry.pattern == entry.pattern.lower(), entry
        assert re.fullmatch(r"[a-z][\w' -]+", entry.words), entry
    assert {entry.points for entry in CHANGES} <= set(range(MAX_POINTS["gravity"] + 1))
    points = {entry.points for entry in ACTIONS}
    assert (min(points), max(points)) == (1, MAX_POINTS["actions"])
    assert all(entry.name == ROUTINE for entry in CHANGES if entry.points == 0)


def test_everyday_changes_have_no_technique() -> None:
    """A routine or unlisted change is no technique of an attacker."""
    assert {classify(name).technique for name in ("MICROSOFT.RESOURCES/TAGS/WRITE", "")} == {""}
    assert not CHANGES[-1].technique


def test_classes_are_of_operations_that_the_rule_takes() -> None:
    """Each full name among the changes is one that clause 3 accepts."""
    names = [entry.pattern for entry in CHANGES if "*" not in entry.pattern]
    assert all(has_any(name, CHANGE_TERMS) for name in names)
    assert not [name for name in names if has_any(name, READ_TERMS)]


def test_actions_are_outside_the_rule() -> None:
    """No action is one that clause 3 accepts, so it never makes a finding."""
    assert not [entry for entry in ACTIONS if has_any(entry.pattern, CHANGE_TERMS)]
    assert all(entry.pattern.endswith("/action") for entry in ACTIONS)


@given(
    st.lists(st.text("ab/*", min_size=1, max_size=6), min_size=1, max_size=8, unique=True),
    st.text("abAB/", max_size=8),
)
def test_the_entry_of_a_name_is_that_of_a_naive_search(patterns: list[str], name: str) -> None:
    """The entry found equals the most specific of all patterns that fit as regular expressions."""
    entries = [
        CatalogEntry("other", points, "", pattern, "changed")
        for points, pattern in enumerate(patterns)
    ]
    fitting = [
        entry
        for entry in entries
        if re.fullmatch(
            ".*".join(map(re.escape, entry.pattern.split("*"))), name.lower(), re.DOTALL
        )
    ]
    expected = max(fitting, key=lambda one: (one.literal, one.points), default=None)
    assert Catalog(entries).most_specific(name) == expected


def test_the_most_specific_entry_counts() -> None:
    """A full name beats a pattern, and a longer pattern a shorter one, whatever their points."""
    backup = "microsoft.recoveryservices/vaults/a/"
    assert classify(backup + "delete").points < classify(backup + "protecteditems/delete").points
    assert classify("microsoft.sql/servers/firewallrules/delete").name == "defense impairment"
    assert classify("microsoft.storage/storageaccounts/blobservices/write").points == 34
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
    """Handing out keys corroborates a finding, restarting an app does not."""
    entry = classify_action(operation)
    assert (entry.name if entry else None) == expected


def test_deletes() -> None:
    """An operation is a delete if its name has the whole word DELETE."""
    assert is_delete("MICROSOFT.WEB/SITES/DELETE")
    assert not is_delete("MICROSOFT.KEYVAULT/LOCATIONS/DELETEDVAULTS/WRITE")


@pytest.mark.parametrize("name", ["operation_catalog.csv", "operation_classes.csv"])
def test_files_are_plain_csv(name: str) -> None:
    """The files are written as RFC 4180 says, a table for any reader, with a header."""
    text = (FOLDER / name).read_text("utf-8")
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(csv.reader(io.StringIO(text)))
    assert written.getvalue() == text
    assert len({len(row) for row in csv.reader(io.StringIO(text))}) == 1


ENTRY = "routine,8,T1059,a/write,changed a thing"
CLASS = "routine,change,#000000,#ffffff,everyday"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("routine,8,T1059,a/write", "line 3: 4 values, not 5"),
        (f"{ENTRY},more", "line 3: 6 values, not 5"),
        ("", "line 3: 0 values, not 5"),
        (ENTRY.replace("8", "x"), "line 3: 'x' is no points"),
        (ENTRY.replace("8", "-8"), "line 3: '-8' is no points"),
        (ENTRY.replace("T1059", "T9"), "line 3: 'T9' is no technique"),
        (ENTRY.replace("T1059", "T1059."), "line 3: 'T1059.' is no technique"),
        (ENTRY.replace("a/write", "a write"), "line 3: 'a write' is no pattern"),
        (ENTRY.replace("changed a thing", ""), "line 3: '' is no words"),
        (ENTRY.replace("routine", "unknown"), "line 3: there is no class 'unknown'"),
        (ENTRY.replace("changed", '"changed" '), "line 3: "),
    ],
)
def test_a_bad_entry_is_refused(tmp_path: Path, line: str, problem: str) -> None:
    """A line that is no entry is an error that names the file, the line and the problem."""
    path = tmp_path / "catalog.csv"
    path.write_text("\n".join((",".join(CATALOG_COLUMNS), ENTRY, line, "")), "utf-8")
    with pytest.raises(ValueError, match=re.escape(f"catalog.csv, {problem}")):
        read_catalog(path, CLASSES)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (CLASS.replace("change", "both"), ", line 3: 'both' is no kind"),
        (CLASS.replace("#000000", ""), ", line 3: '' is no colour"),
        (CLASS.replace("#ffffff", "white"), ", line 3: 'white' is no dark_colour"),
        (CLASS.replace("routine", "a;b"), ", line 3: 'a;b' is no class"),
        (CLASS.replace("everyday", " "), ", line 3: ' ' is no description"),
        (CLASS, ": a class has two lines"),
    ],
)
def test_a_bad_class_is_refused(tmp_path: Path, line: str, problem: str) -> None:
    """A class without a colour or a description, or declared twice, is an error."""
    path = tmp_path / "classes.csv"
    path.write_text("\n".join((",".join(CLASS_COLUMNS), CLASS, line, "")), "utf-8")
    with pytest.raises(ValueError, match=re.escape(f"classes.csv{problem}")):
        read_classes(path)


def test_another_header_is_refused(tmp_path: Path) -> None:
    """A file whose columns are others, or that is empty, is an error that shows them."""
    path = tmp_path / "catalog.csv"
    for text in ("class,points\n", ""):
        path.write_text(text, "utf-8")
        with pytest.raises(ValueError, match=r"catalog\.csv: the header is "):
            read_catalog(path, CLASSES)
