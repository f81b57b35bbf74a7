"""What is made of a window's groups beyond the rule: who answers for them, and what they show.

Nothing here keeps a finding from being reported because something could not be read: that is a
warning in the run record.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from detection.dossier import Dossier, Dossiers
from detection.errors import SourceError
from detection.rule.correlate import Group
from detection.rule.evidence import corroborating
from detection.rule.exclusions import Exclusions
from detection.rule.history import REACH, History
from detection.rule.ledger import Emission
from detection.rule.rows import Operation
from detection.rule.select import RuleSettings
from detection.sources.background import Background
from detection.window import Mode, Window


@dataclass(slots=True)
class Analysis:
    """One window's, at the moment `now` (ticks).

    `history` is what was remembered, and what is to be; `excluded` says how many groups each
    exclusion left out, `warnings` what could not be read.
    """

    background: Background
    settings: RuleSettings
    now: int
    history: History | None = None
    exclusions: Exclusions = field(default_factory=Exclusions)
    excluded: dict[str, int] = field(default_factory=dict)
    emissions: list[Emission] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def keep(self, groups: Sequence[Group]) -> list[Group]:
        """Return the groups that nobody answers for; all of them if that cannot be read."""
        try:
            self.exclusions = Exclusions.of(self.background.exclusions(), self.now)
        except SourceError as error:
            self.warnings.append(f"Exclusions could not be read and leave nothing out: {error}")
        kept, self.excluded = self.exclusions.split(groups)
        return kept

    def dossiers(
        self, emissions: list[Emission], groups: Sequence[Group], window: Window
    ) -> list[Dossier]:
        """Return what each emission tells, in the light of all the window's groups."""
        self.emissions = emissions
        history = self._recall(window) if self.settings.novelty and emissions else None
        dossiers = Dossiers(groups, self._actions(window), history)
        return [dossiers.of(emission.group) for emission in emissions]

    def _actions(self, window: Window) -> list[Operation]:
        """Return what the identities of findings did besides; if that cannot be read, nothing."""
        identities = {emission.group.key.identity for emission in self.emissions}
        if not identities:
            return []
        try:
            rows = self.background.actions(identities, window, self.now)
        except SourceError as error:
            self.warnings.append(f"What corroborates findings could not be read: {error}")
            return []
        return corroborating(rows, self.settings.success_statuses)

    def _recall(self, window: Window) -> History | None:
        """Return what happened before the window, read again once a day; None if it cannot be."""
        if window.mode is Mode.BACKFILL:
            return None  # what is remembered lies around the present
        if self.history is None or not self.history.is_fresh(self.now):
            end = window.start
            try:
                deeds = self.background.history(end - REACH, end, self.settings)
            except SourceError as error:
                self.warnings.append(f"What is new could not be told: {error}")
                return None
            self.history = History.of(deeds, end, self.now)
        return self.history
