"""The sum of a finding over all its revisions, from which its score and its evidence are made.

The ledger keeps it. The operations of each revision are added to it, so the sum is the same however
the windows are cut, and nothing in it ever shrinks.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import orjson

from detection.ranking.familiarity import Familiarity, least_familiar
from detection.ranking.identity_details import Grant
from detection.ranking.roles import grant_points
from detection.rule.kql_text import ascii_lower
from detection.rule.log_rows import (
    CALLER_ADDRESS,
    OPERATION_CORRELATION,
    OPERATION_NAME,
    TIME,
    Operation,
    resource_id,
)
from detection.rule.pairs import Pair, earliest, pairs_kept

ACTIONS_KEPT: Final = 5  # of each name: as many as the evidence shows
GRANTS_KEPT: Final = 50


class OperationSum(NamedTuple):
    """The operations of one name in a finding: their number, and the earliest pairs, in order.

    `points` are those of the gravest of them, `familiarity` is that of the least familiar.
    """

    operation: str
    number: int
    points: int
    familiarity: Familiarity
    pairs: list[Pair]

    @property
    def kept_points(self) -> int:
        """The points that the operations keep of an identity that may do them every day."""
        return self.familiarity.kept(self.points)


class Action(NamedTuple):
    """A corroborating action: an operation that the rule does not match. The time is in ticks."""

    time: int
    operation: str
    resource_id: str
    caller_address: str
    correlation_id: str

    @classmethod
    def of(cls, row: Operation) -> "Action":
        """Return the action of a row."""
        return cls(
            row[TIME],
            row[OPERATION_NAME],
            resource_id(row),
            row[CALLER_ADDRESS],
            row[OPERATION_CORRELATION],
        )


@dataclass(slots=True)
class Summary:
    """The sum of one finding, or of several findings of one identity.

    Operations and actions are by their name in ASCII lower case. `actions` are those that an
    operation of the finding followed within the span, wherever the windows were cut;
    `later_actions` are others that a window happened to show. `new_group` is the number of days in
    which the identity did not change the resource group, 0 if it is not known to be new.
    `new_network` is an address of a network that is new for the identity, or "". `grants` are the
    roles that it gave, the gravest first. `two_networks` names the addresses of two networks that
    used one token, and `wide_right` a privileged role for whole subscriptions with which it acted;
    both are "" if there is none.
    """

    operations: dict[str, OperationSum] = field(default_factory=dict)
    actions: dict[str, list[Action]] = field(default_factory=dict)
    later_actions: dict[str, list[Action]] = field(default_factory=dict)
    resource_groups: set[str] = field(default_factory=set)
    subscriptions: set[str] = field(default_factory=set)
    new_group: int = 0
    new_network: str = ""
    grants: list[Grant] = field(default_factory=list)
    two_networks: str = ""
    wide_right: str = ""

    def add(self, other: "Summary") -> None:
        """Add another sum, of operations that are not in this one."""
        for name, added in other.operations.items():
            known = self.operations.get(name, added._replace(number=0, pairs=[]))
            pairs = earliest([*known.pairs, *added.pairs], len(known.pairs) + len(added.pairs))
            self.operations[name] = OperationSum(
                pairs[0].operation if pairs else known.operation,
                known.number + added.number,
                max(known.points, added.points),
                least_familiar(known.familiarity, added.familiarity),
                pairs,
            )
        kept = pairs_kept(len(self.operations))
        for name, each in self.operations.items():
            if len(each.pairs) > kept:
                self.operations[name] = each._replace(pairs=each.pairs[:kept])
        for actions in other.actions.values():
            add_actions(self.actions, actions)
        for actions in other.later_actions.values():
            add_actions(self.later_actions, actions)
        self.resource_groups |= other.resource_groups
        self.subscriptions |= other.subscriptions
        self.new_group = max(self.new_group, other.new_group)
        self.new_network = _first(self.new_network, other.new_network)
        self.two_networks = _first(self.two_networks, other.two_networks)
        self.wide_right = _first(self.wide_right, other.wide_right)
        self.grants = sorted({*self.grants, *other.grants}, key=_grant_rank)[:GRANTS_KEPT]

    def encode(self) -> bytes:
        """Return the sum as compressed JSON, as decode() reads it."""
        document = {
            "operations": [
                (operation, number, points, tuple(familiarity), list(map(tuple, pairs)))
                for operation, number, points, familiarity, pairs in self.operations.values()
            ],
            "actions": _listed(self.actions),
            "later_actions": _listed(self.later_actions),
            "resource_groups": sorted(self.resource_groups),
            "subscriptions": sorted(self.subscriptions),
            "new_group": self.new_group,
            "new_network": self.new_network,
            "grants": list(map(tuple, self.grants)),
            "two_networks": self.two_networks,
            "wide_right": self.wide_right,
        }
        return zlib.compress(orjson.dumps(document), 1)

    @classmethod
    def decode(cls, encoded: bytes) -> "Summary":
        """Decode the output of encode(), or b"" as an empty sum.

        Raises ValueError, TypeError, LookupError or zlib.error for anything else.
        """
        if not encoded:
            return cls()
        document: dict[str, Any] = orjson.loads(zlib.decompress(encoded))
        summary = cls(
            resource_groups=set(map(str, document["resource_groups"])),
            subscriptions=set(map(str, document["subscriptions"])),
            new_group=int(document["new_group"]),
            new_network=str(document["new_network"]),
            grants=[Grant(*values) for values in document["grants"]],
            two_networks=str(document["two_networks"]),
            wide_right=str(document["wide_right"]),
        )
        for operation, number, points, familiarity, pairs in document["operations"]:
            summary.operations[ascii_lower(operation)] = OperationSum(
                operation,
                int(number),
                int(points),
                Familiarity(*familiarity),
                [Pair(*pair) for pair in pairs],
            )
        add_actions(summary.actions, (Action(*each) for each in document["actions"]))
        add_actions(summary.later_actions, (Action(*each) for each in document["later_actions"]))
        return summary


def add_actions(by_name: dict[str, list[Action]], actions: Iterable[Action]) -> None:
    """Add corroborating actions, each once, to the earliest of their name."""
    for action in actions:
        known = by_name.get(name := ascii_lower(action.operation), [])
        by_name[name] = sorted({*known, action})[:ACTIONS_KEPT]


def _first(*texts: str) -> str:
    """Return the first text in alphabetical order that is not empty, so that any order will do."""
    return min(filter(None, texts), default="")


def _grant_rank(grant: Grant) -> tuple[int, Grant]:
    return -(grant_points(grant.role_definition_id, grant.scope) or 0), grant


def _listed(by_name: dict[str, list[Action]]) -> list[tuple[int | str, ...]]:
    return [tuple(action) for actions in by_name.values() for action in actions]


def total(summaries: Iterable[Summary]) -> Summary:
    """Return the sum of several findings."""
    added = Summary()
    for summary in summaries:
        added.add(summary)
    return added
