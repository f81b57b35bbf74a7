"""What a finding points at: its most telling pairs, what corroborates them, and who and what it is.

Of each operation name the earliest operation is chosen first, so that ten names are ten pairs;
where there are fewer names their further operations fill up. Graver operations come first, of
equally grave ones deletes, then the earlier.
"""

from collections.abc import Iterable
from functools import lru_cache
from itertools import chain, islice
from typing import Any

from detection.ranking.classify import DIFFERENT, action_of, is_delete, kind_of
from detection.rule.kql_text import fold, is_blank
from detection.rule.log_rows import (
    CALLER_ADDRESS,
    OPERATION,
    OPERATION_CORRELATION,
    STATUS,
    TIME,
    Operation,
    operation_keys,
    resource_id,
)
from detection.rule.pairs import Act, Pair
from detection.rule.ticks import MINUTE, text_of

PAIRS_SHOWN = 10
ACTIONS_SHOWN = 5
PAIR, CORROBORATION = "Pair", "Corroboration"

Item = dict[str, Any]


def telling(acts: Iterable[Act]) -> list[Pair]:
    """Return the ten most telling pairs, most telling first."""
    acts = list(acts)
    if sum(len(act.pairs) for act in acts) <= PAIRS_SHOWN:
        return sorted(chain.from_iterable(act.pairs for act in acts), key=_rank)
    firsts = sorted(chain.from_iterable(act.pairs[:1] for act in acts), key=_rank)[:PAIRS_SHOWN]
    if len(firsts) < PAIRS_SHOWN:
        others = sorted(chain.from_iterable(act.pairs[1:] for act in acts), key=_rank)
        firsts = sorted([*firsts, *others[: PAIRS_SHOWN - len(firsts)]], key=_rank)
    return firsts


def evidence(acts: Iterable[Act], corroborations: Iterable[Item]) -> list[Item]:
    """Return the telling pairs and what corroborates them."""
    return [*map(_pair, telling(acts)), *corroborations]


def corroborations(actions: Iterable[Operation]) -> list[Item]:
    """Return the earliest few of an identity's actions, for the evidence of all its findings."""
    return list(map(_corroboration, islice(sorted(actions), ACTIONS_SHOWN)))


def corroborating(rows: Iterable[Operation], statuses: Iterable[str]) -> list[Operation]:
    """Return the actions that succeeded, each event once, in order of time."""
    accepted = {fold(status) for status in statuses}
    succeeded = sorted(row for row in rows if fold(row[STATUS]) in accepted)
    keys = operation_keys(succeeded)
    return list(dict(zip(reversed(keys), reversed(succeeded), strict=True)).values())[::-1]


def entities(
    identity: str, resource_ids: Iterable[str], addresses: Iterable[str]
) -> list[dict[str, str]]:
    """Return what a finding is about, as Microsoft Sentinel maps entities."""
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
    gravity, folded = _standing(pair.operation)
    return gravity, pair.operated, folded, pair


@lru_cache(DIFFERENT)
def _standing(operation: str) -> tuple[tuple[int, bool], str]:
    """Return what of a pair's rank its operation's name decides."""
    return (-kind_of(operation).points, not is_delete(operation)), fold(operation)


def _pair(pair: Pair) -> Item:
    signed_in, resource, operated, operation, target, caller_address, correlation_id = pair
    kind = kind_of(operation)
    return {
        "Kind": PAIR,
        "SignInTime": text_of(signed_in),
        "Resource": resource,
        "OperationTime": text_of(operated),
        "MinutesBetween": round((operated - signed_in) / MINUTE, 2),
        "Operation": operation,
        "OperationClass": kind.name,
        "Technique": kind.technique,
        "ResourceId": target,
        "CallerIpAddress": caller_address,
        "CorrelationId": correlation_id,
    }


def _corroboration(row: Operation) -> Item:
    kind = action_of(row[OPERATION])
    return {
        "Kind": CORROBORATION,
        "SignInTime": None,
        "Resource": "",
        "OperationTime": text_of(row[TIME]),
        "MinutesBetween": None,
        "Operation": row[OPERATION],
        "OperationClass": kind.name if kind else "",
        "Technique": kind.technique if kind else "",
        "ResourceId": resource_id(row),
        "CallerIpAddress": row[CALLER_ADDRESS],
        "CorrelationId": row[OPERATION_CORRELATION],
    }
