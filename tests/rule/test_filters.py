"""Clauses 1 to 3: the rows that take part in the rule, and the counts of the others."""

from collections.abc import Callable

import pytest
from hypothesis import given

from detection.rule.allowlist import Allowlist
from detection.rule.filters import (
    RuleSettings,
    match_operations,
    match_sign_ins,
)
from detection.rule.log_rows import (
    OPERATION_TABLE,
    SIGN_IN_TABLE,
    operation_keys,
    sign_in_keys,
)
from detection.rule.memo import Memo
from tests.support import naive_rule as naive
from tests.support.strategies import (
    END,
    START,
    Row,
    Scenario,
    as_logs,
    operation,
    scenarios,
    sign_in,
    written,
)


@given(scenarios())
def test_sign_ins_are_matched_and_counted_as_in_a_plain_loop(scenario: Scenario) -> None:
    """The sign-ins kept, matched, excluded and without address are those of a plain loop."""
    rows, allowed = scenario.sign_ins, scenario.allowlist
    chosen = match_sign_ins(
        scenario.logs().sign_ins, scenario.start, scenario.end, Allowlist.of(allowed)
    )
    matched = [p for p, row in enumerate(rows) if naive.is_access(row, scenario.window)]
    addresses = {p: naive.text(rows[p], "IPAddress") for p in matched}
    kept = [p for p in matched if not naive.is_allowed(addresses[p], allowed)]
    assert chosen.matched == len(matched)
    assert chosen.excluded == len(matched) - len(kept)
    assert chosen.without_address == sum(map(naive.is_blank, addresses.values()))
    events = {identity: sorted(mine) for identity, mine in chosen.by_identity.items()}
    assert events == _orders(rows, kept, "ServicePrincipalId", naive.sign_in_order)


@given(scenarios())
def test_operations_are_matched_and_counted_as_in_a_plain_loop(scenario: Scenario) -> None:
    """The operations kept and those spelt Succeeded are those of a plain loop."""
    rows, statuses = scenario.operations, scenario.statuses
    settings = RuleSettings(scenario.span, statuses)
    chosen = match_operations(scenario.logs().operations, scenario.start, scenario.end, settings)
    changes = [p for p, row in enumerate(rows) if naive.is_change(row, scenario.window)]
    kept = [p for p in changes if naive.is_success(rows[p], statuses)]
    others = [p for p in changes if naive.is_success(rows[p], ["Succeeded"]) and p not in kept]
    assert chosen.matched == len(kept)
    assert chosen.other_success == len(others)
    events = {identity: sorted(mine) for identity, mine in chosen.by_identity.items()}
    assert events == _orders(rows, kept, "Caller", naive.operation_order)


def _orders(
    rows: list[Row], kept: list[int], column: str, order: Callable[[Row], tuple[object, ...]]
) -> dict[str, list[tuple[object, ...]]]:
    """Return the order of the rows of each identity, sorted by the given key."""
    found: dict[str, list[tuple[object, ...]]] = {}
    for row in sorted((rows[position] for position in kept), key=order):
        if not naive.is_blank(naive.text(row, column)):
            found.setdefault(naive.lowered(row, column), []).append(order(row))
    return found


@pytest.mark.parametrize(
    ("time", "taken"), [(START, False), (START + 1, True), (END, True), (END + 1, False)]
)
def test_the_window_holds_its_end_and_not_its_start(time: int, taken: bool) -> None:
    """A row at the window's start is left out and one at its end is included, to the tick."""
    logs = as_logs([sign_in(TimeGenerated=written(time))], [operation(TimeGenerated=written(time))])
    assert match_sign_ins(logs.sign_ins, START, END, Allowlist.of([])).matched == taken
    assert match_operations(logs.operations, START, END, RuleSettings()).matched == taken


