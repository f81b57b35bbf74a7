"""A pseudonymized recording means what the plain one does, and names nothing that it names."""

import re
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.rule.allowlist import Allowlist
from detection.rule.correlate import Detection, detect
from detection.rule.rows import OPERATION_TABLE, SIGN_IN_TABLE, Logs, TableShape
from detection.rule.select import RuleSettings
from detection.sources.pseudonyms import Pseudonyms
from tests.strategies import ADDRESSES, Scenario, entries, scenarios

KEY = bytes(range(32))


def replaced(logs: Logs) -> Logs:
    """Return logs with every row and entry replaced."""
    pseudonyms = Pseudonyms(logs.allowlist, KEY)
    return replace(
        logs,
        sign_ins=[tuple(pseudonyms.replace(SIGN_IN_TABLE, row)) for row in logs.sign_ins],
        operations=[tuple(pseudonyms.replace(OPERATION_TABLE, row)) for row in logs.operations],
        allowlist=pseudonyms.entries(logs.allowlist),
    )


def outline(detection: Detection) -> object:
    """Return all of a detection that names nothing."""
    groups = Counter(
        (
            group.pairs,
            group.distinct_sign_ins,
            *(len(group.operations_at), len(group.resources), len(group.operations)),
            *(len(group.affected_resources), len(group.subscription_ids)),
            *(len(group.caller_addresses), group.first_event, group.last_event),
        )
        for group in detection.groups
    )
    sign_ins, operations = detection.sign_ins, detection.operations
    return (
        groups,
        (sign_ins.matched, sign_ins.excluded, sign_ins.without_address),
        (operations.matched, operations.other_success),
        (detection.allowlist.entries, len(detection.allowlist.invalid)),
    )


@given(scenarios())
def test_the_rule_finds_the_same(scenario: Scenario) -> None:
    """Whatever the rows and the allowlist, replaced ones give the same groups and counts."""
    settings = RuleSettings(scenario.span, scenario.statuses)
    logs = scenario.logs()
    plain = detect(logs, *scenario.window, settings)
    assert outline(detect(replaced(logs), *scenario.window, settings)) == outline(plain)


@given(st.lists(entries(), max_size=6), ADDRESSES)
def test_the_allowlist_covers_the_same_addresses(allowlist: list[str], address: str) -> None:
    """An address is covered after the replacement if it was before."""
    pseudonyms = Pseudonyms(allowlist, KEY)
    row = pseudonyms.replace(SIGN_IN_TABLE, (0, "", "0", "", "", address, "", "", ""))
    covers = Allowlist.of(pseudonyms.entries(allowlist)).covers(row[5])
    assert covers == Allowlist.of(allowlist).covers(address)


NAME = "contoso7secret"
GUID = "0fe1d2c3-b4a5-4697-8877-665544332211"
NAMING = (
    NAME,
    NAME.upper(),
    f"jane.doe@{NAME}.example",
    GUID,
    f"/subscriptions/{GUID}/resourceGroups/{NAME}/providers/{NAME}.Vaults/{NAME}/{NAME}",
    f"{NAME} Storage",
    f"{NAME}.Provider/things/write",
    f"Microsoft.CustomProviders/{NAME}/write",
    f"Microsoft.Web/sites/{NAME}-x/delete",
    "203.0.113.77",
    "203.0.113.0/24",
    "203.0.113.1 - 203.0.113.99",
    "2001:db8:5ec:e7::1",
)
PARTS = (NAME, "jane.doe", GUID, "0fe1d2c3", "203.0.113", "5ec:e7::1")


@pytest.mark.parametrize("value", NAMING)
@pytest.mark.parametrize("table", [SIGN_IN_TABLE, OPERATION_TABLE], ids=lambda table: table.name)
def test_nothing_that_names_is_left(table: TableShape, value: str) -> None:
    """A name, id or address is gone, whatever the column, and from the entries too."""
    plain = {"TimeGenerated": 0, "ResultType": "0", "ActivityStatusValue": "Success"}
    row = [plain.get(column, value) for column in table.columns]
    pseudonyms = Pseudonyms([value])
    text = repr([*pseudonyms.replace(table, row), *pseudonyms.entries([value])]).lower()
    assert not [part for part in PARTS if part in text]


def test_equal_values_stay_equal_across_columns_and_paths() -> None:
    """A caller is the sign-in's identity, and a resource id holds its group and subscription."""
    pseudonyms = Pseudonyms()
    sign_in = pseudonyms.replace(
        SIGN_IN_TABLE, (1, GUID, "0", "Azure Key Vault", "app", "", "1", "", "c")
    )
    path = f"/subscriptions/{GUID}/resourceGroups/rg-one/providers/Microsoft.Web/sites/app"
    operation = pseudonyms.replace(
        OPERATION_TABLE,
        (2, GUID, "MICROSOFT.WEB/SITES/WRITE", "Success", "RG-ONE", GUID, "", path, "", "1", "c"),
    )
    assert sign_in[1] == operation[1] == operation[5]
    assert sign_in[2:4] == ["0", "Azure Key Vault"]
    assert operation[2:4] == ["MICROSOFT.WEB/SITES/WRITE", "Success"]
    assert sign_in[8] == operation[10]
    _, _, subscription, _, group, *_, name = operation[7].split("/")
    assert subscription == operation[5]
    assert group.lower() == operation[4].lower()
    assert group != operation[4]
    assert name == sign_in[4]


def test_two_recordings_share_nothing() -> None:
    """Each recording has a key of its own, so a value differs from one to the next."""
    row = (1, GUID, "0", "Azure Key Vault", "app", "192.0.2.1", "1", "", "c")
    one, other = (Pseudonyms().replace(SIGN_IN_TABLE, row) for _ in range(2))
    assert not {one[place] for place in (1, 4, 5, 6, 8)} & {
        other[place] for place in (1, 4, 5, 6, 8)
    }


def test_an_id_keeps_its_form() -> None:
    """A GUID becomes a GUID, so that a recording looks like real logs."""
    row = (1, GUID.upper(), "0", "Azure Key Vault", "app", "", "1", "", "c")
    replaced_id = Pseudonyms().replace(SIGN_IN_TABLE, row)[1]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", replaced_id)
