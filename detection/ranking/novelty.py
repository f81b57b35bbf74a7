"""The novelty of a finding: how it compares with the two weeks before of its identity.

New behaviour adds points. Behaviour that is routine for the identity takes a part of the finding's
points off, but never more than two thirds.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from detection.ranking.classify import OTHER, ROUTINE, CatalogEntry, classify
from detection.ranking.reason import Reason
from detection.rule.kql_text import ascii_lower
from detection.rule.pairs import OperationPairs
from detection.rule.ticks import DAY

FIRST_OPERATION: Final = 5
FIRST_GROUP: Final = 3
HISTORY_NEEDED: Final = 7 * DAY
ROUTINE_DAYS: Final = 10  # of the last 14; an operation done on this many is routine
# A routine finding keeps a third of its points in a resource group that the identity changes as
# often, and a half in any other.
KEPT_HERE: Final = 3
KEPT_ELSEWHERE: Final = 2


class Novelty(NamedTuple):
    """An identity's past: the number of days with each operation, and with this resource group.

    `length` is the length of the history in ticks. Operations are in lower case.
    """

    length: int
    operation_days: dict[str, int]
    group_days: int


def novelty_reasons(
    by_operation: Sequence[OperationPairs], novelty: Novelty, total: int
) -> Iterator[Reason]:
    """Yield the reasons that the identity's past gives; one may take a part of `total` off."""
    if novelty.length < HISTORY_NEEDED:
        whole_days = novelty.length // DAY
        yield Reason(0, f"Novelty is unknown: the history has {whole_days} of 7 days")
        return
    days = -(-novelty.length // DAY)  # the current day is one of them
    counts: dict[CatalogEntry, int] = {}
    for each in by_operation:
        entry = classify(each.operation)
        if entry.name != ROUTINE:
            done = novelty.operation_days.get(ascii_lower(each.operation), 0)
            counts[entry] = min(done, counts.get(entry, days))
    first = {entry.words for entry, done in counts.items() if not done and entry.name != OTHER}
    if first:
        words = ", ".join(sorted(first))
        yield Reason(FIRST_OPERATION, f"New for the identity in {days} days: it {words}")
    if not novelty.group_days:
        yield Reason(FIRST_GROUP, f"The resource group is new for the identity in {days} days")
    least = min(counts.values(), default=days)
    if least >= ROUTINE_DAYS:
        here = novelty.group_days >= ROUTINE_DAYS
        kept = -(-total // (KEPT_HERE if here else KEPT_ELSEWHERE))
        yield Reason(
            kept - total,
            f"The identity did the same on {least} of the last {days} days, "
            + ("in this resource group too" if here else "in other resource groups"),
        )
