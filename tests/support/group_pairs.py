"""Sample operations and pairs of a group, for tests of scores, evidence and enrichment."""

from collections.abc import Sequence

from hypothesis import strategies as st

from detection.ranking.novelty import Novelty
from detection.ranking.score import ScoreInputs
from detection.rule.pairs import GroupPairs, OperationPairs, Pair
from detection.rule.ticks import DAY, MINUTE

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
    return OperationPairs(operation, count, pairs)


def group_pairs(
    *by_operation: OperationPairs, soonest: int = 30 * MINUTE, services: Sequence[str] = ()
) -> GroupPairs:
    """Return the pairs of a group, `soonest` ticks apart at the closest."""
    return GroupPairs(list(by_operation), soonest, frozenset(services))


GROUP_PAIRS = st.builds(
    lambda counts, soonest, services: group_pairs(
        *(pairs_of(name, count) for name, count in counts.items()),
        soonest=soonest * MINUTE,
        services=services,
    ),
    st.dictionaries(st.sampled_from(NAMES), st.integers(1, 12), min_size=1),
    st.integers(0, 60),
    st.sets(st.sampled_from(("Key Vault", "Storage"))),
)
NOVELTIES = st.builds(
    lambda days, operations, group: Novelty(days * DAY, operations, group),
    st.integers(0, 14),
    st.dictionaries(st.sampled_from([name.lower() for name in NAMES]), st.integers(1, 14)),
    st.integers(0, 14),
)
CONTEXTS = st.builds(
    ScoreInputs,
    resource_groups=st.integers(1, 5),
    subscriptions=st.integers(1, 3),
    addresses=st.sampled_from(((), ("203.0.113.7",))),
    actions=st.lists(st.sampled_from(ACTIONS), unique=True).map(tuple),
    novelty=st.one_of(st.none(), NOVELTIES),
)
