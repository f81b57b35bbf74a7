"""A pseudonymized recording gives the same findings and names nothing of the original."""

import re
from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import chain, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.ranking.classify import ACTION, CHANGE, CHANGE_CLASSES, catalog, is_delete
from detection.rule.allowlist import Allowlist
from detection.rule.correlate import Detection, detect
from detection.rule.exclusions import EXCLUSIONS_TABLE, Exclusions
from detection.rule.filters import (
    RuleSettings,
    is_change,
)
from detection.rule.kql_text import ascii_lower
from detection.rule.log_rows import (
    ALLOWLIST_TABLE,
    OPERATION_TABLE,
    SIGN_IN_TABLE,
    Logs,
    TableShape,
)
from detection.sources.recorded import RECORDED_TABLES
from detection.sources.recorded.azure_words import AZURE_WORDS
from detection.sources.recorded.pseudonyms import Pseudonyms
from detection.sources.recorded.treatments import TREATMENTS, Treatment
from tests.support.strategies import ADDRESSES, Scenario, entries, scenarios

KEY = bytes(range(32))


def test_every_recorded_column_has_a_treatment() -> None:
    """Each column of each recorded table is replaced in a way that was chosen, and no other is."""
    assert TREATMENTS.keys() == {column for table in RECORDED_TABLES for column in table.columns}
    kept = {column for column, treatment in TREATMENTS.items() if treatment is Treatment.KEEP}
    assert kept == {table.columns[0] for table in RECORDED_TABLES if table.timed}
    entries = {column for column, treatment in TREATMENTS.items() if treatment is Treatment.ENTRY}
    assert entries == set(ALLOWLIST_TABLE.columns)


@pytest.mark.parametrize(
    "table", [SIGN_IN_TABLE, OPERATION_TABLE, EXCLUSIONS_TABLE], ids=lambda table: str(table.name)
)
def test_every_treatment_replaces(table: TableShape) -> None:
    """A row of every table can be replaced, and no value stays that could identify anybody."""
    row = [f"{NAME} {column}" for column in table.columns]
    shown = Pseudonyms(key=KEY).replace(table, row)
    assert len(shown) == len(row)
    assert not [value for value in shown[table.timed :] if NAME in value]


def pseudonymized(logs: Logs) -> Logs:
    """Return logs with every row and entry pseudonymized."""
    pseudonyms = Pseudonyms(logs.allowlist, KEY)
    return replace(
        logs,
        sign_ins=[tuple(pseudonyms.replace(SIGN_IN_TABLE, row)) for row in logs.sign_ins],
        operations=[tuple(pseudonyms.replace(OPERATION_TABLE, row)) for row in logs.operations],
        allowlist=pseudonyms.replace_allowlist(logs.allowlist),
    )


def without_names(detection: Detection) -> object:
    """Return everything in a detection that is not a name."""
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
    """For any rows and allowlist, pseudonymized logs give the same groups and counts."""
    settings = RuleSettings(scenario.span, scenario.statuses)
    logs = scenario.logs()
    plain = detect(logs, *scenario.window, settings)
    assert without_names(detect(pseudonymized(logs), *scenario.window, settings)) == without_names(
        plain
    )


@given(st.lists(entries(), max_size=6), ADDRESSES)
def test_the_allowlist_covers_the_same_addresses(allowlist: list[str], address: str) -> None:
    """A pseudonymized address is covered exactly if the original was covered."""
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
def test_every_name_is_replaced(table: TableShape, value: str) -> None:
    """A name, id or address is replaced in every column and in the allowlist."""
    plain = {"TimeGenerated": 0, "ResultType": "0", "ActivityStatusValue": "Success"}
    row = [plain.get(column, value) for column in table.columns]
    pseudonyms = Pseudonyms([value])
    text = repr([*pseudonyms.replace(table, row), *pseudonyms.replace_allowlist([value])]).lower()
    assert not [part for part in PARTS if part in text]


def test_equal_values_stay_equal_across_columns_and_paths() -> None:
    """A caller equals the sign-in's identity; a resource id holds its group and subscription."""
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


def test_two_recordings_share_no_pseudonym() -> None:
    """Each recording has its own key, so a value has different pseudonyms."""
    row = (1, GUID, "0", "Azure Key Vault", "app", "192.0.2.1", "1", "", "c")
    one, other = (Pseudonyms().replace(SIGN_IN_TABLE, row) for _ in range(2))
    assert not {one[place] for place in (1, 4, 5, 6, 8)} & {
        other[place] for place in (1, 4, 5, 6, 8)
    }


def test_an_id_keeps_its_form() -> None:
    """A GUID becomes a GUID, so a recording looks like real logs."""
    row = (1, GUID.upper(), "0", "Azure Key Vault", "app", "", "1", "", "c")
    replaced_id = Pseudonyms().replace(SIGN_IN_TABLE, row)[1]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", replaced_id)


