"""The evidence and the entities of a finding: its strongest pairs and corroborating actions.

The earliest operation of each name is chosen first, so that ten names give ten pairs. With fewer
names, further operations fill the remaining places. Operations with more points come first, then
deletes, then the earlier ones. Actions are chosen and ordered in the same way.
"""

from collections.abc import Iterable
from functools import lru_cache
from itertools import chain, islice
from typing import Any

from detection.ranking.classify import CACHE_SIZE, classify, classify_action, is_delete
from detection.rule.kql_text import ascii_lower, is_blank
from detection.rule.log_rows import (
    CALLER_ADDRESS,
    OPERATION_CORRELATION,
    OPERATION_NAME,
    STATUS,
    TIME,
    Operation,
    operation_keys,
    resource_id,
)
from detection.rule.pairs import PAIRS_KEPT, OperationPairs, Pair
from detection.rule.ticks import MINUTE, format_time

ACTIONS_SHOWN = 5
PAIR, CORROBORATION = "Pair", "Corroboration"

EvidenceItem = dict[str, Any]


def strongest_pairs(by_operation: Iterable[OperationPairs]) -> list[Pair]:
    """Return at most PAIRS_KEPT pairs, the strongest first."""
    by_operation = list(by_operation)
    if sum(len(each.pairs) for each in by_operation) <= PAIRS_KEPT:
        return sorted(chain.from_iterable(each.pairs for each in by_operation), key=_rank)
    firsts = sorted(chain.from_iterable(each.pairs[:1] for each in by_operation), key=_rank)[
        :PAIRS_KEPT
    ]
    if len(firsts) < PAIRS_KEPT:
        others = sorted(chain.from_iterable(each.pairs[1:] for each in by_operation), key=_rank)
        firsts = sorted([*firsts, *others[: PAIRS_KEPT - len(firsts)]], key=_rank)
    return firsts


def evidence_items(
    by_operation: Iterable[OperationPairs], corroborations: Iterable[EvidenceItem]
) -> list[EvidenceItem]:
    """Return the strongest pairs, then the corroborations."""
    return [*map(_pair, strongest_pairs(by_operation)), *corroborations]


def corroboration_items(actions: Iterable[Operation]) -> list[EvidenceItem]:
    """Return the gravest actions of an identity, for the evidence of each of its findings.

    As with pairs, the earliest action of each name is chosen first.
    """
    ranked = sorted(actions, key=_rank_of_action)
    firsts: dict[str, Operation] = {}
    for action in ranked:
        firsts.setdefault(ascii_lower(action[OPERATION_NAME]), action)
    others = (action for action in ranked if action not in firsts.values())
    chosen = islice(chain(firsts.values(), others), ACTIONS_SHOWN)
    return list(map(_corroboration, sorted(chosen, key=_rank_of_action)))


def succeeded_actions(rows: Iterable[Operation], statuses: Iterable[str]) -> list[Operation]:
    """Return the actions with an accepted status, each event once, in order of time."""
    accepted = {ascii_lower(status) for status in statuses}
    succeeded = sorted(row for row in rows if ascii_lower(row[STATUS]) in accepted)
    keys = operation_keys(succeeded)
    return list(dict(zip(reversed(keys), reversed(succeeded), strict=True)).values())[::-1]


def sentinel_entities(
    identity: str, resource_ids: Iterable[str], addresses: Iterable[str]
) -> list[dict[str, str]]:
    """Return a finding's account, resources and addresses as entities of Microsoft Sentinel."""
    found = [{"$id": "1", "Type": "account", "AadUserId": identity}]
    for type_, key, values in (
        ("azure-resource", "ResourceId", resource_ids),
        ("ip", "Address", addresses),
    ):
        for value in values:
            if not is_blank(value):
                found.append({"$id": str(len(found) + 1), "Type": type_, key: value})
    return found


def _rank(pair: Pair) -> tuple[tuple[int, bool], int, str, Pair]:
    rank, folded = _rank_of_name(pair.operation)
    return rank, pair.operated, folded, pair


@lru_cache(CACHE_SIZE)
def _rank_of_name(operation: str) -> tuple[tuple[int, bool], str]:
    """Return the parts of a pair's rank that depend on the operation's name alone."""
    return (-classify(operation).points, not is_delete(operation)), ascii_lower(operation)


def _rank_of_action(action: Operation) -> tuple[int, Operation]:
    entry = classify_action(action[OPERATION_NAME])
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


def _corroboration(row: Operation) -> EvidenceItem:
    entry = classify_action(row[OPERATION_NAME])
    return {
        "Kind": CORROBORATION,
        "SignInTime": None,
        "Resource": "",
        "OperationTime": format_time(row[TIME]),
        "MinutesBetween": None,
        "Operation": row[OPERATION_NAME],
        "OperationClass": entry.name if entry else "",
        "Technique": entry.technique if entry else "",
        "ResourceId": resource_id(row),
        "CallerIpAddress": row[CALLER_ADDRESS],
        "CorrelationId": row[OPERATION_CORRELATION],
    }
