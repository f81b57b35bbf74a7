"""The sum of one revision has what its operations did, gave and were done with."""

from collections.abc import Sequence

import pytest

from detection.pipeline.revision_summary import IdentityContext, revision_summary
from detection.ranking.identity_details import Grant, IdentityDetails, RoleUse, TokenUse
from detection.ranking.score import score
from detection.ranking.summary import Summary
from detection.rule.correlate import Group, detect
from detection.rule.filters import RuleSettings
from detection.rule.ticks import HOUR, MINUTE
from tests.support.strategies import END, START, as_logs, operation, sign_in, written
from tests.support.summaries import ROLE, TAGS

NOON = START + HOUR
OWNER, READER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "acdd72a7-3385-48ef-bd42-f606fba81ae7"
SUBSCRIPTION = "/subscriptions/s"
GROUP_SCOPE = f"{SUBSCRIPTION}/resourceGroups/rg"
HERE, THERE, NEAR = "203.0.113.7", "198.51.100.1", "203.0.1.1"


def group_of(*names: str) -> Group:
    """Return the group of operations with these names, a minute apart from noon on."""
    rows = [
        operation(
            OperationNameValue=name,
            EventDataId=f"e{at}",
            TimeGenerated=written(NOON + at * MINUTE),
            ResourceGroup="RG",
        )
        for at, name in enumerate(names)
    ]
    signed_in = sign_in(TimeGenerated=written(NOON))
    (group,) = detect(as_logs([signed_in], rows), START, END, RuleSettings()).groups
    return group


def summed(group: Group, details: IdentityDetails) -> Summary:
    """Return the sum of a group's operations, all of them new."""
    known = IdentityContext(details=details)
    return revision_summary(group, group.operations_at, group.read_pairs({}), known, HOUR)


def grant(role: str, scope: str, minute: int = 0, resource_group: str = "rg") -> Grant:
    """Return a grant that an operation made some minutes after noon."""
    time = NOON + minute * MINUTE
    return Grant(time, "/r", resource_group, "", role, "p", "User", scope, f"c{minute}")


@pytest.mark.parametrize(
    ("grants", "points"),
    [
        ([grant(OWNER, SUBSCRIPTION)], 44),
        ([grant(OWNER, "/")], 44),
        ([grant(OWNER, GROUP_SCOPE)], 42),
        ([grant(READER, SUBSCRIPTION)], 30),
        ([grant(READER, GROUP_SCOPE)], 18),
        ([grant("custom", SUBSCRIPTION)], 42),
        ([], 42),
        ([grant(READER, GROUP_SCOPE, minute=1)], 42),
        ([grant(READER, GROUP_SCOPE, resource_group="other")], 42),
    ],
)
def test_a_role_assignment_has_the_points_of_its_role(grants: list[Grant], points: int) -> None:
    """Owner of a subscription is more than Reader of a group; an unknown role is as grave as most.

    A grant of another time or resource group is not of this operation.
    """
    found = summed(group_of(ROLE), IdentityDetails(grants=tuple(grants)))
    assert score(found).points == points


def test_an_unknown_role_among_several_counts_as_grave() -> None:
    """Of two assignments with one known role, the other may be anything."""
    found = summed(group_of(ROLE, ROLE), IdentityDetails(grants=(grant(READER, GROUP_SCOPE),)))
    assert score(found).points == 42
    grants = (grant(READER, GROUP_SCOPE), grant(READER, GROUP_SCOPE, minute=1))
    found = summed(group_of(ROLE, ROLE), IdentityDetails(grants=grants))
    assert score(found).points == 18
    assert "The gravest of its grants is" in str(score(found).reasons)


@pytest.mark.parametrize(
    ("uses", "reused"),
    [
        ([("t", 0, HERE), ("t", -60, THERE)], f"{THERE} and {HERE}"),
        ([("t", 0, HERE), ("t", 0, THERE)], f"{THERE} and {HERE}"),
        ([("t", 0, HERE), ("t", -61, THERE)], ""),
        ([("t", 0, HERE), ("t", 30, THERE)], ""),
        ([("t", 0, HERE), ("u", -1, THERE)], ""),
        ([("t", 0, HERE), ("t", -1, NEAR)], ""),
        ([("t", 0, HERE), ("t", -1, "10.0.0.1")], ""),
        ([("t", -1, HERE), ("t", -2, THERE)], ""),
    ],
)
def test_a_token_from_two_networks_is_noticed(
    uses: Sequence[tuple[str, int, str]], reused: str
) -> None:
    """An operation counts whose token another network used at most the span before."""
    token_uses = tuple(TokenUse(token, NOON + at * MINUTE, who) for token, at, who in uses)
    found = summed(group_of(TAGS), IdentityDetails(token_uses=token_uses))
    assert found.two_networks == reused


@pytest.mark.parametrize(
    ("role", "scope", "where", "right"),
    [
        ("Owner", SUBSCRIPTION, "rg", f"Owner at {SUBSCRIPTION}"),
        ("user access administrator", "/", "RG", "user access administrator at /"),
        ("Owner", GROUP_SCOPE, "rg", ""),
        ("Contributor", SUBSCRIPTION, "rg", ""),
        ("Owner", SUBSCRIPTION, "other", ""),
        ("Owner", "", "rg", ""),
    ],
)
def test_a_wide_right_is_noticed(role: str, scope: str, where: str, right: str) -> None:
    """A role that can give rights to whole subscriptions counts where it was used."""
    details = IdentityDetails(roles_used=(RoleUse(role, scope, where),))
    assert summed(group_of(TAGS), details).wide_right == right
