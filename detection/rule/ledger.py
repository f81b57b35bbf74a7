"""What was reported already, and what is still to be delivered.

The ledger makes difference D6: windows overlap, so the same operation is matched again and again,
and is reported once. The outbox makes delivery exact: the rows to deliver are decided and written
down, whole, together with the ledger that counts them as reported; only then are they delivered.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import orjson

from detection.rule.correlate import Group, GroupKey
from detection.rule.history import History
from detection.rule.ticks import DAY

REVISED_FOR = DAY  # a finding takes further operations until it was opened this long ago

Row = Mapping[str, object]


@dataclass(slots=True)
class Reported:
    """A finding that was emitted, with the operations reported in it.

    `opened` is the end of the window that opened it, `last_seen` the latest moment at which a
    run saw one of its operations. `fresh` maps the keys of operations to their latest times
    (ticks) until `operations()` needs them hashed.
    """

    finding_id: str
    revision: int
    opened: int
    last_seen: int
    fresh: dict[str, int] = field(default_factory=dict)
    known: dict[str, int] = field(default_factory=dict)

    def operations(self) -> dict[str, int]:
        """Return the latest time of each operation by its hashed key; may be changed in place."""
        if self.fresh:
            self.known.update((hashed(key), time) for key, time in self.fresh.items())
            self.fresh = {}
        return self.known


@dataclass(frozen=True, slots=True)
class Emission:
    """A group with something new: which finding it is, and how many operations are new in it."""

    group: Group
    finding_id: str
    revision: int
    new_operations: int


@dataclass(slots=True)
class Ledger:
    """The findings emitted, per group, as long as a window can still reach their operations."""

    groups: dict[GroupKey, list[Reported]] = field(default_factory=dict)

    def review(
        self, groups: Iterable[Group], *, scope: str, start: int, end: int, now: int
    ) -> list[Emission]:
        """Take note of the groups of the window (start, end]; return those with news.

        `scope` names rule and workspace, so that equal groups of two workspaces differ; `now` is
        the moment of the run. All in ticks.
        """
        emissions = []
        for group in groups:
            emission = self._review(group, scope, start, end, now)
            if emission is not None:
                emissions.append(emission)
        return emissions

    def forget(self, horizon: int) -> None:
        """Drop the findings whose operations no later window will reach.

        All of a finding's operations happened before it was last seen, so its last sighting
        decides. A backfill of old days keeps what it reported as long as a run of today does.
        An event id that comes again with another time is known for sure if the two times lie
        at most the span apart; hours later, with a sign-in a day late, it may be new again.
        """
        for key, findings in list(self.groups.items()):
            kept = [finding for finding in findings if finding.last_seen > horizon]
            if kept:
                self.groups[key] = kept
            else:
                del self.groups[key]

    def _review(self, group: Group, scope: str, start: int, end: int, now: int) -> Emission | None:
        findings = self.groups.get(group.key, [])
        new = group.operations_at
        if findings:
            new = _not_reported(group.operations_at, findings, now)
        if not new:
            return None
        continued = [
            finding
            for finding in findings
            if end - finding.opened < REVISED_FOR
            and any(start < time <= end for time in finding.operations().values())
        ]
        if continued:
            finding = max(continued, key=lambda finding: (finding.opened, finding.finding_id))
            finding.revision += 1
            finding.operations().update((hashed(key), time) for key, time in new.items())
            finding.last_seen = max(finding.last_seen, now)
        else:
            finding_id = _finding_id(scope, group.key, next(iter(new)))
            finding = Reported(finding_id, 1, end, now, fresh=new)
            self.groups.setdefault(group.key, []).append(finding)
        return Emission(group, finding.finding_id, finding.revision, len(new))


@dataclass(slots=True)
class Outbox:
    """The rows that were decided and not yet delivered, oldest first."""

    findings: list[Row] = field(default_factory=list)
    runs: list[Row] = field(default_factory=list)

    def __len__(self) -> int:
        """Return how many rows wait."""
        return len(self.findings) + len(self.runs)


@dataclass(slots=True)
class State:
    """All that one run hands to the next for one workspace; times in ticks.

    `watermark`: the end of the last window whose result is written down. `arrivals_until`: rows
    ingested up to here were visible to it. `watched_from`: the start of the first window of all.
    `history`: what identities did before, if that was asked for.
    """

    watermark: int | None = None
    arrivals_until: int | None = None
    watched_from: int | None = None
    ledger: Ledger = field(default_factory=Ledger)
    outbox: Outbox = field(default_factory=Outbox)
    history: History | None = None


def hashed(key: str) -> str:
    """Return a key as 32 hexadecimal digits, so that what is remembered of it stays small."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _not_reported(seen: dict[str, int], findings: list[Reported], now: int) -> dict[str, int]:
    """Return the operations that no finding has reported; take note of the sight of the others."""
    new = {}
    for key, time in seen.items():
        name = hashed(key)
        holders = [finding for finding in findings if name in finding.operations()]
        for finding in holders:
            finding.operations()[name] = max(finding.operations()[name], time)
            finding.last_seen = max(finding.last_seen, now)
        if not holders:
            new[key] = time
    return new


def _finding_id(scope: str, key: GroupKey, first_operation: str) -> str:
    """Name a finding after the first operation reported in it; it is reported in no other."""
    digest = hashlib.sha256(orjson.dumps([scope, *key, first_operation])).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"
