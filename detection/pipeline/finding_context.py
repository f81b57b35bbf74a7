"""The context of a finding: its score, evidence, entities and runbook queries."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from detection.kql.render import queries
from detection.ranking.attack import observed_tactics, observed_techniques
from detection.ranking.baseline import Baseline
from detection.ranking.classify import classify
from detection.ranking.evidence import EvidenceItem, evidence_items, sentinel_entities
from detection.ranking.familiarity import UNKNOWN, Familiarity, least_familiar
from detection.ranking.score import Score, score
from detection.ranking.summary import Action, OperationSum, Summary, add_actions
from detection.rule.correlate import Group, Key
from detection.rule.kql_text import ascii_lower
from detection.rule.pairs import OperationPairs
from detection.rule.ticks import DAY

# The three queries of the runbook: the question that each answers, and its file.
QUESTIONS = {
    "1. Activity of the identity from a day before to a day after": "investigate_activity",
    "2. Its reads and writes in vaults and storage accounts": "investigate_data_plane",
    "3. Other findings for this identity": "investigate_findings",
}


class FindingContext(NamedTuple):
    """The score of a finding and of its identity, the evidence, and what happened.

    All are of the whole finding, all its revisions together.
    """

    score: Score
    identity_points: int
    techniques: list[str]
    tactics: list[str]
    evidence: list[EvidenceItem]
    entities: list[dict[str, str]]
    investigate: list[dict[str, str]]


def finding_context(group: Group, summary: Summary, identity_points: int) -> FindingContext:
    """Return the context of a group's finding, given its sum so far."""
    techniques = observed_techniques(summary)
    return FindingContext(
        score(summary),
        identity_points,
        techniques,
        observed_tactics(techniques),
        evidence_items(summary),
        sentinel_entities(
            group.service_principal_id, group.affected_resources, group.caller_addresses
        ),
        _investigate(group),
    )


def revision_summary(
    group: Group,
    new: Mapping[Key, int],
    pairs: Iterable[OperationPairs],
    actions: Iterable[Action],
    baseline: Baseline | None,
    span: int,
) -> Summary:
    """Sum up one revision of a finding.

    `new` holds the times of its operations, `pairs` their pairs. Those of the identity's `actions`
    that an operation follows within the span (ticks) are in every window that has the operation;
    the others depend on where the window ends. Without a baseline nothing is known to be new or
    routine.
    """
    times = sorted(new.values())
    days = range(times[0] // DAY, times[-1] // DAY + 1)
    summary = Summary(
        resource_groups={group.key.resource_group} - {""},
        subscriptions=set(filter(None, map(ascii_lower, group.subscription_ids))),
    )
    for each in pairs:
        first = each.pairs[0].operated if each.pairs else each.latest
        name = ascii_lower(each.operation)
        past = _familiarity(baseline, group, name, range(first // DAY, each.latest // DAY + 1))
        summary.operations[name] = OperationSum(
            each.operation, each.number, classify(name).points, past, list(each.pairs)
        )
    for action in actions:
        is_followed = _is_followed(action.time, times, span)
        add_actions(summary.actions if is_followed else summary.later_actions, [action])
    if baseline is not None:
        past = _familiarity(baseline, group, "", days)
        if group.key.resource_group and past.is_known and not past.group_days:
            summary.new_group = past.length
        summary.new_network = min(
            (
                address
                for address in group.caller_addresses
                if any(baseline.has_new_network(group.key.identity, address, day) for day in days)
            ),
            default="",
        )
    return summary


def _familiarity(
    baseline: Baseline | None, group: Group, operation: str, days: Sequence[int]
) -> Familiarity:
    """Return the least familiarity of an operation of a group on some days."""
    found = UNKNOWN
    if baseline is not None:
        for day in days:
            on_day = baseline.familiarity(
                group.key.identity, operation, group.key.resource_group, day
            )
            found = on_day if day == days[0] else least_familiar(found, on_day)
    return found


def _is_followed(time: int, operations: Sequence[int], span: int) -> bool:
    """Return True if one of the operations' sorted times is at most `span` after a time."""
    place = bisect_left(operations, time)
    return place < len(operations) and operations[place] <= time + span


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
