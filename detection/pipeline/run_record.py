"""A row of ManagedIdentityImpactRuns_CL: the record of one window, with its warnings."""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from detection.pipeline.counters import WindowCounters
from detection.pipeline.enrichment import Enrichment
from detection.printable import (
    counted,
    first_entries,
    join_sentences,
    numbered_entries,
    shorten_middle,
    shortened,
)
from detection.ranking.near_misses import TOKEN_LIFETIME, NearMiss
from detection.rule.filters import OTHER_SUCCESS
from detection.rule.log_rows import (
    ALLOWLIST_TABLE,
    OPERATION_TABLE,
    SIGN_IN_TABLE,
    SourceState,
)
from detection.rule.ticks import describe_duration, format_time
from detection.schema import LOCAL, RULE_VERSION, RunRecord, empty_run_record
from detection.sources import Arrivals
from detection.window import Mode, Window

SUCCESS, WARNING, FAILURE = "Success", "Warning", "Failure"
NAMES_LENGTH: Final = 300  # characters of the entries that a sentence names
NEAR_MISSES_NAMED: Final = 3
_RUN_IDS: Final = uuid.UUID("6f3c1f0e-6d5b-5c0a-9a39-0d7f9a4b8a51")  # the namespace of run ids


@dataclass(frozen=True, slots=True)
class RunHeader:
    """The columns that all rows of one window share: its run record and its findings."""

    workspace_id: str
    run_id: str
    generated: str
    window_start: str
    window_end: str
    mode: str
    deployment: str

    @classmethod
    def of(
        cls, workspace_id: str, window: Window, now: int, again: str = "", deployment: str = LOCAL
    ) -> "RunHeader":
        """Return the header of a window that is examined at `now` (ticks).

        The run id is a hash, so that equal runs on equal logs can be compared. A second examination
        at the same time may have another result: `again` gives it another id.
        """
        name = f"{workspace_id}|{window.mode}|{window.start}|{window.end}|{now}{again}"
        return cls(
            workspace_id=workspace_id,
            run_id=str(uuid.uuid5(_RUN_IDS, name)),
            generated=format_time(now),
            window_start=format_time(window.start),
            window_end=format_time(window.end),
            mode=window.mode,
            deployment=deployment,
        )


def run_record(
    header: RunHeader,
    counters: WindowCounters,
    enrichment: Enrichment,
    arrivals: Arrivals,
    duration_ms: int,
) -> RunRecord:
    """Return the record of a window that was examined."""
    warnings, notes = warnings_and_notes(counters, enrichment, arrivals)
    excluded = sum(enrichment.excluded.values())
    record = _record(header, WARNING if warnings else SUCCESS)
    record.update(
        {
            "Reason": join_sentences(warnings + notes),
            "LateRows": arrivals.late,
            "TooLateRows": arrivals.too_late,
            "SignInsState": counters.states[SIGN_IN_TABLE.name],
            "OperationsState": counters.states[OPERATION_TABLE.name],
            "AllowlistState": counters.states[ALLOWLIST_TABLE.name],
            "SignInsRead": counters.sign_ins_read,
            "OperationsRead": counters.operations_read,
            "SignInsMatched": counters.sign_ins_matched,
            "SignInsExcluded": counters.sign_ins_excluded,
            "SignInsWithoutIp": counters.sign_ins_without_address,
            "OperationsMatched": counters.operations_matched,
            "OperationsSucceededSpelling": counters.operations_succeeded,
            "OperationsWithoutCaller": counters.operations_without_caller,
            "AllowlistEntries": counters.allowlist.entries,
            "AllowlistInvalid": first_entries(counters.allowlist.invalid),
            "LatestSignIn": _time_or_null(counters.latest.get(SIGN_IN_TABLE.name)),
            "LatestOperation": _time_or_null(counters.latest.get(OPERATION_TABLE.name)),
            "Pairs": counters.pairs,
            "Findings": counters.groups,
            "FindingsNew": counters.opened,
            "FindingsUpdated": counters.emitted - counters.opened,
            "FindingsUnchanged": counters.groups - counters.emitted - excluded,
            "FindingsExcluded": excluded,
            "ExclusionsUsed": numbered_entries(enrichment.excluded.most_common()),
            "ExclusionsExpired": first_entries(enrichment.exclusions.expired),
            "ExclusionsInvalid": first_entries(enrichment.exclusions.invalid),
            "NearMisses": sum(miss.number for miss in enrichment.near_misses),
            "DurationMs": duration_ms,
            "BytesRead": counters.bytes_read,
        }
    )
    return record


def retry_advice(window: Window) -> str:
    """Say when a window that was not examined is examined, for an error message."""
    if window.mode is Mode.BACKFILL:
        return (
            f"the backfill ends before {format_time(window.end)[:19]}Z, so run it again from there"
        )
    return "the next run tries it again"


def failure_record(header: RunHeader, window: Window, error: str, duration_ms: int) -> RunRecord:
    """Return the record of a window that could not be examined."""
    record = _record(header, FAILURE)
    # A second attempt at the same time is another run, and may end in another way.
    name = f"{header.run_id}|{duration_ms}|{error!a}"
    record.update(
        {
            "RunId": str(uuid.uuid5(_RUN_IDS, name)),
            "Reason": f"The window could not be examined; {retry_advice(window)}",
            "Error": join_sentences([error]),
            "DurationMs": duration_ms,
        }
    )
    return record


