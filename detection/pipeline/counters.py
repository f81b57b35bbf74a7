"""The counters of a window, for its run record."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from detection.rule.allowlist import Allowlist
from detection.rule.correlate import Detection
from detection.rule.ledger import Emission
from detection.rule.log_rows import OPERATION_TABLE, SIGN_IN_TABLE, Logs, SourceState


@dataclass(slots=True)
class WindowCounters:
    """Sums over the parts of a window; a field that is equal in all parts keeps the last value.

    `emitted` counts the groups with new operations, `opened` those of them that open a finding.
    `unsplit_identities` holds the identities whose findings are not split by name.
    """

    states: Mapping[str, SourceState] = field(default_factory=dict)
    remedies: Mapping[str, str] = field(default_factory=dict)
    latest: Mapping[str, int | None] = field(default_factory=dict)
    allowlist: Allowlist = field(default_factory=lambda: Allowlist.of(()))
    sign_ins_read: int = 0
    operations_read: int = 0
    sign_ins_matched: int = 0
    sign_ins_excluded: int = 0
    sign_ins_without_address: int = 0
    operations_matched: int = 0
    operations_succeeded: int = 0
    operations_without_caller: int = 0
    pairs: int = 0
    groups: int = 0
    emitted: int = 0
    opened: int = 0
    bytes_read: int = 0
    unsplit_identities: dict[str, None] = field(default_factory=dict)
    warnings: dict[str, None] = field(default_factory=dict)  # each once, in order

    def add(self, logs: Logs, detection: Detection, emissions: list[Emission]) -> None:
        """Add a part, the result of the rule for it, and its groups with new operations."""
        self.states, self.remedies, self.latest = logs.states, logs.remedies, logs.latest
        self.allowlist = detection.allowlist
        self.sign_ins_read += logs.read.get(SIGN_IN_TABLE.name, len(logs.sign_ins))
        self.operations_read += logs.read.get(OPERATION_TABLE.name, len(logs.operations))
        self.sign_ins_matched += detection.sign_ins.matched
        self.sign_ins_excluded += detection.sign_ins.excluded
        self.sign_ins_without_address += detection.sign_ins.without_address
        self.operations_matched += detection.operations.matched
        self.operations_succeeded += detection.operations.other_success
        self.operations_without_caller += detection.operations.without_caller
        self.pairs += sum(group.pairs for group in detection.groups)
        self.groups += len(detection.groups)
        self.emitted += len(emissions)
        self.opened += sum(emission.finding.revision == 1 for emission in emissions)
        self.bytes_read += logs.bytes_read
        self.unsplit_identities.update(dict.fromkeys(detection.unsplit_identities))
        self.warnings.update(dict.fromkeys(logs.warnings))
