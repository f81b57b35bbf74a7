"""What was reported already: difference D6.

Windows overlap, so the same operation is matched again and again, and is reported once.
"""

import hashlib
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import orjson

from detection.rule.correlate import Group, GroupKey, Key
from detection.rule.ticks import DAY

REVISED_FOR = DAY  # a finding takes further operations until it was opened this long ago

HASH_BYTES = 16
_RECORD = struct.Struct(f">{HASH_BYTES}sq")  # a hashed key, and a time in ticks


@dataclass(slots=True)
class Reported:
    """A finding that was emitted, with the operations reported in it.

    `opened`: the end of the window that opened it. `last_seen`: the latest time at which a run saw
    one of its operations. `encoded`: its operations as encode_operations() writes them, without
    those in `pending`, which are encoded later.
    """

    finding_id: str
    revision: int
    opened: int
    last_seen: int
    pending: Mapping[Key, int] = field(default_factory=dict)
    encoded: bytes = b""

    def operations(self) -> dict[bytes, int]:
        """Return the latest time of each operation by its hashed key."""
        return decode_operations(self.encoded) | {
            hash_key(key): time for key, time in self.pending.items()
        }

    def encode(self) -> None:
        """Lay the fresh operations down."""
        if self.pending:
            self.encoded, self.pending = encode_operations(self.operations()), {}


@dataclass(frozen=True, slots=True)
class Emission:
    """A group with something new: which finding it is, and how many operations are new in it."""

    group: Group
    finding_id: str
    revision: int
    new_operations: int


@dataclass(slots=True)
class Ledger:
    """The findings emitted, per group, as long as a window can still reach their operations.

    All that was reported of the time after `known_from` (ticks) is known.
    """

    groups: dict[GroupKey, list[Reported]] = field(default_factory=dict)
    known_from: int = 0

    def forget(self, horizon: int) -> None:
        """Drop the findings whose operations no later window will reach.

        All of a finding's operations happened before it was last seen, so its last sighting
        decides. A backfill of old days keeps what it reported as long as a run of today does.
        An event id that comes again with another time is known for sure if the two times lie
        at most the span apart; hours later, with a sign-in a day late, it may be new again.
        """
        for key, findings in list(self.groups.items()):
            kept = [finding for finding in findings if finding.last_seen > horizon]
            dropped = (finding.last_seen for finding in findings if finding.last_seen <= horizon)
            # No operation of a finding is later than the run that saw it last.
            self.known_from = max(self.known_from, *dropped, 0)
            if kept:
                self.groups[key] = kept
            else:
                del self.groups[key]


