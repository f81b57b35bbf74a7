"""The context of findings: exclusions, corroborating actions, past changes and near misses.

Context never makes a finding, so a failure to read it never prevents one: it is a warning in the
run record.
"""

from collections.abc import Collection, Sequence
from operator import itemgetter
from typing import Protocol

from detection.ranking.baseline import PastChange
from detection.ranking.classify import classify_action
from detection.ranking.identity_details import DetailRow
from detection.ranking.near_misses import LateChanges
from detection.rule.allowlist import Allowlist
from detection.rule.exclusions import ExclusionRow
from detection.rule.filters import RuleSettings
from detection.rule.kql_text import ascii_lower
from detection.rule.log_rows import IDENTITY, OPERATION_NAME, Operation
from detection.window import Seen, Window


class ContextSource(Protocol):
    """Reads the context from one workspace. A method returns all rows or raises SourceError."""

    @property
    def portal(self) -> str:
        """The address of the Azure portal of the workspace's cloud."""
        ...

    def exclusions(self) -> list[ExclusionRow]:
        """Return the rows of the exclusions' watchlist; empty if the watchlist is missing."""
        ...

    def actions(
        self, identities: Collection[str], window: Window, now: int, settings: RuleSettings
    ) -> list[Operation]:
        """Return the corroborating actions of these identities in the window.

        `identities` are in ASCII lower case (D3). Actions are operations that the rule does not
        match but that say more about an identity (`classify_action`). Only rows that had arrived at
        `now` (ticks) are returned.
        """
        ...

    def identity_details(
        self, identities: Collection[str], window: Window, now: int
    ) -> list[DetailRow]:
        """Return rows with the details of these identities (in ASCII lower case) in the window.

        Only log rows that had arrived at `now` (ticks) count.
        """
        ...

    def past_changes(self, start: int, end: int, settings: RuleSettings) -> list[PastChange]:
        """Return the changes in (start, end] (ticks), each at least once for every day with it."""
        ...

    def late_changes(
        self, window: Window, seen: Seen, now: int, settings: RuleSettings, allowlist: Allowlist
    ) -> list[LateChanges]:
        """Count the changes of the window that are too long after a sign-in, for near misses.

        Only rows that had arrived at `now` (ticks) count, and of the changes only those that are
        not among `seen`. Changes that are not grave may be counted too.
        """
        ...


def corroborating_actions(
    rows: Sequence[Operation], identities: Collection[str]
) -> list[Operation]:
    """Return the corroborating actions of these identities, which are in ASCII lower case."""
    names = set(map(itemgetter(OPERATION_NAME), rows))
    corroborating = {name for name in names if classify_action(name) is not None}
    return [
        row
        for row in rows
        if row[OPERATION_NAME] in corroborating and ascii_lower(row[IDENTITY]) in identities
    ]
