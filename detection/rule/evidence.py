"""What a finding points at: its most telling pairs, what corroborates them, and who and what it is.

Of each operation name the earliest operation is chosen first, so that ten names are ten pairs;
where there are fewer names their further operations fill up. Graver operations come first, of
equally grave ones deletes, then the earlier.
"""

from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import Any

from detection.rule.classes import action_of, is_delete, kind_of
from detection.rule.rows import (
    CALLER_ADDRESS,
    OPERATION,
    OPERATION_CORRELATION,
    STATUS,
    TIME,
    Operation,
)
from detection.rule.select import operation_keys, resource_ids
from detection.rule.terms import fold, is_blank
from detection.rule.ticks import MINUTE, text_of
from detection.rule.traces import Act, Pair

PAIRS_SHOWN = 10
ACTIONS_SHOWN = 5
PAIR, CORROBORATION = "Pair", "Corroboration"

Item = dict[str, Any]


def telling(acts: Iterable[Act]) -> list[Pair]:
    """Return the ten most telling pairs, most telling first."""
    acts = list(acts)
    firsts = sorted(chain.from_iterable(act.pairs[:1] for act in acts), key=_rank)[:PAIRS_SHOWN]
    if len(firsts) < PAIRS_SHOWN:
        others = sorted(chain.from_iterable(act.pairs[1:] for act in acts), key=_rank)
        firsts = sorted([*firsts, *others[: PAIRS_SHOWN - len(firsts)]], key=_rank)
    return firsts


def evidence(acts: Iterable[Act], actions: Sequence[Operation]) -> list[Item]:
    """Return the telling pairs and the earliest few of the actions that corroborate them."""
    return [
        *map(_pair, telling(acts)),
        *map(_corroboration, islice(sorted(actions), ACTIONS_SHOWN)),
    ]


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
    found = [
        {"Type": "account", "AadUserId": identity},
        *({"Type": "azure-resource", "ResourceId": i} for i in resource_ids if not is_blank(i)),
        *({"Type": "ip", "Address": address} for address in addresses if not is_blank(address)),
    ]
    return [{"$id": str(number), **entity} for number, entity in enumerate(found, 1)]


def _rank(pair: Pair) -> tuple[int, bool, int, str, Pair]:
    operation = pair.operation
    points = kind_of(operation).points
    return -points, not is_delete(operation), pair.operated, fold(operation), pair


def _pair(pair: Pair) -> Item:
    kind = kind_of(pair.operation)
    return {
        "Kind": PAIR,
        "SignInTime": text_of(pair.signed_in),
        "Resource": pair.resource,
        "OperationTime": text_of(pair.operated),
        "MinutesBetween": round((pair.operated - pair.signed_in) / MINUTE, 2),
        "Operation": pair.operation,
        "OperationClass": kind.name,
        "Technique": kind.technique,
        "ResourceId": pair.resource_id,
        "CallerIpAddress": pair.caller_address,
        "CorrelationId": pair.correlation_id,
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
        "ResourceId": next(resource_ids([row])),
        "CallerIpAddress": row[CALLER_ADDRESS],
        "CorrelationId": row[OPERATION_CORRELATION],
    }
