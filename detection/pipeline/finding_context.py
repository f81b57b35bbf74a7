"""The context of a finding: its score, evidence and explanation."""

from typing import NamedTuple

from detection.explain import Explanation, explain
from detection.ranking.attack import observed_tactics, observed_techniques
from detection.ranking.evidence import EvidenceItem, evidence_items
from detection.ranking.identity_details import IdentityDetails
from detection.ranking.score import Score, score
from detection.ranking.summary import Summary
from detection.rule.correlate import Group


class FindingContext(NamedTuple):
    """The score of a finding and of its identity, the evidence, and an explanation.

    Score, techniques, tactics and evidence are of the whole finding, all its revisions together.
    """

    score: Score
    identity_points: int
    techniques: list[str]
    tactics: list[str]
    evidence: list[EvidenceItem]
    explanation: Explanation


def finding_context(
    group: Group, summary: Summary, identity_points: int, details: IdentityDetails, portal: str
) -> FindingContext:
    """Return the context of a group's finding, given its sum so far.

    `details` are those of its identity, and `portal` is the address of the Azure portal.
    """
    techniques = observed_techniques(summary)
    evidence = evidence_items(summary)
    details = details._replace(grants=tuple(summary.grants))
    return FindingContext(
        score(summary),
        identity_points,
        techniques,
        observed_tactics(techniques),
        evidence,
        explain(group, evidence, details, portal),
    )