def pseudonymized_exclusion(**columns: str) -> Any:
    """Return the replacement of a complete exclusion, updated with `columns`."""
    row = dict(zip(EXCLUSIONS_TABLE.columns, ("i", "rg", "", "o", "r", "2027-01-01"), strict=True))
    return tuple(Pseudonyms(key=KEY).replace(EXCLUSIONS_TABLE, tuple((row | columns).values())))


@pytest.mark.parametrize("text", ["2027-01-01", "2027-01-01T00:00:00Z", " 2027-01-01 ", "", " "])
def test_an_expiry_that_is_a_time_stays(text: str) -> None:
    """A time in Expires names nobody and stays."""
    assert pseudonymized_exclusion(Expires=text)[-1] == text


@pytest.mark.parametrize(
    "text", [f"2027-01-01 ask {NAME}", f"{NAME}@example.com", "never", "01/01/2027"]
)
def test_other_text_in_expiry_is_replaced(text: str) -> None:
    """Other text in Expires is replaced, and the entry stays invalid."""
    row = pseudonymized_exclusion(Expires=text)
    assert NAME not in row[-1]
    assert text not in row[-1]
    assert len(Exclusions.of([row], 0, CHANGE_CLASSES).invalid) == 1


LISTED = EXCLUSIONS_TABLE.columns.index("OperationClasses")


@pytest.mark.parametrize("text", ["", " ", "routine", "Routine; vault and storage control,other"])
def test_known_operation_classes_stay(text: str) -> None:
    """The names of operation classes name nobody and stay."""
    row = pseudonymized_exclusion(OperationClasses=text)
    assert row[LISTED] == text
    assert len(Exclusions.of([row], 0, CHANGE_CLASSES).active) == 1


@pytest.mark.parametrize("text", [NAME, f"routine;{NAME}", f"routine {NAME}"])
def test_other_text_in_operation_classes_is_replaced(text: str) -> None:
    """A list with another text is replaced, and the entry stays invalid."""
    row = pseudonymized_exclusion(OperationClasses=text)
    assert NAME not in row[LISTED]
    assert len(Exclusions.of([row], 0, CHANGE_CLASSES).invalid) == 1


def pseudonymized_operation(text: str) -> str:
    """Return the replacement of an operation's name."""
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
    """Only Azure's own words and the rule's terms stay in an operation's name."""
    shown = pseudonymized_operation(text)
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
    """Azure's own codes and statuses keep their spelling."""
    assert pseudonymized_value(column, text) == text


@pytest.mark.parametrize("column", ["ResultType", "ActivityStatusValue"])
@pytest.mark.parametrize("text", [NAME, f"Success {NAME}", f"0 {NAME}", "5003412345678"])
def test_other_text_in_code_columns_is_replaced(column: str, text: str) -> None:
    """Text that is neither a code nor a status is replaced."""
    shown = pseudonymized_value(column, text)
    assert text not in shown
    assert NAME not in shown


def pseudonymized_value(column: str, text: str) -> str:
    """Return the replacement of a value of a column of either table."""
    shape = SIGN_IN_TABLE if column in SIGN_IN_TABLE.columns else OPERATION_TABLE
    row = dict.fromkeys(shape.columns, "") | {column: text}
    replaced_row = Pseudonyms(key=KEY).replace(shape, tuple(row.values()))
    return str(dict(zip(shape.columns, replaced_row, strict=True))[column])


@cache
def matching_words(part: str) -> str:
    """Return a known word, or two, that match a part of a pattern."""
    pattern = re.compile(".*".join(map(re.escape, part.split("*"))))
    known = sorted(AZURE_WORDS)
    starts = [word for word in known if word.startswith(part.partition("*")[0])]
    ends = [word for word in known if word.endswith(part.rpartition("*")[2])]
    pairs = map("/".join, product(starts, ends))
    return next((word for word in chain(known, pairs) if pattern.fullmatch(word)), "")


def test_operations_of_the_catalogue_keep_their_score() -> None:
    """The operations that give points stay what they are, those that end in a wildcard too."""
    for entry in (*catalog(CHANGE).entries, *catalog(ACTION).entries):
        text = "/".join(map(matching_words, entry.pattern.split("/")))
        assert "" not in text.split("/"), entry
        assert pseudonymized_operation(text) == text
        named = text.replace("/", f"/{NAME}/", 1)
        assert entry.fits(text)
        assert NAME not in pseudonymized_operation(named)
        assert is_delete(pseudonymized_operation(named)) == is_delete(text)


@given(st.lists(st.sampled_from((*sorted(AZURE_WORDS)[:40], NAME, "a-b", "READ", "")), max_size=6))
def test_every_part_of_an_operation_is_a_known_word_or_a_pseudonym(parts: list[str]) -> None:
    """Each part of an operation is a known word or a pseudonym; different names stay different."""
    shown = pseudonymized_operation("/".join(parts)).split("/")
    assert len(shown) == max(len(parts), 1)
    for before, after in zip(parts, shown, strict=False):
        assert after == before or re.fullmatch(r"[xX]-[a-pA-P]{20}(-[A-Z]+)*", after)
        assert after != before or ascii_lower(before) in AZURE_WORDS or not before
