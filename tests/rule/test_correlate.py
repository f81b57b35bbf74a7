"""Clauses 4 and 5: the rule agrees with nested loops over all pairs, column for column."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.rule.correlate import Group, Key, detect
from detection.rule.filters import RuleSettings
from detection.rule.log_rows import Logs
from detection.rule.ticks import HOUR
from tests.support import naive_rule as naive
from tests.support.strategies import (
    END,
    GUID,
    START,
    UNREADABLE,
    Row,
    Scenario,
    as_logs,
    calm,
    operation,
    scenarios,
    sign_in,
    wild,
    written,
)

NOON = START + HOUR


def found(scenario: Scenario) -> list[Group]:
    """Return the groups of a scenario, by the code under test."""
    chosen = RuleSettings(scenario.span, scenario.statuses)
    return detect(scenario.logs(), scenario.start, scenario.end, chosen).groups


def groups(
    sign_ins: list[Row], operations: list[Row], allowlist: tuple[str, ...] = ()
) -> list[Group]:
    """Return the groups of some rows under the default settings."""
    return detect(as_logs(sign_ins, operations, allowlist), START, END, RuleSettings()).groups


def identity(key: Key) -> tuple[object, ...]:
    """Return an operation's key as the naive reading names it."""
    assert isinstance(key, str)
    if key.startswith("~") and not key.startswith("~~"):
        time, *texts = (part.replace("~1", "|").replace("~0", "~") for part in key[1:].split("|"))
        return (int(time), *texts)
    return ("EventDataId", key.removeprefix("~"))


def as_finding(group: Group) -> naive.Finding:
    """Return a group under the rule's column names."""
    return {
        "ServicePrincipalName": group.service_principal_name,
        "ServicePrincipalId": group.service_principal_id,
        "ResourceGroup": group.resource_group,
        "DataPlaneAccesses": group.pairs,
        "MgmtPlaneOps": group.pairs,
        "Resources": group.resources,
        "Operations": group.operations,
        "AffectedResources": group.affected_resources,
        "SubscriptionIds": group.subscription_ids,
        "FirstEvent": group.first_event,
        "LastEvent": group.last_event,
        "DistinctSignIns": group.distinct_sign_ins,
        "DistinctOperations": len(group.operations_at),
        "CallerIpAddresses": group.caller_addresses,
        "OperationsAt": {identity(key): time for key, time in group.operations_at.items()},
    }


def assert_agreement(scenario: Scenario) -> None:
    """Compare every column of every finding, their order, and the operations' keys and times."""
    expected = naive.findings(*scenario.naive_arguments)
    assert list(map(as_finding, found(scenario))) == expected


@settings(max_examples=5 * settings().max_examples)
@given(wild())
def test_detection_agrees_with_the_naive_reading_of_any_rows(scenario: Scenario) -> None:
    """For any rows, the sweep finds what a loop over all pairs finds, column for column."""
    assert_agreement(scenario)


@given(scenarios())
def test_the_pairs_of_all_findings_are_those_of_the_nested_loop(scenario: Scenario) -> None:
    """Pair counts, added up, are the number of pairs that a loop over both tables forms."""
    pairs = naive.pairs(*scenario.naive_arguments)
    assert sum(group.pairs for group in found(scenario)) == len(pairs)