@pytest.mark.parametrize("result", ["7000232", "00", "0 ", " 0", "", None, "0.0"])
def test_a_failed_sign_in_does_not_count(result: str | None) -> None:
    """Only result type 0, exactly so written, is a successful sign-in."""
    logs = as_logs([sign_in(ResultType=result)], [])
    assert match_sign_ins(logs.sign_ins, START, END, Allowlist.of([])).matched == 0


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("MICROSOFT.KEYVAULT/VAULTS/WRITE", True),
        ("Microsoft.Storage/storageAccounts/delete", True),
        ("a_write_b", True),
        ("MICROSOFT.STORAGE/STORAGEACCOUNTS/LISTKEYS/WRITE", True),
        ("a/list/write", False),
        ("a/get/delete", False),
        ("a/write/read", False),
        ("a/overwrite", False),
        ("MICROSOFT.STORAGE/STORAGEACCOUNTS/LISTKEYS/ACTION", False),
        ("", False),
    ],
)
def test_operations_with_change_terms_and_no_read_terms_are_changes(name: str, taken: bool) -> None:
    """A change has the term write or delete and none of read, list and get."""
    logs = as_logs([], [operation(OperationNameValue=name)])
    assert match_operations(logs.operations, START, END, RuleSettings()).matched == taken


def test_excluded_sign_ins_are_still_matched() -> None:
    """A sign-in from an allowed address counts as matched and as excluded, and does not pair."""
    logs = as_logs([sign_in(IPAddress="10.0.0.1"), sign_in(IPAddress="")], [])
    chosen = match_sign_ins(logs.sign_ins, START, END, Allowlist.of(["10.0.0.0/8"]))
    assert (chosen.matched, chosen.excluded, chosen.without_address) == (2, 1, 1)
    assert [len(mine) for mine in chosen.by_identity.values()] == [1]


@pytest.mark.parametrize("address", ["", None, " ", "\t"])
def test_a_blank_address_is_never_excluded(address: str | None) -> None:
    """A sign-in whose address is blank counts as without address and is never left out."""
    logs = as_logs([sign_in(IPAddress=address), sign_in(IPAddress="x")], [])
    chosen = match_sign_ins(logs.sign_ins, START, END, Allowlist.of(["0.0.0.0/0", "::/0"]))
    assert (chosen.matched, chosen.excluded, chosen.without_address) == (2, 0, 1)


NIL = "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize("none", ["", " ", "\t\u00a0", "0", "-", NIL, f" {NIL} ", "0" * 99, "--0"])
def test_blank_or_zero_ids_do_not_identify_events(none: str) -> None:
    """A blank id and an id of zeros are ignored; the other fields identify the event."""
    ids = [none, none, "e1"]
    rows = as_logs(
        [sign_in(Id=name, CorrelationId=f"c{n}") for n, name in enumerate(ids)],
        [operation(EventDataId=name, CorrelationId=f"c{n}") for n, name in enumerate(ids)],
    )
    for keys in (sign_in_keys(rows.sign_ins), operation_keys(rows.operations)):
        assert len(set(keys)) == 3
        assert all(key.startswith("~") for key in keys[:2])
        assert keys[2] == "e1"


@pytest.mark.parametrize("name", [f"{NIL[:-1]}1", "00000001" + NIL[8:], "0a", "a0", "0x", "\u0660"])
def test_an_id_with_any_other_character_identifies_an_event(name: str) -> None:
    """One other letter or digit makes an id of zeros a real id."""
    rows = [
        operation(EventDataId=name, CorrelationId=correlation) for correlation in ("c1", "c2")
    ] + [operation(EventDataId="e1")]
    assert operation_keys(as_logs([], rows).operations) == [name, name, "e1"]
    assert operation_keys(as_logs([], rows[:2]).operations) == [name, name]


def test_changes_without_a_caller_are_counted() -> None:
    """Accepted changes with a blank caller are counted, as no identity has them."""
    rows = [operation(Caller=who) for who in ("", None, " ", "a")]
    rows.append(operation(Caller="", ActivityStatusValue="Succeeded"))
    chosen = match_operations(as_logs([], rows).operations, START, END, RuleSettings())
    assert (chosen.matched, chosen.without_caller, chosen.other_success) == (4, 3, 1)


def test_columns_stand_in_the_order_that_breaks_ties() -> None:
    """The order of columns decides between rows at one time, and so what is shown first."""
    assert SIGN_IN_TABLE.columns == ("TimeGenerated", *naive.SIGN_IN_COLUMNS)
    assert OPERATION_TABLE.columns == ("TimeGenerated", *naive.OPERATION_COLUMNS)


def test_a_memo_calls_once_for_each_value() -> None:
    """A remembered function is called once for each argument."""
    calls: list[str] = []

    def length(text: str) -> int:
        calls.append(text)
        return len(text)

    memo = Memo[str, int](length)
    assert [memo["a"], memo["bb"], memo["a"]] == [1, 2, 1]
    assert calls == ["a", "bb"]
