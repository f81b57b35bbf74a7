"""The names of an identity, by which clause 5 tells its findings apart, unless they are too many.

A finding is of an identity, a name and a resource group, so each further name of an identity can
make all of its findings again. One name is usual, two where it was renamed. A thousand, in logs
that are broken or made to break this, would ask for more memory than there is; findings of such an
identity are not told apart by name, so that nothing of it is missed.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple

from detection.rule.log_rows import NAME, RESOURCE_GROUP, Operation, SignIn
from detection.rule.memo import Memo

MOST_GROUPS: Final = 100_000  # of identities with several names, at one time: 300 MB as findings
AS_MUCH: Final = 100  # operations that take as much memory as a group that they are in

ByName = dict[str, list[SignIn]]


class Named(NamedTuple):
    """An identity's sign-ins by name (folded), and its operations."""

    sign_ins: ByName
    operations: list[Operation]

    def size(self, folded: Memo[str, str]) -> int:
        """Return how many groups these can make at most; large ones count as several."""
        groups = len({folded[row[RESOURCE_GROUP]] for row in self.operations})
        return len(self.sign_ins) * (groups + len(self.operations) // AS_MUCH)


def by_name(sign_ins: list[SignIn], folded: Memo[str, str]) -> ByName:
    """Split an identity's sign-ins by name, in order."""
    names = {row[NAME] for row in sign_ins}
    if len(names) == 1:
        return {folded[names.pop()]: sign_ins}
    found: defaultdict[str, list[SignIn]] = defaultdict(list)
    for row in sign_ins:
        found[folded[row[NAME]]].append(row)
    return found


def crowded(identities: Iterable[tuple[str, Named]], folded: Memo[str, str]) -> set[str]:
    """Return the identities whose findings are not told apart by name: the largest, if any.

    Those with one name are never among them: their groups are no more than their operations.
    """
    sizes = [(each.size(folded), name) for name, each in identities if len(each.sign_ins) > 1]
    room, found = MOST_GROUPS, set[str]()
    for size, identity in sorted(sizes):
        room -= size
        if room < 0:
            found.add(identity)
    return found
