"""The details of an identity: its grants, roles and reused tokens, from rows in any order."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from detection.ranking.identity_details import (
    NO_DETAILS,
    DetailRow,
    IdentityDetails,
    RoleUse,
    TokenUse,
    details_by_identity,
)
from tests.support.details import ASSIGNMENT, GROUP_SCOPE, OWNER, SUBSCRIPTION

TEXTS = st.sampled_from(("", "a", "A", "b"))
ROWS = st.lists(
    st.builds(
        DetailRow,
        time=st.integers(0, 5),
        identity=st.sampled_from(("i", "j")),
        tenant_id=TEXTS,
        host_resource_id=TEXTS,
        role=TEXTS,
        role_scope=TEXTS,
        token=TEXTS,
        address=TEXTS,
        status=st.sampled_from(("", "Success", "Start")),
        resource_id=TEXTS,
        principal_id=TEXTS,
        correlation_id=TEXTS,
    ),
    max_size=12,
)


def details(*rows: dict[str, Any]) -> IdentityDetails:
    """Return the details of one identity with these rows."""
    first = DetailRow(1, "i")
    made = [first._replace(**row) for row in rows]
    return details_by_identity(made, ("Success",)).get("i", NO_DETAILS)


def assignment(status: str, **fields: Any) -> dict[str, Any]:
    """Return a row of a role assignment."""
    return {"status": status, "resource_id": ASSIGNMENT, "correlation_id": "c"} | fields


@given(ROWS, st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(rows: list[DetailRow], random: Any) -> None:
    """Shuffled and repeated rows give the same details."""
    shuffled = [*rows, *rows]
    random.shuffle(shuffled)
    assert details_by_identity(shuffled, ("success",)) == details_by_identity(rows, ("success",))


@given(ROWS, ROWS)
def test_more_rows_never_take_a_grant_or_a_reuse_away(
    rows: list[DetailRow], more: list[DetailRow]
) -> None:
    """Grants, roles and uses of reused tokens stay when rows are added."""
    before, after = (details_by_identity(each, ("success",)) for each in (rows, rows + more))
    for identity, mine in before.items():
        grown = after[identity]
        assert set(mine.token_uses) <= set(grown.token_uses)
        assert {(each.correlation_id, each.resource_id.lower()) for each in mine.grants} <= {
            (each.correlation_id, each.resource_id.lower()) for each in grown.grants
        }


def test_a_grant_takes_role_and_principal_from_its_request() -> None:
    """The success tells that the role was given, and the first row which one and to whom."""
    request = {"role_definition_id": OWNER, "principal_id": "p", "scope": SUBSCRIPTION}
    (grant,) = details(
        assignment("Start", time=2, **request),
        assignment("Success", time=3, resource_id=ASSIGNMENT.upper(), resource_group="rg"),
        assignment("Start", time=1, principal_id="other", correlation_id="another"),
    ).grants
    assert (grant.time, grant.role, grant.principal_id) == (3, "Owner", "p")
    assert (grant.scope, grant.resource_group, grant.is_privileged) == (SUBSCRIPTION, "rg", True)


def test_a_grant_without_a_request_has_its_scope() -> None:
    """The scope is in the resource id; role and principal stay unknown."""
    (grant,) = details(assignment("Success")).grants
    assert (grant.scope, grant.role, grant.principal_id) == (GROUP_SCOPE, "", "")
    root = "/providers/Microsoft.Authorization/roleAssignments/1"
    assert details(assignment("Success", resource_id=root)).grants[0].scope == "/"


def test_an_assignment_that_did_not_succeed_is_no_grant() -> None:
    """A request alone, or a failure, gives nothing."""
    assert not details(assignment("Start", principal_id="p"), assignment("Failure")).grants


def test_grants_are_those_of_a_resource_group() -> None:
    """A finding has the grants of its own resource group, whatever their spelling."""
    mine = details(
        assignment("Success", resource_group="RG"),
        assignment("Success", resource_group="", correlation_id="d"),
    )
    assert [len(mine.grants_in(name)) for name in ("rg", "", "other")] == [1, 1, 0]


def test_a_token_of_one_address_is_not_reused() -> None:
    """Only tokens that several addresses used are listed, with all of their uses."""
    found = details(
        {"token": "one", "address": "a"},
        {"token": "one", "address": "a", "time": 2},
        {"token": "two", "address": "a", "time": 3},
        {"token": "two", "address": "b", "time": 4},
    )
    assert found.token_uses == (TokenUse("two", 3, "a"), TokenUse("two", 4, "b"))


def test_the_first_known_value_counts() -> None:
    """Each text is the first that is not blank, and each role is listed once as first spelt."""
    found = details(
        {"time": 1, "tenant_id": "", "role": "Owner", "role_scope": "/S"},
        {"time": 2, "tenant_id": "t", "role": "owner", "role_scope": "/s"},
        {"time": 3, "tenant_id": "u", "failed": "2"},
        {"time": 4, "failed": "3"},
    )
    assert (found.tenant_id, found.failed_operations) == ("t", 5)
    assert found.roles_used == (RoleUse("Owner", "/S"),)
