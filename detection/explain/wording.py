"""The title of a finding, in one line, and its description, in one paragraph of plain English."""

from collections.abc import Sequence
from typing import Any, Final

from detection.printable import counted, one_line, shorten_middle
from detection.ranking.classify import classify, classify_action
from detection.ranking.evidence import CORROBORATION
from detection.ranking.identity_details import (
    SYSTEM_ASSIGNED,
    USER_ASSIGNED,
    Grant,
    IdentityDetails,
)
from detection.rule.correlate import Group
from detection.rule.kql_text import ascii_lower, is_blank
from detection.rule.ticks import SECOND, format_time

NAME_LENGTH: Final = 80  # characters of a name or a scope in a sentence
OPERATION_LENGTH: Final = 200  # characters of an operation's name
MOST_NAMED: Final = 3  # operations or grants that a description names
_KINDS: Final = {
    SYSTEM_ASSIGNED: "system-assigned managed identity",
    USER_ASSIGNED: "user-assigned managed identity",
    "": "managed identity",
}

Evidence = Sequence[dict[str, Any]]


def title(group: Group, evidence: Evidence, details: IdentityDetails) -> str:
    """Return the identity, the gravest thing that it did, and where."""
    name = _name(group.service_principal_name or group.service_principal_id)
    grants = _gravest_grants(group, details)
    deeds = _deeds(evidence)
    if grants and (not deeds or "roleassignments/write" in ascii_lower(deeds[0][1])):
        return f"{name} {_given(grants[0])}"
    deed = deeds[0][0] if deeds else "changed resources"
    others = len(group.operations_at) - 1
    more = f" and made {counted(others, 'other change')}" if others > 0 else ""
    return f"{name} {deed}{more} {_place(group)}"


def description(group: Group, evidence: Evidence, details: IdentityDetails) -> str:
    """Return sentences about sign-ins, changes, grants, failed attempts, host and rights."""
    services = _listed([_name(each) for each in group.resources])
    name = _name(group.service_principal_name)
    changes = len(group.operations_at)
    happened = (
        f"The {_KINDS[details.identity_type]} {name} ({_name(group.service_principal_id)}) signed "
        f"in to {services} {_times(group.distinct_sign_ins)}, first at "
        f"{_moment(group.first_event)}, and made {counted(changes, 'successful change')} "
        f"{_place(group)}, the last at {_moment(group.last_event)}."
    )
    sentences = [happened]
    if deeds := _deeds(evidence):
        named = (
            f"it {words} ({_name(operation, OPERATION_LENGTH)})"
            for words, operation in deeds[:MOST_NAMED]
        )
        sentences.append(f"Gravest first: {'; '.join(named)}.")
    grants = _gravest_grants(group, details)
    sentences += [f"It {_given(grant)}." for grant in grants[:MOST_NAMED]]
    if (left := len(grants) - MOST_NAMED) > 0:
        sentences.append(f"It assigned {counted(left, 'further role')}.")
    if failed := details.failed_operations:
        sentences.append(f"{counted(failed, 'other attempt')} of the identity failed.")
    if details.host_resource_id:
        sentences.append(f"It is used by {_name(details.host_resource_id, 2 * NAME_LENGTH)}.")
    if roles := details.roles()[:MOST_NAMED]:
        acted = _listed([f"{_name(role)} at {_scope(scope)}" for role, scope in roles])
        sentences.append(f"It acted as {acted}.")
    return one_line(" ".join(sentences))


def _deeds(evidence: Evidence) -> list[tuple[str, str]]:
    """Return words and name of each operation in the evidence, the gravest first."""
    found: dict[str, tuple[int, str, str]] = {}
    for item in evidence:
        operation = str(item["Operation"])
        is_action = item["Kind"] == CORROBORATION
        entry = classify_action(operation) if is_action else classify(operation)
        if entry is not None:
            found.setdefault(ascii_lower(operation), (-entry.points, entry.words, operation))
    words_once: dict[str, tuple[str, str]] = {}
    for _, words, operation in sorted(found.values(), key=lambda deed: deed[0]):
        words_once.setdefault(words, (words, operation))
    return list(words_once.values())


def _gravest_grants(group: Group, details: IdentityDetails) -> list[Grant]:
    """Return the grants in the group's resource group: privileged and wide ones first."""
    grants = details.grants_in(group.key.resource_group)
    return sorted(grants, key=lambda grant: (not grant.is_privileged, grant.scope.count("/")))


def _given(grant: Grant) -> str:
    """Return a grant as a phrase: "gave Owner at ... to the service principal ..."."""
    role = grant.role or (
        f"the role {grant.role_definition_id}" if grant.role_definition_id else "a role"
    )
    kind = {"serviceprincipal": "service principal"}.get(
        ascii_lower(grant.principal_type), ascii_lower(grant.principal_type) or "principal"
    )
    to = f" to the {_name(kind)} {_name(grant.principal_id)}" if grant.principal_id else ""
    return f"gave {_name(role)} at {_scope(grant.scope)}{to}"


def _scope(scope: str) -> str:
    """Return a scope in words: the last kind and name of its path."""
    parts = [part for part in scope.split("/") if part]
    if not parts:
        return "the whole tenant" if scope == "/" else "an unknown scope"
    kind, name = (parts[-2] if len(parts) > 1 else ""), parts[-1]
    words = {
        "subscriptions": "subscription",
        "resourcegroups": "resource group",
        "managementgroups": "management group",
    }.get(ascii_lower(kind), _name(kind))
    return f"{words} {_name(name)}".strip()


def _place(group: Group) -> str:
    if is_blank(group.resource_group):
        known = [_name(each) for each in group.subscription_ids if not is_blank(each)]
        return f"in subscription {_listed(known)}" if known else "above resource groups"
    return f"in resource group {_name(group.resource_group)}"


def _name(text: str, length: int = NAME_LENGTH) -> str:
    return shorten_middle(one_line(text), length)


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _moment(ticks: int) -> str:
    """Return a time to the second, in UTC."""
    return format_time(ticks - ticks % SECOND)[:19].replace("T", " ") + " UTC"


def _listed(texts: Sequence[str]) -> str:
    """Return texts as "a, b and c"."""
    *first, last = texts or ["an unknown resource"]
    return f"{', '.join(first)} and {last}" if first else last
