"""What a finding tells an analyst beyond the rule's columns, put together for each in turn."""

from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from typing import NamedTuple

from detection.kql.render import queries
from detection.ranking.baseline import Baseline
from detection.ranking.evidence import (
    EvidenceItem,
    corroboration_items,
    evidence_items,
    sentinel_entities,
)
from detection.ranking.score import Novelty, Score, ScoreInputs, is_public, score
from detection.rule.correlate import Group
from detection.rule.kql_text import ascii_lower
from detection.rule.log_rows import IDENTITY, OPERATION_NAME, Operation
from detection.rule.pairs import GroupPairs

# The three queries of the runbook: what each answers, and its file.
QUESTIONS = {
    "1. What the identity did from a day before to a day after": "investigate_activity",
    "2. What it read and wrote in vaults and storage": "investigate_data_plane",
    "3. What else was found of it": "investigate_findings",
}


class FindingContext(NamedTuple):
    """A finding's score, its evidence, the entities in it and the queries to go on with."""

    score: Score
    evidence: list[EvidenceItem]
    entities: list[dict[str, str]]
    investigate: list[dict[str, str]]


class ContextBuilder:
    """Makes the builder of one window's findings, knowing all of its groups."""

    def __init__(
        self,
        groups: Iterable[Group],
        actions: Iterable[Operation] = (),
        baseline: Baseline | None = None,
    ) -> None:
        """`actions` are what the identities with findings did outside the rule."""
        self._baseline = baseline
        self._reach: defaultdict[str, _IdentityActivity] = defaultdict(_IdentityActivity)
        for group in groups:
            self._reach[group.key.identity].add(group)
        for row in actions:
            self._reach[ascii_lower(row[IDENTITY])].actions.append(row)

    def of(self, group: Group, pairs: GroupPairs) -> FindingContext:
        """Return the context of one of the groups, of which `pairs` are shown."""
        reach = self._reach[group.key.identity]
        context = ScoreInputs(
            resource_groups=len(reach.resource_groups),
            subscriptions=max(len(reach.subscriptions), 1),
            addresses=reach.own_addresses(group),
            actions=reach.action_names,
            novelty=self._novelty(group),
        )
        return FindingContext(
            score(pairs, context),
            evidence_items(pairs.by_operation, reach.corroborations),
            sentinel_entities(
                group.service_principal_id, group.affected_resources, group.caller_addresses
            ),
            _investigate(group),
        )

    def _novelty(self, group: Group) -> Novelty | None:
        if self._baseline is None:
            return None
        return self._baseline.about(group.key.identity, group.key.resource_group)


class _IdentityActivity:
    """What an identity reached in the window; everything folded."""

    def __init__(self) -> None:
        self.resource_groups: set[str] = set()
        self.subscriptions: set[str] = set()
        self.actions: list[Operation] = []
        # The one resource group that an address called for, or None if there are more.
        self._called_for: dict[str, str | None] = {}

    def add(self, group: Group) -> None:
        """Take note of one of the identity's groups."""
        resource_group = group.key.resource_group
        self.resource_groups.add(resource_group)
        self.subscriptions.update(filter(None, map(ascii_lower, group.subscription_ids)))
        for address in map(ascii_lower, group.caller_addresses):
            if self._called_for.setdefault(address, resource_group) != resource_group:
                self._called_for[address] = None

    @cached_property
    def action_names(self) -> tuple[str, ...]:
        """The names of its actions, each once."""
        return tuple(sorted({ascii_lower(row[OPERATION_NAME]) for row in self.actions}))

    @cached_property
    def corroborations(self) -> list[EvidenceItem]:
        """What its actions add to the evidence of each of its findings."""
        return corroboration_items(self.actions)

    def own_addresses(self, group: Group) -> list[str]:
        """Return the public addresses that called for this resource group and no other."""
        return [
            address
            for address in group.caller_addresses
            if self._called_for[ascii_lower(address)] is not None and is_public(address)
        ]


def _investigate(group: Group) -> list[dict[str, str]]:
    """Return the queries; an identity that cannot be written into one has none."""
    try:
        made = queries(
            QUESTIONS.values(),
            identity=(group.service_principal_id,),
            start=group.first_event,
            end=group.last_event,
        )
    except ValueError:
        return []
    return [{"Title": title, "Query": text} for title, text in zip(QUESTIONS, made, strict=True)]
