"""The context of a finding: its score, evidence, explanation and runbook queries."""

from typing import NamedTuple

from detection.explain import Explanation, explain
from detection.kql.render import queries
from detection.ranking.attack import observed_tactics, observed_techniques
from detection.ranking.evidence import EvidenceItem, evidence_items
from detection.ranking.identity_details import IdentityDetails
from detection.ranking.score import Score, score
from detection.ranking.summary import Summary
from detection.rule.correlate import Group

# The three queries of the runbook: the question that each answers, and its file.
QUESTIONS = {
    "1. Activity of the identity from a day before to a day after": "investigate_activity",
    "2. Its reads and writes in vaults and storage accounts": "investigate_data_plane",
    "3. Other findings for this identity": "investigate_findings",
}


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
    investigate: list[dict[str, str]]


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
        _investigate(group),
    )


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
