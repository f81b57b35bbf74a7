"""The sum of one revision of a finding, which the ledger adds to the finding's sum."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from detection.ranking.baseline import Baseline
from detection.ranking.classify import classify
from detection.ranking.familiarity import UNKNOWN, Familiarity, least_familiar
from detection.ranking.identity_details import NO_DETAILS, IdentityDetails
from detection.ranking.summary import Action, OperationSum, Summary, add_actions
from detection.rule.correlate import Group, Key
from detection.rule.kql_text import ascii_lower
from detection.rule.pairs import OperationPairs
from detection.rule.ticks import DAY


class IdentityContext(NamedTuple):
    """An identity's corroborating actions and its details in a window, and the baseline.

    Without a baseline nothing is known to be new or routine.
    """

    actions: Sequence[Action] = ()
    details: IdentityDetails = NO_DETAILS
    baseline: Baseline | None = None


def revision_summary(
    group: Group,
    new: Mapping[Key, int],
    pairs: Iterable[OperationPairs],
    known: IdentityContext,
    span: int,
) -> Summary:
    """Sum up one revision of a finding.

    `new` holds the times of its operations, `pairs` their pairs. Those of the identity's actions
    that an operation follows within the span (ticks) are in every window that has the operation;
    the others depend on where the window ends.
    """
    times, baseline = sorted(new.values()), known.baseline
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
    for action in known.actions:
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
