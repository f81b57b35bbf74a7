"""The rule differs from the published KQL on purpose: D1 to D5, D7 and D8."""

import pytest

from detection.rule.correlate import Detection, detect
from detection.rule.filters import RuleSettings
from tests.support.strategies import END, GUID, START, Row, as_logs, operation, sign_in, written


def detection(
    sign_ins: list[Row],
    operations: list[Row],
    allowlist: tuple[str, ...] = (),
    statuses: tuple[str, ...] = ("Success",),
) -> Detection:
    """Apply the rule to some rows."""
    chosen = RuleSettings(success_statuses=statuses)
    return detect(as_logs(sign_ins, operations, allowlist), START, END, chosen)


@pytest.mark.parametrize("allowlist", [(), ("198.51.100.0/24",), ("198.51.100.7",), ("",)])
@pytest.mark.parametrize("address", ["", None, "192.0.2.1"])
def test_d1_no_ranges_exclude_nothing(allowlist: tuple[str, ...], address: str | None) -> None:
    """Without a low-high entry in the watchlist, the rule still finds the pairs."""
    assert len(detection([sign_in(IPAddress=address)], [operation()], allowlist).groups) == 1


@pytest.mark.parametrize("identity", ["", None, " ", "\t\u00a0"])
def test_d2_a_blank_identity_never_pairs(identity: str | None) -> None:
    """A sign-in and an operation whose identities are both blank do not pair."""
    assert not detection(
        [sign_in(ServicePrincipalId=identity)], [operation(Caller=identity)]
    ).groups


def test_d3_ascii_case_is_ignored_and_the_first_spelling_shown() -> None:
    """Values that differ in ASCII case are one, spelt as in the earliest paired event."""
    before, after = written(START + 5), written(START + 6)
    sign_ins = [
        sign_in(TimeGenerated=after, ServicePrincipalId=GUID, ServicePrincipalName="app"),
        sign_in(TimeGenerated=before, ServicePrincipalId=GUID.upper(), ServicePrincipalName="APP"),
    ]
    lower = operation(ResourceId="/r/x", OperationNameValue="a/write")
    upper = {
        "Caller": GUID.title(),
        "ResourceGroup": "RG",
        "ResourceId": "/R/X",
        "OperationNameValue": "A/WRITE",
        "SubscriptionId": "A",
    }
    [group] = detection(sign_ins, [lower, operation(TimeGenerated=after, **upper)]).groups
    assert group.pairs == 4
    assert (group.service_principal_id, group.service_principal_name) == (GUID.upper(), "APP")
    assert group.resource_group == "RG"
    assert group.affected_resources == ["/R/X"]
    assert group.operations == ["A/WRITE"]
    assert group.subscription_ids == ["A"]


@pytest.mark.parametrize(("other", "findings"), [("App", 1), ("APP", 1), ("app2", 2)])
def test_d3_names_that_differ_in_case_are_one(other: str, findings: int) -> None:
    """Sign-ins under two spellings of a name make one finding, under two names two."""
    sign_ins = [sign_in(ServicePrincipalName="app"), sign_in(ServicePrincipalName=other)]
    assert len(detection(sign_ins, [operation()]).groups) == findings


@pytest.mark.parametrize(("left", "right"), [("mi-k", "mi-\u212a"), ("mi-\u00e9", "mi-\u00c9")])
def test_d3_only_ascii_case_is_ignored(left: str, right: str) -> None:
    """Identities that differ in more than ASCII case stay apart."""
    assert detection([sign_in(ServicePrincipalId=left)], [operation(Caller=left)]).groups
    assert not detection([sign_in(ServicePrincipalId=left)], [operation(Caller=right)]).groups


@pytest.mark.parametrize(
    ("given", "own", "shown"),
    [("/r/1", "/r/2", "/r/1"), ("", "/r/2", "/r/2"), (None, "/r/2", "/r/2"), (" ", "/r/2", "/r/2")],
)
def test_d4_the_resource_id_of_current_workspaces(given: str | None, own: str, shown: str) -> None:
    """Where ResourceId is blank, _ResourceId names the changed resource."""
    [group] = detection([sign_in()], [operation(ResourceId=given, _ResourceId=own)]).groups
    assert group.affected_resources == [shown]


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("10.0.0.1 - 10.0.0.9", "10.0.0.9"),
        (" 10.0.0.0/8\r\n", "10.1.2.3"),
        ("2001:db8::/32", "2001:DB8::7"),
        ("2001:db8::1 - 2001:db8::9", "2001:db8::9"),
        ("2001:db8::7", "2001:0db8:0:0:0:0:0:7"),
    ],
)
def test_d5_blanks_and_ipv6_in_the_allowlist(entry: str, address: str) -> None:
    """An entry with blanks around it, or of IPv6 in any form, excludes its addresses."""
    result = detection([sign_in(IPAddress=address)], [operation()], (entry,))
    assert not result.groups
    assert result.sign_ins.excluded == 1
    assert result.allowlist.invalid == ()


def test_d5_an_unreadable_entry_is_counted_and_named() -> None:
    """An entry that cannot be read excludes nothing, is counted, and is named once."""
    listed = ("corp vpn", "10.0.0.9-10.0.0.1", "10.0.0.0/33", "corp vpn", "198.51.100.0/24")
    result = detection([sign_in(IPAddress="10.0.0.5")], [operation()], listed)
    assert len(result.groups) == 1
    assert result.allowlist.entries == 5
    assert result.allowlist.invalid == ("corp vpn", "10.0.0.9-10.0.0.1", "10.0.0.0/33")


def test_d7_pairs_are_counted_beside_what_is_distinct() -> None:
    """Two sign-ins and three operations are six pairs; repeats of rows add pairs, not events."""
    sign_ins = [sign_in(Id="s1"), sign_in(Id="s2")]
    operations = [operation(EventDataId=f"o{n}") for n in range(3)]
    [once] = detection(sign_ins, operations).groups
    assert (once.pairs, once.distinct_sign_ins, len(once.operations_at)) == (6, 2, 3)
    [twice] = detection(sign_ins * 2, operations * 2).groups
    assert (twice.pairs, twice.distinct_sign_ins, len(twice.operations_at)) == (24, 2, 3)


def test_d7_events_without_id_are_compared_by_all_fields() -> None:
    """Rows without an event id count once if all their identifying fields are equal."""
    sign_ins = [sign_in(Id=""), sign_in(Id=" "), sign_in(Id=None, CorrelationId="c")]
    operations = [operation(EventDataId=None), operation(EventDataId="", ResourceId="/R/1")]
    [group] = detection(sign_ins, operations).groups
    assert (group.pairs, group.distinct_sign_ins, len(group.operations_at)) == (6, 2, 1)


def test_d8_succeeded_is_ignored_and_counted() -> None:
    """A row spelt Succeeded does not pair by default, and is counted in any letter case."""
    rows = [operation(ActivityStatusValue="Succeeded"), operation(ActivityStatusValue="SUCCEEDED")]
    result = detection([sign_in()], [*rows, operation(ActivityStatusValue="Start")])
    assert not result.groups
    assert (result.operations.matched, result.operations.other_success) == (0, 2)


def test_d8_the_setting_adds_succeeded() -> None:
    """With Succeeded among the accepted statuses, such rows pair and are not counted apart."""
    rows = [operation(ActivityStatusValue="succeeded"), operation(ActivityStatusValue="Success")]
    result = detection([sign_in()], rows, statuses=("Success", "Succeeded"))
    assert [group.pairs for group in result.groups] == [2]
    assert (result.operations.matched, result.operations.other_success) == (2, 0)
