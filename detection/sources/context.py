"""What else there is to know about findings: who answers for them, and what happened besides.

None of it makes a finding, so none of it keeps one from being reported: what cannot be read is a
warning in the run record.
"""

from collections.abc import Collection, Sequence
from operator import itemgetter
from typing import Protocol

from detection.ranking.baseline import PastChange
from detection.ranking.classify import classify_action
from detection.rule.exclusions import ExclusionRow
from detection.rule.filters import RuleSettings
from detection.rule.kql_text import ascii_lower
from detection.rule.log_rows import IDENTITY, OPERATION_NAME, Operation
from detection.window import Window


class ContextSource(Protocol):
    """Reads one workspace. Every method raises SourceError rather than return less than all."""

    def exclusions(self) -> list[ExclusionRow]:
        """Return the rows of the exclusions' watchlist; a missing one has none."""
        ...

    def actions(
        self, identities: Collection[str], window: Window, now: int, settings: RuleSettings
    ) -> list[Operation]:
        """Return what these identities (folded) did in the window outside the rule.

        Only what says more about an identity (`classes.action_of`).
        """
        ...

    def past_changes(self, start: int, end: int, settings: RuleSettings) -> list[PastChange]:
        """Return the changes of (start, end], each at least once for each day it was made on."""
        ...


def corroborating_actions(
    rows: Sequence[Operation], identities: Collection[str]
) -> list[Operation]:
    """Return the rows of these identities (folded) whose operations say more about them."""
    names = set(map(itemgetter(OPERATION_NAME), rows))
    telling = {name for name in names if classify_action(name) is not None}
    return [
        row
        for row in rows
        if row[OPERATION_NAME] in telling and ascii_lower(row[IDENTITY]) in identities
    ]
