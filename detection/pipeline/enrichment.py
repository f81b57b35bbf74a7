"""What is made of a window's groups beyond the rule: who answers for them, and what they show.

Nothing here keeps a finding from being reported because something could not be read: that is a
warning in the run record.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from detection.errors import SourceError
from detection.pipeline.finding_context import ContextBuilder, FindingContext
from detection.ranking.baseline import BASELINE_LENGTH, Baseline
from detection.ranking.evidence import succeeded_actions
from detection.rule.correlate import Group
from detection.rule.exclusions import Exclusions
from detection.rule.filters import RuleSettings
from detection.rule.ledger import Emission
from detection.rule.log_rows import Operation
from detection.rule.pairs import GroupPairs, without_pairs
from detection.sources.context import ContextSource
from detection.window import Mode, Window

Told = Callable[[], FindingContext]  # makes it when it is asked for, the same every time


@dataclass(slots=True)
class Enrichment:
    """One window's, at the moment `now` (ticks); its groups may come in parts.

    `baseline` is what was remembered, and what is to be; `excluded` says how many groups each
    exclusion left out, `warnings` what could not be read.
    """

    context: ContextSource
    settings: RuleSettings
    now: int
    baseline: Baseline | None = None
    exclusions: Exclusions = field(default_factory=Exclusions)
    excluded: Counter[str] = field(default_factory=Counter)
    warnings: list[str] = field(default_factory=list)
    _asked: set[str] = field(default_factory=set)

    def keep(self, groups: Sequence[Group]) -> list[Group]:
        """Return the groups that nobody answers for; all of them if that cannot be read."""
        if self._first("exclusions"):
            try:
                self.exclusions = Exclusions.of(self.context.exclusions(), self.now)
            except SourceError as error:
                self._warn("Exclusions could not be read and leave nothing out", error)
        kept, used = self.exclusions.split(groups)
        self.excluded.update(used)
        return kept

    def tellers(
        self, emissions: list[Emission], groups: Sequence[Group], window: Window
    ) -> list[Told]:
        """Return what makes each emission's context, in the light of all groups of its identity.

        All that has to be read somewhere is read now.
        """
        baseline = self._recall(window) if self.settings.novelty and emissions else None
        builder = ContextBuilder(groups, self._actions(emissions, window), baseline)
        return [
            partial(builder.of, emission.group, self._traces(emission.group))
            for emission in emissions
        ]

    def _traces(self, group: Group) -> GroupPairs:
        """Return what is shown of a group; if that cannot be read, what its names tell."""
        try:
            return group.read_pairs()
        except SourceError as error:
            self._warn("Evidence could not be read, and scores may be too low", error)
            return without_pairs(group.operations, group.resources)

    def _actions(self, emissions: list[Emission], window: Window) -> list[Operation]:
        """Return what the identities of findings did besides; if that cannot be read, nothing."""
        identities = {emission.group.key.identity for emission in emissions}
        if not identities:
            return []
        try:
            rows = self.context.actions(identities, window, self.now)
        except SourceError as error:
            self._warn("What corroborates findings could not be read", error)
            return []
        return succeeded_actions(rows, self.settings.success_statuses)

    def _recall(self, window: Window) -> Baseline | None:
        """Return what happened before the window, read again once a day; None if it cannot be."""
        if window.mode is Mode.BACKFILL:
            return None  # what is remembered lies around the present
        fresh = self.baseline is not None and self.baseline.is_fresh(self.now)
        if not fresh and self._first("baseline"):
            self.baseline = None
            end = window.start
            try:
                changes = self.context.past_changes(end - BASELINE_LENGTH, end, self.settings)
            except SourceError as error:
                self._warn("What is new could not be told", error)
            else:
                self.baseline = Baseline.of(changes, end, self.now)
        return self.baseline

    def _first(self, question: str) -> bool:
        """Whether this is asked for the first time: once a window is enough, answered or not."""
        first = question not in self._asked
        self._asked.add(question)
        return first

    def _warn(self, what: str, error: SourceError) -> None:
        warning = f"{what}: {error}"
        if warning not in self.warnings:
            self.warnings.append(warning)
