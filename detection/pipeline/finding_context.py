"""The context of a finding: its score, evidence, entities and runbook queries."""

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
from detection.ranking.novelty import Novelty
from detection.ranking.score import Score, ScoreInputs, is_public, score
from detection.rule.correlate import Group
from detection.rule.kql_text import ascii_lower
from detection.rule.log_rows import IDENTITY, OPERATION_NAME, Operation
from detection.rule.pairs import GroupPairs

# The three queries of the runbook: the question that each answers, and its file.
QUESTIONS = {
    "1. Activity of the identity from a day before to a day after": "investigate_activity",
    "2. Its reads and writes in vaults and storage accounts": "investigate_data_plane",
    "3. Other findings for this identity": "investigate_findings",
}


class FindingContext(NamedTuple):
    """The score of a finding, its evidence, its entities, and queries for the investigation."""

    score: Score
    evidence: list[EvidenceItem]
    entities: list[dict[str, str]]
    investigate: list[dict[str, str]]


class ContextBuilder:
    """Builds the contexts of one window's findings; the score compares all groups of the window."""

    def __init__(
        self,
        groups: Iterable[Group],
        actions: Iterable[Operation] = (),
        baseline: Baseline | None = None,
    ) -> None:
        """`actions` are corroborating actions of the identities, which the rule does not match."""
        self._baseline = baseline
        self._activity: defaultdict[str, _IdentityActivity] = defaultdict(_IdentityActivity)
        for group in groups:
            self._activity[group.key.identity].add(group)
        for row in actions:
            self._activity[ascii_lower(row[IDENTITY])].actions.append(row)

    def build(self, group: Group, pairs: GroupPairs) -> FindingContext:
        """Return the context of one of the groups, given its pairs."""
        activity = self._activity[group.key.identity]
        inputs = ScoreInputs(
            resource_groups=len(activity.resource_groups),
            subscriptions=max(len(activity.subscriptions), 1),
            addresses=activity.own_addresses(group),
            actions=activity.action_names,
            novelty=self._novelty(group),
        )
        return FindingContext(
            score(pairs, inputs),
            evidence_items(pairs.by_operation, activity.corroborations),
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
    """The activity of an identity in the window; ids and names in ASCII lower case."""

    def __init__(self) -> None:
        self.resource_groups: set[str] = set()
        self.subscriptions: set[str] = set()
        self.actions: list[Operation] = []
        # The only resource group that an address called for; None if there are more.
        self._group_of_address: dict[str, str | None] = {}

    def add(self, group: Group) -> None:
        """Add one of the identity's groups."""
        resource_group = group.key.resource_group
        self.resource_groups.add(resource_group)
        self.subscriptions.update(filter(None, map(ascii_lower, group.subscription_ids)))
        for address in map(ascii_lower, group.caller_addresses):
            if self._group_of_address.setdefault(address, resource_group) != resource_group:
                self._group_of_address[address] = None

    @cached_property
    def action_names(self) -> tuple[str, ...]:
        """The names of its actions, each once, in alphabetical order."""
        return tuple(sorted({ascii_lower(row[OPERATION_NAME]) for row in self.actions}))

    @cached_property
    def corroborations(self) -> list[EvidenceItem]:
        """The evidence that its actions add to each of its findings."""
        return corroboration_items(self.actions)

    def own_addresses(self, group: Group) -> list[str]:
        """Return the public addresses that made calls for this resource group alone."""
        return [
            address
            for address in group.caller_addresses
            if self._group_of_address[ascii_lower(address)] is not None and is_public(address)
        ]


def _investigate(group: Group) -> list[dict[str, str]]:
    """Return the runbook queries; none for an identity that no query can hold."""
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
