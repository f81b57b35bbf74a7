"""The built-in roles: a line each, with the ids and names that Azure writes."""

import re

import pytest

from detection.ranking.roles import (
    builtin_role_names,
    builtin_roles,
    is_privileged,
    role_id,
    role_name,
)
from tests.support.details import OWNER


def test_each_role_has_one_line() -> None:
    """Ids are GUIDs in lower case, and neither an id nor a name is repeated."""
    roles = builtin_roles()
    assert all(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", each) for each in roles)
    assert len(builtin_role_names()) == len(roles) > 50


def test_roles_that_give_rights_or_read_secrets_are_privileged() -> None:
    """Owners, role administrators and readers of secrets and data are, readers of settings not."""
    privileged = {role.name for role in builtin_roles().values() if role.is_privileged}
    assert privileged >= {
        *("Owner", "Contributor", "User Access Administrator"),
        *("Role Based Access Control Administrator", "Key Vault Secrets User"),
        *("Storage Blob Data Reader", "Storage Account Key Operator Service Role"),
    }
    assert not privileged & {"Reader", "AcrPull", "Monitoring Reader", "Key Vault Reader"}


@pytest.mark.parametrize(
    "text",
    [
        OWNER,
        OWNER.upper(),
        OWNER.replace("-", ""),
        f"/providers/Microsoft.Authorization/roleDefinitions/{OWNER}",
        f"/subscriptions/s/providers/Microsoft.Authorization/roleDefinitions/{OWNER}/",
    ],
)
def test_an_id_is_known_in_all_its_spellings(text: str) -> None:
    """With or without dashes, alone or at the end of a path, the id names the role."""
    assert role_name(role_id(text)) == "Owner"
    assert is_privileged(role_id(text))


def test_another_role_has_no_name() -> None:
    """A custom role is not privileged as far as is known."""
    assert role_name(role_id("/x/custom")) == ""
    assert not is_privileged("custom")
    assert role_id("") == ""
