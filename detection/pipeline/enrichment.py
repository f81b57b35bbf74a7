"""The enrichment of a window's findings: exclusions, corroborating actions, baseline.

This module reads everything that the enrichment needs. A failure to read any of it is a warning in
the run record, and the finding is reported all the same.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

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


@dataclass(slots=True)
class Enrichment:
    """The enrichment of one window, examined at `now` (ticks); its groups may come in parts.

    `baseline` is the baseline of the state, until it is read again. `excluded` counts the groups
    that each exclusion covers. `warnings` are sentences for the run record.
    """

    source: ContextSource
    settings: RuleSettings
    now: int
    baseline: Baseline | None = None
    exclusions: Exclusions = field(default_factory=Exclusions)
    excluded: Counter[str] = field(default_factory=Counter)
    warnings: list[str] = field(default_factory=list)
    _attempted: set[str] = field(default_factory=set)

    def without_excluded(self, groups: Sequence[Group]) -> list[Group]:
        """Return the groups that no active exclusion covers; all groups if none can be read."""
        if self._is_first_attempt("exclusions"):
            try:
                self.exclusions = Exclusions.of(self.source.exclusions(), self.now)
            except SourceError as error:
                self._warn("Exclusions could not be read, so no finding is excluded", error)
        kept, used = self.exclusions.split(groups)
        self.excluded.update(used)
        return kept

    def contexts(
        self, emissions: list[Emission], groups: Sequence[Group], window: Window
    ) -> Iterator[FindingContext]:
        """Yield the context of each emission; `groups` are all groups of its identities.

        They are made one at a time: a context is large, and a window may have tens of thousands.
        """
        baseline = self._read_baseline(window) if self.settings.novelty and emissions else None
        builder = ContextBuilder(groups, self._read_actions(emissions, window), baseline)
        for emission in emissions:
            yield builder.build(emission.group, self._read_pairs(emission.group))

    def _read_pairs(self, group: Group) -> GroupPairs:
        """Return the pairs of a group; if they cannot be read, its operation names alone."""
        try:
            return group.read_pairs()
        except SourceError as error:
            self._warn("Evidence could not be read, and scores may be too low", error)
            return without_pairs(group.operations, group.resources)

    def _read_actions(self, emissions: list[Emission], window: Window) -> list[Operation]:
        """Return the corroborating actions of the identities; none if they cannot be read."""
        identities = {emission.group.key.identity for emission in emissions}
        if not identities:
            return []
        try:
            rows = self.source.actions(identities, window, self.now, self.settings)
        except SourceError as error:
            self._warn("Corroborating actions could not be read, and scores may be too low", error)
            return []
        return succeeded_actions(rows, self.settings.success_statuses)

    def _read_baseline(self, window: Window) -> Baseline | None:
        """Return the baseline, read again once a day; None if there is none for this window."""
        if window.mode is Mode.BACKFILL:
            return None  # the baseline of the state is of the present
        fresh = self.baseline is not None and self.baseline.is_fresh(self.now)
        if not fresh and self._is_first_attempt("baseline"):
            self.baseline = None
            end = window.start
            try:
                changes = self.source.past_changes(end - BASELINE_LENGTH, end, self.settings)
            except SourceError as error:
                self._warn("Novelty is not scored, because the baseline could not be read", error)
            else:
                self.baseline = Baseline.of(changes, end, self.now)
        return self.baseline

    def _is_first_attempt(self, subject: str) -> bool:
        """Return True once for each subject: one attempt a window is enough, failed or not."""
        first = subject not in self._attempted
        self._attempted.add(subject)
        return first

    def _warn(self, consequence: str, error: SourceError) -> None:
        warning = f"{consequence}: {error}"
        if warning not in self.warnings:
            self.warnings.append(warning)
