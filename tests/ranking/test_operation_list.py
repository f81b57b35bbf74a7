"""The catalogue holds against a long list of real operation names, if a copy is beside the project.

The list has names of writes, deletes and actions as AzureActivity spells them, collected from what
REST methods and built-in roles need. With `pytest -s` the tests show the number of names that each
class holds.
"""

import sys
from collections import Counter

import pytest

from detection.ranking.classify import CHANGE, CLASSES, classify, classify_action, is_delete
from tests.support import ROOT

LISTS = ROOT.parent / "shared" / "data" / "operations"

# Classes that the writes and deletes of a resource provider must be found in.
GRAVE_CLASSES = {
    "microsoft.aadiam": {"defense impairment"},
    "microsoft.apimanagement": {"persistence", "destruction"},
    "microsoft.app": {"execution", "destruction"},
    "microsoft.authorization": {"authorization"},
    "microsoft.automation": {"execution", "destruction"},
    "microsoft.batch": {"execution", "destruction"},
    "microsoft.cache": {"defense impairment", "destruction"},
    "microsoft.cognitiveservices": {"destruction"},
    "microsoft.compute": {"execution", "exfiltration preparation", "destruction"},
    "microsoft.containerinstance": {"execution"},
    "microsoft.containerregistry": {"persistence", "destruction"},
    "microsoft.containerservice": {"execution", "destruction"},
    "microsoft.databricks": {"destruction"},
    "microsoft.datafactory": {"execution", "destruction"},
    "microsoft.datalakestore": {"destruction"},
    "microsoft.dataprotection": {"destruction"},
    "microsoft.datashare": {"exfiltration preparation"},
    "microsoft.dbformariadb": {"defense impairment", "destruction"},
    "microsoft.dbformysql": {"authorization", "defense impairment", "destruction"},
    "microsoft.dbforpostgresql": {"authorization", "defense impairment", "destruction"},
    "microsoft.documentdb": {"authorization", "destruction"},
    "microsoft.eventhub": {"persistence", "destruction"},
    "microsoft.hybridcompute": {"execution"},
    "microsoft.insights": {"defense impairment"},
    "microsoft.keyvault": {"authorization", "vault and storage control", "destruction"},
    "microsoft.kusto": {"authorization", "destruction"},
    "microsoft.logic": {"execution"},
    "microsoft.machinelearningservices": {"execution", "destruction"},
    "microsoft.managedidentity": {"persistence"},
    "microsoft.managedservices": {"authorization"},
    "microsoft.management": {"authorization"},
    "microsoft.netapp": {"destruction"},
    "microsoft.network": {"defense impairment", "persistence", "destruction"},
    "microsoft.operationalinsights": {"defense impairment"},
    "microsoft.recoveryservices": {"destruction"},
    "microsoft.resources": {"execution", "destruction"},
    "microsoft.search": {"destruction"},
    "microsoft.security": {"defense impairment"},
    "microsoft.securityinsights": {"defense impairment"},
    "microsoft.servicebus": {"persistence", "destruction"},
    "microsoft.sql": {"authorization", "defense impairment", "destruction"},
    "microsoft.storage": {"persistence", "vault and storage control", "destruction"},
    "microsoft.storagesync": {"destruction"},
    "microsoft.synapse": {"authorization", "defense impairment", "destruction"},
    "microsoft.web": {"execution", "persistence", "destruction"},
}


def names(file: str) -> list[str]:
    """Return the operation names of a list, or skip the test."""
    path = LISTS / file
    if not path.is_file():
        pytest.skip(f"the list of operation names is not there: {path}")
    return path.read_text("utf-8").split()


def test_grave_providers_have_grave_classes() -> None:
    """Each provider that an attacker would use has operations in its grave classes."""
    operations = names("write-and-delete.txt")
    held = {(name.partition("/")[0].lower(), classify(name).name) for name in operations}
    counts = Counter(classify(name).name for name in operations)
    sys.stdout.write(f"{len(operations)} writes and deletes: {dict(counts.most_common())}\n")
    missing = {
        provider: absent
        for provider, classes in GRAVE_CLASSES.items()
        if (absent := {each for each in classes if (provider, each) not in held})
    }
    assert not missing
    assert counts.keys() == {name for name, each in CLASSES.items() if each.kind == CHANGE}


def test_most_changes_of_the_list_have_an_entry() -> None:
    """Of the real writes at most half are unlisted, and a delete always has an entry of its own."""
    operations = names("write-and-delete.txt")
    unlisted = [name for name in operations if classify(name).pattern == "*"]
    assert len(unlisted) < len(operations) / 2
    assert not [name for name in unlisted if is_delete(name)]


def test_actions_that_hand_out_keys_have_an_entry() -> None:
    """Each real action that lists or regenerates keys corroborates a finding."""
    actions = names("actions.txt")
    counts = Counter(entry.name if (entry := classify_action(name)) else "none" for name in actions)
    sys.stdout.write(f"{len(actions)} actions: {dict(counts.most_common())}\n")
    verbs = ("/LISTKEYS/ACTION", "/REGENERATEKEY/ACTION", "/REGENERATEKEYS/ACTION")
    assert not [name for name in actions if name.endswith(verbs) and not classify_action(name)]
