"""The ledger of reported operations, by which overlapping windows report each one once (D6)."""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

import orjson

from detection.rule.correlate import Group, GroupKey, Key
from detection.rule.reported import Reported, encode_operations, hash_key
from detection.rule.ticks import DAY

REVISION_PERIOD = DAY  # a finding takes further operations for this long after it was opened


@dataclass(frozen=True, slots=True)
class Emission:
    """A group with new operations, its finding in the ledger, and the new operations' times."""

    group: Group
    finding: Reported
    new: Mapping[Key, int]


@dataclass(slots=True)
class Ledger:
    """The emitted findings per group, while a window can still reach their operations.

    Every reported operation later than `known_from` (ticks) is still in the ledger.
    """

    groups: dict[GroupKey, list[Reported]] = field(default_factory=dict)
    known_from: int = 0

    def forget(self, horizon: int) -> None:
        """Drop the findings whose operations no later window can reach.

        Every operation of a finding happened before the finding was last seen, so `last_seen`
        decides. A backfill of old days is therefore remembered as long as a run of today. A
        repeated event id is guaranteed to be recognised only if its two times are at most the span
        apart. Beyond that, for example with a sign-in that arrives a day late, it may count as new.
        """
        for key, findings in list(self.groups.items()):
            kept = [finding for finding in findings if finding.last_seen > horizon]
            dropped = (finding.last_seen for finding in findings if finding.last_seen <= horizon)
            # A finding's operations are not later than the run that saw it last.
            self.known_from = max(self.known_from, *dropped, 0)
            if kept:
                self.groups[key] = kept
            else:
                del self.groups[key]


@dataclass(slots=True)
class Review:
    """The comparison of one window (start, end] with the ledger, at time `now`; all in ticks.

    The groups arrive in one or more parts. `scope` names rule and workspace, so that equal groups
    of two workspaces get different ids. The ledger stays unchanged until commit(), because a window
    that cannot be read completely does not count as examined. Every reported operation later than
    `known_from` is known. `findings_before` are the ledger's findings of each group,
    `findings_after` the changed ones.
    """

    ledger: Ledger
    scope: str
    start: int
    end: int
    now: int
    known_from: int = 0
    findings_after: dict[GroupKey, list[Reported]] = field(default_factory=dict)
    findings_before: dict[GroupKey, list[Reported]] = field(default_factory=dict)

    @property
    def reaches_forgotten_time(self) -> bool:
        """True if operations of this window may have been reported and forgotten."""
        return self.start < self.known_from

    def register(self, groups: Iterable[Group]) -> list[Emission]:
        """Compare groups with the ledger, each group once; return those with new operations."""
        emissions = map(self._review_group, groups)
        return [emission for emission in emissions if emission is not None]

    def is_valid_for(self, ledger: Ledger, known_from: int) -> bool:
        """Return True if this review would be the same against another run's ledger.

        It is the same if that run reported no operation of this window in the groups reviewed.
        """
        return self.reaches_forgotten_time == (self.start < known_from) and not any(
            self._is_in_window(finding)
            for key, seen in self.findings_before.items()
            if (current := ledger.groups.get(key, seen)) is not seen
            for finding in current
            if not any(_is_same_revision(finding, known) for known in seen)
        )

    def open_findings(self, identities: Collection[str]) -> Mapping[str, list[Reported]]:
        """Return the ledger's findings that take further operations, by identity.

        They were opened less than REVISION_PERIOD before the window's end, in any resource group.
        `identities` are in ASCII lower case; one without such a finding may be missing.
        """
        found: defaultdict[str, list[Reported]] = defaultdict(list)
        for key, findings in self.ledger.groups.items():
            if key.identity in identities:
                found[key.identity] += (
                    each for each in findings if 0 <= self.end - each.opened < REVISION_PERIOD
                )
        return found

    def commit(self, ledger: Ledger) -> None:
        """Write the reviewed findings to a ledger for which this review is valid."""
        for key, findings in self.findings_after.items():
            current = {finding.finding_id: finding for finding in ledger.groups.get(key, [])}
            for finding in findings:
                if finding.finding_id in current:
                    seen_last = current[finding.finding_id].last_seen
                    finding.last_seen = max(finding.last_seen, seen_last)
                current[finding.finding_id] = finding
            ledger.groups[key] = list(current.values())

    def _is_in_window(self, finding: Reported) -> bool:
        """Return True if a finding has an operation in this window."""
        return any(self.start < time <= self.end for time in finding.operations().values())

    def encode(self) -> None:
        """Encode the findings reviewed so far, to save memory while the next part is read."""
        for findings in self.findings_after.values():
            for finding in findings:
                finding.encode()

    def _review_group(self, group: Group) -> Emission | None:
        self.findings_before[group.key] = self.ledger.groups.get(group.key, [])
        findings = [replace(finding) for finding in self.findings_before[group.key]]
        known = [finding.operations() for finding in findings]
        new = group.operations_at
        if findings:
            new = self._unreported(group.operations_at, findings, known)
            self.findings_after[group.key] = findings
        if not new:
            return None
        if self.reaches_forgotten_time:
            finding = self._open_in_forgotten_time(group, new)
            self.findings_after[group.key] = [*findings, finding]
            return Emission(group, finding, new)
        continued = [
            (finding.opened, finding.finding_id, place)
            for place, finding in enumerate(findings)
            if self.end - finding.opened < REVISION_PERIOD
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
            self.findings_after[group.key] = [*findings, finding]
        return Emission(group, finding, new)

    def _open_in_forgotten_time(self, group: Group, new: Mapping[Key, int]) -> Reported:
        """Open a finding in a window whose reported operations may have been forgotten.

        Its id is made from all of its operations: a forgotten finding with other operations may
        have the id that the first operation alone gives. The finding takes no further revision,
        because a revision of equal id and number may have been delivered too.
        """
        operations, new_keys = (
            sorted(hash_key(key).hex() for key in keys) for keys in (group.operations_at, new)
        )
        finding_id = _finding_id(self.scope, group.key, operations, new_keys)
        return Reported(finding_id, 1, self.start - REVISION_PERIOD, self.now, pending=new)

    def _unreported(
        self,
        seen: Mapping[Key, int],
        findings: list[Reported],
        known: list[dict[bytes, int]],
    ) -> dict[Key, int]:
        """Return the operations that no finding has reported; update `last_seen` for the rest."""
        new: dict[Key, int] = {}
        seen_again, time_changed = set[int](), set[int]()
        for key, time in seen.items():
            name = hash_key(key)
            holders = [place for place, operations in enumerate(known) if name in operations]
            seen_again.update(holders)
            for place in holders:
                if known[place][name] < time:
                    known[place][name] = time
                    time_changed.add(place)
            if not holders:
                new[key] = time
        for place in seen_again:
            findings[place].last_seen = max(findings[place].last_seen, self.now)
        for place in time_changed:
            findings[place].encoded, findings[place].pending = encode_operations(known[place]), {}
        return new


def _is_same_revision(one: Reported, other: Reported) -> bool:
    """Return True if both are the same finding with the same operations; last_seen may differ."""
    return (one.finding_id, one.revision) == (other.finding_id, other.revision) and (
        one.operations() == other.operations()
    )


def _finding_id(scope: str, group: GroupKey, *operations: str | list[str]) -> str:
    """Make a finding's id from hashed operations: usually the first, which no other reports."""
    named = orjson.dumps([scope, *group, *operations])
    digest = hashlib.sha256(named).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"