@given(scenarios(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(scenario: Scenario, random: Random) -> None:
    """Rows in any order give the same findings, in the same order and spelling."""
    shuffled = replace(
        scenario,
        sign_ins=random.sample(scenario.sign_ins, len(scenario.sign_ins)),
        operations=random.sample(scenario.operations, len(scenario.operations)),
    )
    before, after = found(scenario), found(shuffled)
    assert before == after
    assert [list(group.operations_at) for group in before] == [
        list(group.operations_at) for group in after
    ]


@given(scenarios(), st.sampled_from(UNREADABLE))
def test_an_unreadable_allowlist_entry_changes_nothing(scenario: Scenario, entry: str) -> None:
    """Findings are the same with and without an entry that cannot be read."""
    assert found(scenario) == found(replace(scenario, allowlist=[entry, *scenario.allowlist]))


@given(scenarios())
def test_rows_without_a_pair_change_nothing(scenario: Scenario) -> None:
    """Findings are the same without the rows that are in no pair."""
    pairs = naive.pairs(*scenario.naive_arguments)
    kept = {id(row) for pair in pairs for row in pair}
    paired = replace(
        scenario,
        sign_ins=[row for row in scenario.sign_ins if id(row) in kept],
        operations=[row for row in scenario.operations if id(row) in kept],
    )
    assert found(scenario) == found(paired)


@settings(max_examples=5 * settings().max_examples)
@given(calm())
def test_detection_agrees_with_the_naive_reading_of_many_pairs(scenario: Scenario) -> None:
    """In windows with many pairs, the sweep finds what nested loops find, column for column."""
    assert_agreement(scenario)


@pytest.mark.parametrize(
    ("apart", "paired"), [(-1, False), (0, True), (1, True), (HOUR, True), (HOUR + 1, False)]
)
def test_the_span_holds_both_its_ends(apart: int, paired: bool) -> None:
    """An operation at the sign-in or an hour later pairs; one tick outside does not."""
    moved = operation(TimeGenerated=written(NOON - 5 + apart))
    assert bool(groups([sign_in(TimeGenerated=written(NOON - 5))], [moved])) == paired


def test_one_finding_for_each_name_and_resource_group() -> None:
    """An identity under two names that reaches two resource groups makes four findings."""
    sign_ins = [sign_in(ServicePrincipalName="b"), sign_in(ServicePrincipalName="a")]
    operations = [operation(ResourceGroup="y"), operation(ResourceGroup="x")]
    assert [(g.key.name, g.key.resource_group) for g in groups(sign_ins, operations)] == [
        ("a", "x"),
        ("a", "y"),
        ("b", "x"),
        ("b", "y"),
    ]


@pytest.mark.parametrize("blank", ["", None])
def test_a_blank_group_key_is_a_group_of_its_own(blank: str | None) -> None:
    """A blank name or resource group makes its own finding, as summarize does."""
    sign_ins = [sign_in(), sign_in(ServicePrincipalName=blank)]
    operations = [operation(), operation(ResourceGroup=blank)]
    assert [(g.key.name, g.key.resource_group) for g in groups(sign_ins, operations)] == [
        ("", ""),
        ("", "rg"),
        ("app", ""),
        ("app", "rg"),
    ]


def test_findings_come_earliest_first() -> None:
    """Findings stand in the order of their first events, not of their identities."""
    late = [sign_in(ServicePrincipalId="a"), operation(Caller="a")]
    early = written(NOON - 1)
    soon = [
        sign_in(ServicePrincipalId="b", TimeGenerated=early),
        operation(Caller="b", TimeGenerated=early),
    ]
    found_groups = groups([late[0], soon[0]], [late[1], soon[1]])
    assert [group.service_principal_id for group in found_groups] == ["b", "a"]


def test_sets_are_cut_to_the_first_ones() -> None:
    """Each set holds its earliest values, up to the number that the rule shows."""
    sign_ins = [
        sign_in(TimeGenerated=written(NOON - 20 + n), ResourceDisplayName=f"Storage {n}")
        for n in range(12)
    ]
    operations = [
        operation(
            TimeGenerated=written(NOON + n),
            OperationNameValue=f"s{n}/write",
            ResourceId=f"/r/{n}",
            SubscriptionId=str(n),
            CallerIpAddress=f"192.0.2.{n}",
        )
        for n in range(12)
    ]
    [group] = groups(sign_ins[::-1], operations[::-1])
    assert group.resources == [f"Storage {n}" for n in range(5)]
    assert group.operations == [f"s{n}/write" for n in range(10)]
    assert group.affected_resources == [f"/r/{n}" for n in range(10)]
    assert group.subscription_ids == [str(n) for n in range(5)]
    assert group.caller_addresses == [f"192.0.2.{n}" for n in range(10)]


@pytest.mark.parametrize("repeats", [99, 100, 101, 1500])
def test_a_value_after_many_alike_is_shown(repeats: int) -> None:
    """The sets hold later values, however often the first value is repeated."""
    sign_ins = [sign_in(Id=str(n)) for n in range(repeats)]
    operations = [operation(EventDataId=str(n)) for n in range(repeats)]
    after = written(NOON + 1)
    sign_ins.append(sign_in(TimeGenerated=after, ResourceDisplayName="Storage"))
    operations.append(operation(TimeGenerated=after, SubscriptionId="b", ResourceId="/r/2"))
    [group] = groups(sign_ins, operations)
    assert group.resources == ["Azure Key Vault", "Storage"]
    assert group.subscription_ids == ["a", "b"]
    assert group.affected_resources == ["/r/1", "/r/2"]


def test_blank_values_stay_in_the_sets_but_not_among_the_addresses() -> None:
    """A blank resource or subscription stays in its set as in KQL; a blank address does not."""
    columns = dict.fromkeys(("ResourceId", "SubscriptionId", "CallerIpAddress"))
    [group] = groups([sign_in()], [operation(**columns), operation(CallerIpAddress=" ")])
    assert group.affected_resources == ["", "/r/1"]
    assert group.subscription_ids == ["", "a"]
    assert group.caller_addresses == []


def test_a_repeated_operation_is_kept_with_its_latest_time() -> None:
    """An event seen at two moments is one operation, remembered by the later."""
    later = operation(TimeGenerated=written(NOON + 5))
    [group] = groups([sign_in()], [later, operation()])
    assert group.operations_at == {"o1": NOON + 5}


def test_an_operation_without_event_id_is_keyed_by_all_its_fields() -> None:
    """Without an event id, operations are the same only if every field is equal, ignoring case."""
    same = operation(EventDataId=" ", Caller=GUID.upper(), ResourceId="/R/1", SubscriptionId="A")
    others = [
        operation(EventDataId=""),
        operation(EventDataId="", TimeGenerated=written(NOON + 1)),
        operation(EventDataId="", OperationNameValue="a/write"),
        operation(EventDataId="", ResourceId=None, _ResourceId="/r/2"),
        operation(EventDataId="", SubscriptionId="b"),
        operation(EventDataId="", CorrelationId="c"),
    ]
    [group] = groups([sign_in()], [same, *others])
    assert len(group.operations_at) == len(others)


def test_operation_keys_are_stable() -> None:
    """The ledger's keys are the event id, else the time and the lower-case columns."""
    rows = [
        operation(EventDataId="E1"),
        operation(EventDataId="~1", TimeGenerated=written(NOON + 1)),
        operation(
            EventDataId=None,
            ResourceId="/R/1",
            TimeGenerated=written(NOON + 2),
            CorrelationId="c|~d",
        ),
    ]
    known = f"~{NOON + 2}|{GUID}|microsoft.keyvault/vaults/write|/r/1|a|c~1~0d"
    [group] = groups([sign_in()], rows[::-1])
    assert list(group.operations_at.items()) == [
        ("E1", NOON),
        ("~~1", NOON + 1),
        (known, NOON + 2),
    ]


def test_no_rows_find_nothing() -> None:
    """Empty tables give no finding and match nothing."""
    detection = detect(as_logs([], []), START, END, RuleSettings())
    assert detection.groups == []
    assert detection.sign_ins.matched == detection.operations.matched == 0


def hot(size: int, step: int, names: int = 1) -> Logs:
    """Return one identity with `size` sign-ins and as many operations, both `step` ticks apart."""
    times = [START + (n + 1) * step for n in range(size)]
    return Logs(
        sign_ins=[
            (time, GUID, "0", "Azure Key Vault", f"app{n % names}", "", str(n), "", "")
            for n, time in enumerate(times)
        ],
        operations=[
            (time, GUID, "a/write", "Success", "rg", "", "", "", "", str(n), "")
            for n, time in enumerate(times)
        ],
        allowlist=[],
        states={},
    )


def test_a_hot_identity_is_counted_without_forming_its_pairs() -> None:
    """A hundred thousand sign-ins by as many operations, 3.75e9 pairs, are counted exactly."""
    size, step = 100_000, 720_000
    reach = HOUR // step
    [group] = detect(hot(size, step), START, END, RuleSettings()).groups
    assert group.pairs == sum(min(n, reach) + 1 for n in range(size)) == 3_750_075_000
    assert group.distinct_sign_ins == len(group.operations_at) == size
    assert (group.first_event, group.last_event) == (START + step, END)


def test_a_hot_moment_is_counted_without_forming_its_pairs() -> None:
    """Twenty thousand of each at the same moment are counted as four hundred million pairs."""
    size = 20_000
    logs = hot(size, 0)
    [group] = detect(logs, START - 1, END, RuleSettings()).groups
    assert group.pairs == size * size
    assert group.distinct_sign_ins == len(group.operations_at) == size


def test_a_hot_identity_under_many_names_shares_its_operations() -> None:
    """A hundred names of one identity, each with a few sign-ins, are counted one by one."""
    size, step, names = 1_000, 1, 100
    found_groups = detect(hot(size, step, names), START, END, RuleSettings()).groups
    assert len(found_groups) == names
    assert sum(group.pairs for group in found_groups) == size * (size + 1) // 2
