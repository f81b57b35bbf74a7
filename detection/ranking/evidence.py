"""The evidence of a finding: its strongest pairs and corroborating actions.

The earliest operation of each name is chosen first, so that ten names give ten pairs. With fewer
names, further operations fill the remaining places. Operations with more points come first, then
deletes, then the earlier ones. Actions are chosen and ordered in the same way.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain, islice
from typing import Any

from detection.ranking.classify import CACHE_SIZE, classify, classify_action, is_delete
from detection.ranking.summary import (
    ACTIONS_KEPT,
    Action,
    OperationSum,
    Summary,
    add_actions,
)
from detection.rule.kql_text import ascii_lower
from detection.rule.log_rows import STATUS, Operation, operation_keys
from detection.rule.pairs import PAIRS_KEPT, Pair
from detection.rule.ticks import MINUTE, format_time

PAIR, CORROBORATION = "Pair", "Corroboration"

EvidenceItem = dict[str, Any]


def strongest_pairs(by_operation: Sequence[OperationSum]) -> list[Pair]:
    """Return at most PAIRS_KEPT pairs, the strongest first."""
    if sum(len(each.pairs) for each in by_operation) <= PAIRS_KEPT:
        return sorted(chain.from_iterable(each.pairs for each in by_operation), key=_rank)
    firsts = sorted(chain.from_iterable(each.pairs[:1] for each in by_operation), key=_rank)[
        :PAIRS_KEPT
    ]
    if len(firsts) < PAIRS_KEPT:
        others = sorted(chain.from_iterable(each.pairs[1:] for each in by_operation), key=_rank)
        firsts = sorted([*firsts, *others[: PAIRS_KEPT - len(firsts)]], key=_rank)
    return firsts


def evidence_items(summary: Summary) -> list[EvidenceItem]:
    """Return the strongest pairs of a finding, then its gravest corroborating actions."""
    pairs = strongest_pairs(list(summary.operations.values()))
    actions = {name: [*each] for name, each in summary.later_actions.items()}
    for each in summary.actions.values():
        add_actions(actions, each)
    return [*map(_pair, pairs), *map(_corroboration, gravest_actions(actions))]


def gravest_actions(by_name: Mapping[str, Sequence[Action]]) -> list[Action]:
    """Return at most ACTIONS_KEPT actions, the gravest first: the earliest of each name first."""
    firsts = sorted((actions[0] for actions in by_name.values()), key=_rank_of_action)
    others = sorted(chain.from_iterable(each[1:] for each in by_name.values()), key=_rank_of_action)
    return sorted(islice(chain(firsts, others), ACTIONS_KEPT), key=_rank_of_action)


def succeeded_actions(rows: Iterable[Operation], statuses: Iterable[str]) -> list[Operation]:
    """Return the actions with an accepted status, each event once, in order of time."""
    accepted = {ascii_lower(status) for status in statuses}
    succeeded = sorted(row for row in rows if ascii_lower(row[STATUS]) in accepted)
    keys = operation_keys(succeeded)
    return list(dict(zip(reversed(keys), reversed(succeeded), strict=True)).values())[::-1]


def _rank(pair: Pair) -> tuple[tuple[int, bool], int, str, Pair]:
    rank, folded = _rank_of_name(pair.operation)
    return rank, pair.operated, folded, pair


@lru_cache(CACHE_SIZE)
def _rank_of_name(operation: str) -> tuple[tuple[int, bool], str]:
    """Return the parts of a pair's rank that depend on the operation's name alone."""
    return (-classify(operation).points, not is_delete(operation)), ascii_lower(operation)


def _rank_of_action(action: Action) -> tuple[int, Action]:
    entry = classify_action(action.operation)
    return (-entry.points if entry else 0), action


def _pair(pair: Pair) -> EvidenceItem:
    signed_in, resource, operated, operation, target, caller_address, correlation_id = pair
    entry = classify(operation)
    return {
        "Kind": PAIR,
        "SignInTime": format_time(signed_in),
        "Resource": resource,
        "OperationTime": format_time(operated),
        "MinutesBetween": round((operated - signed_in) / MINUTE, 2),
        "Operation": operation,
        "OperationClass": entry.name,
        "Technique": entry.technique,
        "ResourceId": target,
        "CallerIpAddress": caller_address,
        "CorrelationId": correlation_id,
    }


def _corroboration(action: Action) -> EvidenceItem:
    entry = classify_action(action.operation)
    return {
        "Kind": CORROBORATION,
        "SignInTime": None,
        "Resource": "",
        "OperationTime": format_time(action.time),
        "MinutesBetween": None,
        "Operation": action.operation,
        "OperationClass": entry.name if entry else "",
        "Technique": entry.technique if entry else "",
        "ResourceId": action.resource_id,
        "CallerIpAddress": action.caller_address,
        "CorrelationId": action.correlation_id,
    }