def gap_record(header: RunHeader) -> RunRecord:
    """Return the record of hours that are too long ago to be caught up, and never examined."""
    record = _record(header, FAILURE)
    reason = (
        f"The hours from {header.window_start} to {header.window_end} were never examined, and "
        "rows that arrived late in them were not examined either: they are further back than "
        "MAX_CATCH_UP, or than the memory of earlier findings. Run a backfill (--from, --to)"
    )
    record.update({"Reason": reason, "Error": reason})
    return record


def _record(header: RunHeader, status: str) -> RunRecord:
    """Return a run record with a header and a status, and nothing counted."""
    record = empty_run_record()
    record.update(
        {
            "TimeGenerated": header.generated,
            "RunId": header.run_id,
            "WorkspaceId": header.workspace_id,
            "Deployment": header.deployment,
            "Status": status,
            "WindowStart": header.window_start,
            "WindowEnd": header.window_end,
            "Mode": header.mode,
            "RuleVersion": RULE_VERSION,
        }
    )
    return record


def warnings_and_notes(
    counters: WindowCounters, enrichment: Enrichment, arrivals: Arrivals
) -> tuple[list[str], list[str]]:
    """Return the warnings (a finding may have been missed) and the notes, as sentences."""
    notes: list[str] = [*enrichment.notes]
    if enrichment.excluded:
        number, used = sum(enrichment.excluded.values()), enrichment.excluded.most_common()
        names = _named(label for label, _ in used)
        notes.append(f"{counted(number, 'finding')} not reported because of exclusions: {names}")
    notes += near_miss_note(enrichment.near_misses, enrichment.settings.span)
    warnings = [
        f"Table {shape.name} is missing: {counters.remedies.get(shape.name, shape.remedy)}"
        for shape in (SIGN_IN_TABLE, OPERATION_TABLE)
        if counters.states[shape.name] is SourceState.MISSING
    ]
    warnings += counters.warnings
    warnings += enrichment.warnings
    warnings += filter(None, (counters.allowlist.problem, enrichment.exclusions.problem))
    for listed, noun in (
        (enrichment.exclusions.expired, "expired exclusion"),
        (enrichment.exclusions.invalid, "invalid exclusion"),
    ):
        if listed:
            warnings.append(f"{counted(len(listed), noun)} without effect: {_named(listed)}")
    if counters.unsplit_identities:
        identities = counted(len(counters.unsplit_identities), "identity", "identities")
        warnings.append(
            f"{identities} with too many names, whose findings are not split by name: "
            f"{_named(counters.unsplit_identities)}"
        )
    if arrivals.too_late:
        rows = counted(arrivals.too_late, "row")
        warnings.append(f"{rows} not examined, because of an arrival later than MAX_LATENESS")
    if counters.allowlist.invalid:
        entries = counted(len(counters.allowlist.invalid), "allowlist entry", "allowlist entries")
        names = _named(map(repr, first_entries(counters.allowlist.invalid)))
        warnings.append(f"{entries} without effect, because unreadable: {names}")
    if counters.operations_succeeded:
        changes = counted(counters.operations_succeeded, "change")
        note = (
            f"{changes} ignored for the status {OTHER_SUCCESS}: to include such changes, add "
            f"{OTHER_SUCCESS} to SUCCESS_STATUSES"
        )
        (notes if counters.operations_matched else warnings).append(note)
    if counters.operations_without_caller:
        changes = counted(counters.operations_without_caller, "change")
        notes.append(f"{changes} without a caller: no identity to pair with")
    if counters.states[ALLOWLIST_TABLE.name] is SourceState.MISSING:
        remedy = counters.remedies.get(ALLOWLIST_TABLE.name, ALLOWLIST_TABLE.remedy)
        notes.append(f"Watchlist {ALLOWLIST_TABLE.name} is missing: {remedy}")
    return warnings, notes


def near_miss_note(misses: Sequence[NearMiss], span: int) -> Iterator[str]:
    """Yield a sentence that names the gravest near misses, if there are any."""
    if not misses:
        return
    number = sum(miss.number for miss in misses)
    identities = counted(len({miss.identity for miss in misses}), "identity", "identities")
    gravest = "; ".join(
        f"{shorten_middle(miss.identity)} {shorten_middle(miss.operation)} "
        f"({counted(miss.number, 'time')})"
        for miss in misses[:NEAR_MISSES_NAMED]
    )
    yield (
        f"{counted(number, 'grave change')} by {identities} not reported, because the latest "
        f"sign-in to a target service was more than {describe_duration(span)} before, within a "
        f"token's lifetime of {describe_duration(TOKEN_LIFETIME)}. The gravest: {gravest}"
    )


def _named(texts: Iterable[str]) -> str:
    """Return the first entries in one sentence."""
    return shortened("; ".join(first_entries(texts)), NAMES_LENGTH)


def _time_or_null(ticks: int | None) -> str | None:
    return None if ticks is None else format_time(ticks)
