"""The sum of one revision of a finding, which the ledger adds to the finding's sum."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from detection.ranking.baseline import Baseline
from detection.ranking.classify import classify
from detection.ranking.familiarity import UNKNOWN, Familiarity, least_familiar
from detection.ranking.identity_details import NO_DETAILS, Grant, IdentityDetails, TokenUse
from detection.ranking.networks import public_network
from detection.ranking.roles import gives_rights, grant_points, is_wide
from detection.ranking.summary import Action, OperationSum, Summary, add_actions
from detection.rule.correlate import Group, Key
from detection.rule.filters import ROLE_ASSIGNMENT_WRITE
from detection.rule.kql_text import ascii_lower
from detection.rule.pairs import OperationPairs
from detection.rule.ticks import DAY

_ROLE_ASSIGNMENT: Final = ascii_lower(ROLE_ASSIGNMENT_WRITE)


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
    times, baseline, details = sorted(new.values()), known.baseline, known.details
    days = range(times[0] // DAY, times[-1] // DAY + 1)
    summary = Summary(
        resource_groups={group.key.resource_group} - {""},
        subscriptions=set(filter(None, map(ascii_lower, group.subscription_ids))),
    )
    resource_group, at = group.key.resource_group, set(times)
    summary.grants = [each for each in details.grants_in(resource_group) if each.time in at]
    summary.two_networks = _two_networks(details.token_uses, at, span)
    summary.wide_right = min(
        (
            f"{each.role} at {each.scope}"
            for each in details.roles_used
            if ascii_lower(each.resource_group) == resource_group
            and gives_rights(each.role)
            and is_wide(each.scope)
        ),
        default="",
    )
    for each in pairs:
        first = each.pairs[0].operated if each.pairs else each.latest
        name = ascii_lower(each.operation)
        past = _familiarity(baseline, group, name, range(first // DAY, each.latest // DAY + 1))
        summary.operations[name] = OperationSum(
            each.operation, each.number, _points(name, each, summary.grants), past, [*each.pairs]
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


def _points(name: str, each: OperationPairs, grants: Sequence[Grant]) -> int:
    """Return the points of the gravest operation of a name: of a role that was given, its own."""
    points = classify(name).points
    if name != _ROLE_ASSIGNMENT:
        return points
    given = [grant_points(grant.role_definition_id, grant.scope) for grant in grants]
    known = [of_grant for of_grant in given if of_grant is not None]
    return max(known if len(known) >= each.number else [*known, points])


def _two_networks(uses: Iterable[TokenUse], at: Collection[int], span: int) -> str:
    """Return two addresses of different networks that used one token, "" if there are none.

    The later use is that of an operation, at one of the times `at`, and the other at most the span
    before it.
    """
    found: set[str] = set()
    latest: defaultdict[str, dict[str, TokenUse]] = defaultdict(dict)  # by token and network
    for use in sorted(uses, key=lambda use: (use.time, use.address)):
        if network := public_network(use.address):
            latest[use.token][network] = use
            for other in latest[use.token].values() if use.time in at else ():
                if other.address != use.address and use.time - other.time <= span:
                    found.add(" and ".join(sorted((other.address, use.address))))
    return min(found, default="")


def _is_followed(time: int, operations: Sequence[int], span: int) -> bool:
    """Return True if one of the operations' sorted times is at most `span` after a time."""
    place = bisect_left(operations, time)
    return place < len(operations) and operations[place] <= time + span
