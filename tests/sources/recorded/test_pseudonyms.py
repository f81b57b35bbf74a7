"""A pseudonymized recording means what the plain one does, and names nothing that it names."""

import re
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.ranking.classify import ACTION_CLASSES, OPERATION_CLASSES, OperationClass, is_delete
from detection.rule.allowlist import Allowlist
from detection.rule.correlate import Detection, detect
from detection.rule.exclusions import EXCLUSIONS_TABLE, Exclusions
from detection.rule.filters import (
    RuleSettings,
    is_change,
)
from detection.rule.kql_text import ascii_lower
from detection.rule.log_rows import OPERATION_TABLE, SIGN_IN_TABLE, Logs, TableShape
from detection.sources.recorded.azure_words import AZURE_WORDS
from detection.sources.recorded.pseudonyms import Pseudonyms
from tests.support.strategies import ADDRESSES, Scenario, entries, scenarios

KEY = bytes(range(32))


def replaced(logs: Logs) -> Logs:
    """Return logs with every row and entry replaced."""
    pseudonyms = Pseudonyms(logs.allowlist, KEY)
    return replace(
        logs,
        sign_ins=[tuple(pseudonyms.replace(SIGN_IN_TABLE, row)) for row in logs.sign_ins],
        operations=[tuple(pseudonyms.replace(OPERATION_TABLE, row)) for row in logs.operations],
        allowlist=pseudonyms.replace_allowlist(logs.allowlist),
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
    covers = Allowlist.of(pseudonyms.replace_allowlist(allowlist)).covers(row[5])
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
    text = repr([*pseudonyms.replace(table, row), *pseudonyms.replace_allowlist([value])]).lower()
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


EXPIRES = len(EXCLUSIONS_TABLE.columns) - 1


def replaced_expiry(text: str) -> str:
    """Return what becomes of a value of the column Expires."""
    row = ("i", "rg", "o", "r", text)
    return str(Pseudonyms(key=KEY).replace(EXCLUSIONS_TABLE, row)[EXPIRES])


@pytest.mark.parametrize("text", ["2027-01-01", "2027-01-01T00:00:00Z", " 2027-01-01 ", "", " "])
def test_an_expiry_that_is_a_time_stays(text: str) -> None:
    """When an exclusion ends names nobody."""
    assert replaced_expiry(text) == text


@pytest.mark.parametrize(
    "text", [f"2027-01-01 ask {NAME}", f"{NAME}@example.com", "never", "01/01/2027"]
)
def test_an_expiry_that_is_anything_else_is_replaced(text: str) -> None:
    """The column is free text, and what is no time there is as bad as before, and names nobody."""
    shown = replaced_expiry(text)
    assert NAME not in shown
    assert text not in shown
    rows = [("i", "rg", "o", "r", shown)]
    assert len(Exclusions.of(rows, 0).invalid) == 1


def operation_name(text: str) -> str:
    """Return what becomes of the name of an operation."""
    row = dict.fromkeys(OPERATION_TABLE.columns, "") | {"OperationNameValue": text}
    replaced_row = Pseudonyms(key=KEY).replace(OPERATION_TABLE, tuple(row.values()))
    return str(dict(zip(OPERATION_TABLE.columns, replaced_row, strict=True))["OperationNameValue"])


@pytest.mark.parametrize(
    "text",
    [
        f"Microsoft.KeyVault/vaults/{NAME}/write",
        f"MICROSOFT.STORAGE/STORAGEACCOUNTS/{NAME.upper()}/DELETE",
        f"Microsoft.{NAME}/things/write",
        f"Microsoft.Web/sites/{NAME}-delete-me/write",
        f"Microsoft.CustomProviders/resourceProviders/{NAME}/delete",
        f"{NAME}/write",
        f"Write {NAME}",
    ],
)
def test_a_name_within_an_operation_is_replaced(text: str) -> None:
    """Only words that are Azure's own stay, and what the rule looks for with them."""
    shown = operation_name(text)
    assert NAME not in shown.lower()
    assert is_change(shown) == is_change(text)
    assert is_delete(shown) == is_delete(text)
    for word in ("write", "delete", "vaults", "sites", "storageaccounts"):
        if word in text.lower().split("/"):
            assert word in shown.lower().split("/")


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("ResultType", "50034"),
        ("ActivityStatusValue", "Success"),
        ("ActivityStatusValue", "SUCCEEDED"),
    ],
)
def test_codes_and_statuses_stay(column: str, text: str) -> None:
    """What Azure says of an event is kept as it is spelt."""
    assert replaced_in(column, text) == text


@pytest.mark.parametrize("column", ["ResultType", "ActivityStatusValue"])
@pytest.mark.parametrize("text", [NAME, f"Success {NAME}", f"0 {NAME}", "5003412345678"])
def test_what_is_neither_code_nor_status_is_replaced(column: str, text: str) -> None:
    """Text where a code should be is not trusted."""
    shown = replaced_in(column, text)
    assert text not in shown
    assert NAME not in shown


def replaced_in(column: str, text: str) -> str:
    """Return what becomes of a value of a column of either table."""
    shape = SIGN_IN_TABLE if column in SIGN_IN_TABLE.columns else OPERATION_TABLE
    row = dict.fromkeys(shape.columns, "") | {column: text}
    replaced_row = Pseudonyms(key=KEY).replace(shape, tuple(row.values()))
    return str(dict(zip(shape.columns, replaced_row, strict=True))[column])


def fitting(part: str) -> str:
    """Return a known word, or two, that a part of a pattern fits."""
    known = (*sorted(AZURE_WORDS), "microsoft.dbformysql/flexibleservers")
    pattern = ".*".join(map(re.escape, part.split("*")))
    return next(word for word in known if re.fullmatch(pattern, word))


@pytest.mark.parametrize(
    "kind", [*OPERATION_CLASSES, *ACTION_CLASSES], ids=lambda kind: kind.pattern
)
def test_what_the_table_of_classes_knows_is_scored_the_same(kind: OperationClass) -> None:
    """The operations that give points stay what they are, those that end in a wildcard too."""
    text = "/".join(map(fitting, kind.pattern.split("/")))
    assert operation_name(text) == text
    named = text.replace("/", f"/{NAME}/", 1)
    assert kind.fits(text)
    assert NAME not in operation_name(named)
    assert is_delete(operation_name(named)) == is_delete(text)


@given(st.lists(st.sampled_from((*sorted(AZURE_WORDS)[:40], NAME, "a-b", "READ", "")), max_size=6))
def test_every_part_of_an_operation_is_a_known_word_or_a_pseudonym(parts: list[str]) -> None:
    """Nothing else is in what is shared, and different names stay different."""
    shown = operation_name("/".join(parts)).split("/")
    assert len(shown) == max(len(parts), 1)
    for before, after in zip(parts, shown, strict=False):
        assert after == before or re.fullmatch(r"[xX]-[a-pA-P]{20}(-[A-Z]+)*", after)
        assert after != before or ascii_lower(before) in AZURE_WORDS or not before