@dataclass(slots=True)
class Review:
    """One window (start, end], reviewed part after part, at the moment `now`; all in ticks.

    `scope` names rule and workspace, so that equal groups of two workspaces differ. The ledger
    stays as it was until commit(), since a window that cannot be read to its end was not examined.
    `known_from` is how far back all that was reported is known. `seen` is what the ledger had of
    each group.
    """

    ledger: Ledger
    scope: str
    start: int
    end: int
    now: int
    known_from: int = 0
    changed: dict[GroupKey, list[Reported]] = field(default_factory=dict)
    seen: dict[GroupKey, list[Reported]] = field(default_factory=dict)

    @property
    def is_forgotten(self) -> bool:
        """Whether operations of this window may have been reported and forgotten."""
        return self.start < self.known_from

    def register(self, groups: Iterable[Group]) -> list[Emission]:
        """Take note of groups, each of which comes once; return those with news."""
        emissions = map(self._emission, groups)
        return [emission for emission in emissions if emission is not None]

    def stands(self, ledger: Ledger, known_from: int) -> bool:
        """Whether the review would come out the same against a ledger that another run wrote.

        It does where that run has reported nothing of this window in the groups reviewed.
        """
        return self.is_forgotten == (self.start < known_from) and not any(
            self._concerns(finding)
            for key, seen in self.seen.items()
            if (there := ledger.groups.get(key, seen)) is not seen
            for finding in there
            if not any(_same_finding(finding, known) for known in seen)
        )

    def commit(self, ledger: Ledger) -> None:
        """Let a ledger on which the review stands know what was reviewed."""
        for key, findings in self.changed.items():
            there = {finding.finding_id: finding for finding in ledger.groups.get(key, [])}
            for finding in findings:
                if finding.finding_id in there:
                    seen_last = there[finding.finding_id].last_seen
                    finding.last_seen = max(finding.last_seen, seen_last)
                there[finding.finding_id] = finding
            ledger.groups[key] = list(there.values())

    def _concerns(self, finding: Reported) -> bool:
        """Whether a finding has an operation in this window."""
        return any(self.start < time <= self.end for time in finding.operations().values())

    def encode(self) -> None:
        """Lay down what was reviewed so far, before another part is read."""
        for findings in self.changed.values():
            for finding in findings:
                finding.encode()

    def _emission(self, group: Group) -> Emission | None:
        self.seen[group.key] = self.ledger.groups.get(group.key, [])
        findings = [replace(finding) for finding in self.seen[group.key]]
        known = [finding.operations() for finding in findings]
        new = group.operations_at
        if findings:
            new = self._not_reported(group.operations_at, findings, known)
            self.changed[group.key] = findings
        if not new:
            return None
        if self.is_forgotten:
            finding = self._of_forgotten_time(group, new)
            self.changed[group.key] = [*findings, finding]
            return Emission(group, finding.finding_id, finding.revision, len(new))
        continued = [
            (finding.opened, finding.finding_id, place)
            for place, finding in enumerate(findings)
            if self.end - finding.opened < REVISED_FOR
            and any(self.start < time <= self.end for time in known[place].values())
        ]
        if continued:
            *_, place = max(continued)
            finding = findings[place]
            finding.revision += 1
            operations = known[place] | {hash_key(key): time for key, time in new.items()}
            finding.encoded, finding.pending = encode_operations(operations), {}
            finding.last_seen = max(finding.last_seen, self.now)
        else:
            finding_id = _finding_id(self.scope, group.key, hash_key(next(iter(new))).hex())
            finding = Reported(finding_id, 1, self.end, self.now, pending=new)
            self.changed[group.key] = [*findings, finding]
        return Emission(group, finding.finding_id, finding.revision, len(new))

    def _of_forgotten_time(self, group: Group, new: Mapping[Key, int]) -> Reported:
        """Open a finding of a time of which reported operations may have been forgotten.

        It is named after all of its operations: after the first alone, another finding may have
        been named that held others. It takes no revision, since one of equal name and number may
        have been delivered too.
        """
        operations, fresh = (
            sorted(hash_key(key).hex() for key in keys) for keys in (group.operations_at, new)
        )
        finding_id = _finding_id(self.scope, group.key, operations, fresh)
        return Reported(finding_id, 1, self.start - REVISED_FOR, self.now, pending=new)

    def _not_reported(
        self,
        seen: Mapping[Key, int],
        findings: list[Reported],
        known: list[dict[bytes, int]],
    ) -> dict[Key, int]:
        """Return the operations that no finding has reported; note the sight of the others."""
        new: dict[Key, int] = {}
        sighted, moved = set[int](), set[int]()
        for key, time in seen.items():
            name = hash_key(key)
            holders = [place for place, operations in enumerate(known) if name in operations]
            sighted.update(holders)
            for place in holders:
                if known[place][name] < time:
                    known[place][name] = time
                    moved.add(place)
            if not holders:
                new[key] = time
        for place in sighted:
            findings[place].last_seen = max(findings[place].last_seen, self.now)
        for place in moved:
            findings[place].encoded, findings[place].pending = encode_operations(known[place]), {}
        return new


def hash_key(key: Key) -> bytes:
    """Return a key as 16 bytes, so that what is remembered of it stays small.

    A key that comes from a workspace's cluster was hashed there already.
    """
    if isinstance(key, bytes):
        return key
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[:HASH_BYTES]


def encode_operations(operations: Mapping[bytes, int]) -> bytes:
    """Lay down hashed keys and times in little room: millions may be remembered."""
    return b"".join(sorted(map(_RECORD.pack, operations.keys(), operations.values())))


def decode_operations(encoded: bytes) -> dict[bytes, int]:
    """Return what encode_operations() laid down; raises ValueError for anything else."""
    if len(encoded) % _RECORD.size:
        raise ValueError(f"{len(encoded)} bytes are no whole operations")
    return dict(_RECORD.iter_unpack(encoded))


def _same_finding(one: Reported, other: Reported) -> bool:
    """Whether both are one finding with the same operations, whenever they were seen last."""
    return (one.finding_id, one.revision) == (other.finding_id, other.revision) and (
        one.operations() == other.operations()
    )


def _finding_id(scope: str, group: GroupKey, *operations: str | list[str]) -> str:
    """Name a finding after hashed operations: mostly the first one, which no other reports."""
    named = orjson.dumps([scope, *group, *operations])
    digest = hashlib.sha256(named).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"
