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
from detection.rule.ledger import Emission
from detection.rule.rows import Operation
from detection.sources.background import Background
from detection.window import Window


@dataclass(slots=True)
class Analysis:
    """One window's, at the moment `now` (ticks).

    `excluded` says how many groups each exclusion left out, `warnings` what could not be read.
    """

    background: Background
    statuses: Sequence[str]
    now: int
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
        dossiers = Dossiers(groups, self._actions(window))
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
        return corroborating(rows, self.statuses)
