"""The enrichment of a window's findings: exclusions, actions, details, baseline; its near misses.

This module reads everything that the enrichment needs. A failure to read any of it is a warning in
the run record, and the finding is reported all the same.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from detection.errors import SourceError
from detection.pipeline.finding_context import FindingContext, finding_context
from detection.pipeline.revision_summary import IdentityContext, revision_summary
from detection.ranking.baseline import Baseline, first_time_read
from detection.ranking.classify import CHANGE_CLASSES, classify
from detection.ranking.evidence import succeeded_actions
from detection.ranking.familiarity import HISTORY_NEEDED
from detection.ranking.identity_details import (
    NO_DETAILS,
    IdentityDetails,
    details_by_identity,
)
from detection.ranking.near_misses import TOKEN_LIFETIME, LateChanges, NearMiss, near_misses
from detection.ranking.score import identity_score
from detection.ranking.summary import Action, Summary, total
from detection.rule.allowlist import Allowlist
from detection.rule.correlate import (
    NOTHING_REPORTED,
    OPERATIONS_SHOWN,
    Group,
    GroupKey,
    Key,
    ReportedKeys,
)
from detection.rule.exclusions import Exclusions
from detection.rule.filters import RuleSettings
from detection.rule.kql_text import ascii_lower
from detection.rule.ledger import Emission, Review
from detection.rule.log_rows import IDENTITY, OPERATION_TABLE
from detection.rule.pairs import OperationPairs, without_pairs
from detection.rule.reported import Reported
from detection.rule.ticks import DAY
from detection.sources.context import ContextSource
from detection.window import Seen, Window


@dataclass(slots=True)
class Enrichment:
    """The enrichment of one window, examined at `now` (ticks); its groups may come in parts.

    `baseline` is the baseline of the state, until it is read again. `excluded` counts the groups
    that each exclusion covers. `near_misses` begin with the gravest. `warnings` and `notes` are
    sentences for the run record.
    """

    source: ContextSource
    settings: RuleSettings
    now: int
    baseline: Baseline | None = None
    exclusions: Exclusions = field(default_factory=Exclusions)
    excluded: Counter[str] = field(default_factory=Counter)
    near_misses: list[NearMiss] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _attempted: set[str] = field(default_factory=set)

    def without_excluded(self, groups: Sequence[Group]) -> list[Group]:
        """Return the groups that no active exclusion covers; all groups if none can be read."""
        if self._is_first_attempt("exclusions"):
            try:
                rows = self.source.exclusions()
                self.exclusions = Exclusions.of(rows, self.now, CHANGE_CLASSES)
            except SourceError as error:
                self._warn("Exclusions could not be read, so no finding is excluded", error)
        kept, used = self.exclusions.split(groups, self._has_only)
        self.excluded.update(used)
        return kept

    def _has_only(self, group: Group, classes: Collection[str]) -> bool:
        """Return True if all operations of a group are of these classes, False if it is unknown."""
        if not _are_of(group.operations, classes):
            return False
        if len(group.operations) < OPERATIONS_SHOWN:
            return True
        try:
            pairs = group.read_pairs(NOTHING_REPORTED)
        except SourceError as error:
            self._warn("Operations could not be read, so no exclusion by class covers them", error)
            return False
        return _are_of((each.operation for each in pairs), classes)

    def contexts(
        self, emissions: Sequence[Emission], review: Review, window: Window
    ) -> Iterator[tuple[Emission, FindingContext]]:
        """Yield each emission with its context, and add the new operations to its finding's sum.

        All emissions of an identity are among them. The contexts are made one identity at a time:
        a context is large, and a window may have tens of thousands.
        """
        if not emissions:
            return
        by_identity: defaultdict[str, list[Emission]] = defaultdict(list)
        reported: dict[GroupKey, set[Key]] = {}
        for emission in emissions:
            by_identity[emission.group.key.identity].append(emission)
            operations = emission.group.operations_at
            if len(emission.new) < len(operations):
                reported[emission.group.key] = operations.keys() - emission.new.keys()
        baseline = self._read_baseline(window) if self.settings.novelty else None
        actions = self._read_actions(by_identity.keys(), window)
        details = self._read_details(by_identity.keys(), window)
        open_findings = review.open_findings(by_identity.keys())
        for identity, mine in by_identity.items():
            known = IdentityContext(
                actions.get(identity, ()), details.get(identity, NO_DETAILS), baseline
            )
            summaries = [self._add_new(emission, reported, known) for emission in mine]
            points = _identity_points(mine, summaries, open_findings.get(identity, ()))
            for emission, summary in zip(mine, summaries, strict=True):
                yield (
                    emission,
                    finding_context(
                        emission.group, summary, points, known.details, self.source.portal
                    ),
                )

    def _add_new(
        self, emission: Emission, reported: ReportedKeys, known: IdentityContext
    ) -> Summary:
        """Add the new operations to the sum of an emission's finding, and return the sum."""
        pairs = self._read_pairs(emission, reported)
        summary = Summary.decode(emission.finding.summary)
        summary.add(
            revision_summary(emission.group, emission.new, pairs, known, self.settings.span)
        )
        emission.finding.summary = summary.encode()
        return summary

    def count_near_misses(self, window: Window, seen: Seen, allowlist: Allowlist) -> None:
        """Count the near misses among the window's changes that no earlier window has read.

        The exclusions must have been read.
        """
        if self.settings.span >= TOKEN_LIFETIME:
            return  # there is no time between both
        try:
            changes = self.source.late_changes(window, seen, self.now, self.settings, allowlist)
        except SourceError as error:
            self._warn("Near misses could not be counted", error)
        else:
            self.near_misses = near_misses(changes, self._excludes)

    def _excludes(self, change: LateChanges) -> bool:
        """Return True if an exclusion covers such changes."""
        return self.exclusions.covers(
            change.identity,
            change.resource_group,
            lambda classes: _are_of([change.operation], classes),
        )

    def _read_pairs(self, emission: Emission, reported: ReportedKeys) -> list[OperationPairs]:
        """Return the pairs of new operations; if they cannot be read, the group's names alone."""
        group = emission.group
        try:
            return group.read_pairs(reported)
        except SourceError as error:
            self._warn("Evidence could not be read, and scores may be too low", error)
            return without_pairs(group.operations, group.last_event)

    def _read_actions(
        self, identities: Collection[str], window: Window
    ) -> Mapping[str, list[Action]]:
        """Return the corroborating actions by identity; none if they cannot be read."""
        try:
            rows = self.source.actions(identities, window, self.now, self.settings)
        except SourceError as error:
            self._warn("Corroborating actions could not be read, and scores may be too low", error)
            return {}
        actions: defaultdict[str, list[Action]] = defaultdict(list)
        for row in succeeded_actions(rows, self.settings.success_statuses):
            actions[ascii_lower(row[IDENTITY])].append(Action.of(row))
        return actions

    def _read_details(
        self, identities: Collection[str], window: Window
    ) -> Mapping[str, IdentityDetails]:
        """Return the details of the identities; none if they cannot be read."""
        try:
            rows = self.source.identity_details(identities, window, self.now)
        except SourceError as error:
            self._warn("Details of identities could not be read, and findings lack them", error)
            return {}
        return details_by_identity(rows, self.settings.success_statuses)

    def _read_baseline(self, window: Window) -> Baseline | None:
        """Return the baseline of the window's day, read once a day; None if it cannot be read."""
        day = window.end // DAY
        fresh = self.baseline is not None and self.baseline.end_day == day
        if not fresh and self._is_first_attempt("baseline"):
            self.baseline = None
            try:
                changes = self.source.past_changes(
                    first_time_read(day), day * DAY - 1, self.settings
                )
            except SourceError as error:
                self._warn("Novelty is not scored, because the baseline could not be read", error)
            else:
                self.baseline = Baseline.of(changes, day)
        if self.baseline is not None and self.baseline.length < HISTORY_NEEDED:
            note = (
                f"Novelty is not scored: {OPERATION_TABLE.name} has {self.baseline.length} of "
                f"{HISTORY_NEEDED} days of the past"
            )
            self.notes = [note]
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


def _identity_points(
    emissions: Sequence[Emission], summaries: Iterable[Summary], open_findings: Iterable[Reported]
) -> int:
    """Return the score of an identity: its emissions' sums and its other open findings together."""
    emitted = {emission.finding.finding_id for emission in emissions}
    others = (
        Summary.decode(finding.summary)
        for finding in open_findings
        if finding.finding_id not in emitted and finding.summary
    )
    return identity_score(total(chain(summaries, others))).points


def _are_of(operations: Iterable[str], classes: Collection[str]) -> bool:
    """Return True if all operation names are of these classes."""
    return all(classify(name).name in classes for name in operations)
