"""Azure's built-in roles that matter to a finding: their names, and which are privileged.

They are data: builtin_roles.csv has a line for each, with the ids and names of Microsoft's list
(articles/role-based-access-control/built-in-roles.md of MicrosoftDocs/azure-docs). A role is
privileged if its holder can give rights or take over identities and machines, or can read secrets
or stored data, directly or with keys that the role may list. Contributor is: it lists keys.
"""

import csv
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from detection.rule.kql_text import ascii_lower

FILE: Final = Path(__file__).parent / "builtin_roles.csv"
# The points of risk of giving a role: to whole subscriptions, and to less. The catalogue of
# operations has those of a role that is not known.
PRIVILEGED_POINTS: Final = (44, 42)
OTHER_POINTS: Final = (30, 18)
# The roles, in lower case, whose holders can assign any role (the same list as above).
GIVING_ROLES: Final = frozenset(
    {"owner", "user access administrator", "role based access control administrator"}
)
GUID_GROUPS: Final = (8, 12, 16, 20)  # the places of its dashes among the hexadecimal digits


class Role(NamedTuple):
    """A built-in role by the id of its definition, a GUID in lower case."""

    definition_id: str
    name: str
    is_privileged: bool


@cache
def builtin_roles() -> Mapping[str, Role]:
    """Return the roles by the id of their definition; the first call reads the file."""
    with FILE.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    roles = (Role(line["id"], line["role"], line["privileged"] == "yes") for line in lines)
    return {role.definition_id: role for role in roles}


@cache
def builtin_role_names() -> frozenset[str]:
    """Return the names of the roles in ASCII lower case."""
    return frozenset(ascii_lower(role.name) for role in builtin_roles().values())


def gives_rights(role: str) -> bool:
    """Return True if the holder of a built-in role, given by name, can assign roles to anybody."""
    return ascii_lower(role) in GIVING_ROLES


def grant_points(definition_id: str, scope: str) -> int | None:
    """Return the points of risk of giving a role at a scope; None if the role is not known."""
    role = builtin_roles().get(definition_id)
    if role is None:
        return None
    wide, narrow = PRIVILEGED_POINTS if role.is_privileged else OTHER_POINTS
    return wide if is_wide(scope) else narrow


def is_wide(scope: str) -> bool:
    """Return True for a scope that holds whole subscriptions: one, a management group or all."""
    return scope.startswith("/") and "/resourcegroups/" not in ascii_lower(scope)


def role_name(definition_id: str) -> str:
    """Return the name of a built-in role, "" for another role."""
    role = builtin_roles().get(definition_id)
    return role.name if role else ""


def is_privileged(definition_id: str) -> bool:
    """Return True for a privileged built-in role, given the id that role_id() returns."""
    role = builtin_roles().get(definition_id)
    return role is not None and role.is_privileged


def role_id(text: str) -> str:
    """Return the id of a role definition in lower case, given that id or the path that ends in it.

    Activity logs write the id with and without dashes.
    """
    last = ascii_lower(text.rstrip("/").rpartition("/")[2])
    if len(last) != 32 or not last.isalnum():
        return last
    places = (0, *GUID_GROUPS, len(last))
    return "-".join(last[start:end] for start, end in pairwise(places))
