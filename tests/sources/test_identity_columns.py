"""Optional columns are decoded in all their spellings, and anything unreadable tells nothing."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.ranking.identity_details import SYSTEM_ASSIGNED, USER_ASSIGNED
from detection.sources.identity_columns import granted, residence
from tests.support.details import GROUP_SCOPE, HOST, OWN, OWNER, request_body

REQUEST = {
    "roleDefinitionId": f"{GROUP_SCOPE}/providers/Microsoft.Authorization/roleDefinitions/{OWNER}",
    "principalId": "p",
    "principalType": "ServicePrincipal",
    "scope": GROUP_SCOPE,
}
EXPECTED = (OWNER, "p", "ServicePrincipal", GROUP_SCOPE)


@pytest.mark.parametrize("pascal", [False, True])
@pytest.mark.parametrize("wrapped", [False, True])
def test_both_spellings_of_a_request_are_read(*, pascal: bool, wrapped: bool) -> None:
    """PascalCase and camelCase, with and without the wrapper, once or twice written as text."""
    body = request_body(pascal=pascal, wrapped=wrapped, **REQUEST)
    assert granted(body) == granted(json.dumps(body)) == EXPECTED


def test_properties_may_be_text_in_a_request() -> None:
    """The inner object too may be JSON in a text."""
    assert granted(json.dumps({"Properties": json.dumps(REQUEST)})) == EXPECTED


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_any_other_text_names_nobody(body: str) -> None:
    """A body that is no request gives four empty texts, and no error."""
    assert granted(body) == ("", "", "", "")


@pytest.mark.parametrize(
    ("kind", "resource", "host", "expected"),
    [
        # the claims of an operation have no type
        ("", HOST, "", (SYSTEM_ASSIGNED, HOST, HOST)),
        ("", OWN, HOST, (USER_ASSIGNED, OWN, HOST)),
        ("", OWN, "", (USER_ASSIGNED, OWN, "")),
        ("", "", HOST, ("", "", HOST)),
        # a sign-in has a type and one resource
        ("systemAssigned", HOST, "", (SYSTEM_ASSIGNED, HOST, HOST)),
        ("UserAssigned", OWN, "", (USER_ASSIGNED, OWN, "")),
        ("userAssigned", HOST, "", (USER_ASSIGNED, "", HOST)),
        ("none", "", "", ("", "", "")),
    ],
)
def test_an_identity_is_told_from_its_host(
    kind: str, resource: str, host: str, expected: tuple[str, str, str]
) -> None:
    """A user-assigned identity has a resource of its own kind; any other resource is the host."""
    assert residence(kind, resource, host) == expected
