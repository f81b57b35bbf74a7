"""Techniques and tactics are those of the operations, with names from one ATT&CK version."""

import csv

from detection.ranking.attack import observed_tactics, observed_techniques, techniques
from detection.ranking.classify import ACTION, CHANGE, FOLDER, catalog
from tests.support.summaries import ACTIONS, ROLE, TAGS, UNLISTED, VAULT, action, finding


def test_every_technique_of_the_catalogue_has_a_name_and_tactics() -> None:
    """The techniques' file holds exactly the techniques of the catalogue, in order of their ids."""
    used = {entry.technique for kind in (CHANGE, ACTION) for entry in catalog(kind).entries}
    with (FOLDER / "techniques.csv").open(encoding="utf-8", newline="") as file:
        ids = [row["id"] for row in csv.DictReader(file)]
    assert ids == sorted(used - {""})
    assert all(each.name and all(each.tactics) for each in techniques().values())


def test_observed_techniques_are_those_of_what_happened() -> None:
    """Operations and actions give their techniques, the gravest first, and their tactics."""
    seen = finding(TAGS, ROLE, VAULT, UNLISTED, later_actions=[action(ACTIONS[0])])
    found = observed_techniques(seen)
    assert found == ["T1485", "T1098.003", "T1552"]
    assert observed_tactics(found) == [
        *("Impact", "Persistence", "PrivilegeEscalation", "CredentialAccess")
    ]
    assert observed_techniques(finding(TAGS, UNLISTED)) == []
