"""Sample operations and sums of findings, for tests of scores, evidence and enrichment."""

from collections.abc import Iterable, Mapping
from typing import Any

from hypothesis import strategies as st

from detection.ranking.classify import classify
from detection.ranking.familiarity import UNKNOWN, Familiarity
from detection.ranking.identity_details import Grant
from detection.ranking.summary import Action, OperationSum, Summary, add_actions, total
from detection.rule.pairs import OperationPairs, Pair
from detection.rule.ticks import MINUTE

ROLE = "MICROSOFT.AUTHORIZATION/ROLEASSIGNMENTS/WRITE"
LOG = "MICROSOFT.INSIGHTS/DIAGNOSTICSETTINGS/DELETE"
VAULT = "MICROSOFT.KEYVAULT/VAULTS/DELETE"
STORAGE = "MICROSOFT.STORAGE/STORAGEACCOUNTS/WRITE"
SNAPSHOT = "MICROSOFT.COMPUTE/SNAPSHOTS/WRITE"
COMMAND = "MICROSOFT.COMPUTE/VIRTUALMACHINES/RUNCOMMANDS/WRITE"
UNLISTED = "CONTOSO.PROVIDER/THINGS/WRITE"
UNLISTED_GONE = "CONTOSO.PROVIDER/THINGS/DELETE"
DEPLOYMENT = "MICROSOFT.RESOURCES/DEPLOYMENTS/WRITE"
TAGS = "MICROSOFT.RESOURCES/TAGS/WRITE"
TAGS_GONE = "MICROSOFT.RESOURCES/TAGS/DELETE"
NAMES = (
    *(ROLE, LOG, VAULT, STORAGE, SNAPSHOT, COMMAND, UNLISTED, UNLISTED_GONE),
    *(DEPLOYMENT, TAGS, TAGS_GONE),
)
ACTIONS = (
    "MICROSOFT.STORAGE/STORAGEACCOUNTS/LISTKEYS/ACTION",
    "MICROSOFT.AUTHORIZATION/ELEVATEACCESS/ACTION",
    "MICROSOFT.WEB/SITES/RESTART/ACTION",
)


def pair(operation: str, operated: int = 60 * MINUTE, gap: int = 30 * MINUTE) -> Pair:
    """Return an operation `gap` ticks after a sign-in to Key Vault."""
    return Pair(operated - gap, "Azure Key Vault", operated, operation, "/r/1", "198.51.100.9", "c")


def pairs_of(operation: str, count: int = 1) -> OperationPairs:
    """Return the pairs of `count` operations of a name, a minute apart."""
    pairs = [pair(operation, (60 + at) * MINUTE) for at in range(min(count, 10))]
    return OperationPairs(operation, count, pairs[-1].operated, pairs)


def action(name: str, time: int = 50 * MINUTE) -> Action:
    """Return a corroborating action."""
    return Action(time, name, "/r/1", "198.51.100.9", "c")


def operations(counts: Mapping[str, int], past: Familiarity = UNKNOWN) -> Summary:
    """Return the sum of a finding with `counts` operations of each name."""
    found = Summary()
    for name, count in counts.items():
        pairs = list(pairs_of(name, count).pairs)
        found.add(
            Summary({name.lower(): OperationSum(name, count, classify(name).points, past, pairs)})
        )
    return found


def finding(
    *names: str,
    past: Familiarity = UNKNOWN,
    actions: Iterable[Action] = (),
    later_actions: Iterable[Action] = (),
    **parts: Any,
) -> Summary:
    """Return the sum of a finding with an operation of each name, and these parts of a sum."""
    found = operations(dict.fromkeys(names, 1), past)
    add_actions(found.actions, actions)
    add_actions(found.later_actions, later_actions)
    for name, value in ({"resource_groups": {"rg"}, "subscriptions": {"s"}} | parts).items():
        setattr(found, name, value)
    return found


GRANTS = st.builds(
    lambda time, role: Grant(time, "/r", "rg", "", role, "p", "User", "/subscriptions/s", "c"),
    st.integers(0, 9),
    st.sampled_from(("", "unlisted", "8e3af657-a8ff-443c-a75c-2fe8c4bcb635")),
)
FAMILIARITIES = st.builds(Familiarity, st.integers(0, 14), st.integers(0, 14), st.integers(0, 14))
REVISIONS = st.builds(
    lambda count, name, past, actions, rest: total(
        [operations({name: count}, past), finding(actions=map(action, actions), **rest)]
    ),
    st.integers(1, 60),
    st.sampled_from(NAMES),
    FAMILIARITIES,
    st.lists(st.sampled_from(ACTIONS)),
    st.fixed_dictionaries(
        {
            "resource_groups": st.sets(st.sampled_from(("rg", "other", "third"))),
            "subscriptions": st.sets(st.sampled_from(("s", "t"))),
            "new_group": st.integers(0, 14),
            "new_network": st.sampled_from(("", "203.0.113.7", "198.51.100.1")),
            "grants": st.lists(GRANTS, max_size=2),
            "two_networks": st.sampled_from(("", "198.51.100.1 and 203.0.113.7")),
            "wide_right": st.sampled_from(("", "Owner at /subscriptions/s")),
        }
    ),
)
# A finding is the sum of its revisions.
FINDINGS = st.lists(REVISIONS, min_size=1, max_size=6).map(total)
