"""The rows of both custom tables, made from what a window came to."""

import uuid
from dataclasses import dataclass
from functools import lru_cache

from detection.bounded import entries, numbered, sentences
from detection.pipeline.counters import Tally
from detection.pipeline.enrichment import Analysis
from detection.pipeline.finding_context import Dossier
from detection.pipeline.remarks import remarks
from detection.ranking.classify import DIFFERENT
from detection.ranking.score import Reason
from detection.rule.ledger import Emission
from detection.rule.log_rows import (
    ALLOWLIST_TABLE,
    OPERATION_TABLE,
    SIGN_IN_TABLE,
)
from detection.rule.ticks import text_of
from detection.schema import (
    RULE_NAME,
    RULE_VERSION,
    SEVERITY,
    TACTICS,
    TECHNIQUES,
    Finding,
    RunRecord,
)
from detection.sources import Arrivals
from detection.window import Mode, Window

SUCCESS, WARNING, FAILURE = "Success", "Warning", "Failure"
_RUNS = uuid.UUID("6f3c1f0e-6d5b-5c0a-9a39-0d7f9a4b8a51")  # names the space of run ids


@dataclass(frozen=True, slots=True)
class Header:
    """What every row of one window's run has in common."""

    workspace_id: str
    run_id: str
    generated: str
    window_start: str
    window_end: str
    mode: str

    @classmethod
    def of(cls, workspace_id: str, window: Window, now: int, again: str = "") -> "Header":
        """Name a run; the same run on the same logs has the same id, so that results compare.

        A window that is examined again at the same moment may come out otherwise, and is another
        run: `again` says why.
        """
        name = f"{workspace_id}|{window.mode}|{window.start}|{window.end}|{now}{again}"
        return cls(
            workspace_id=workspace_id,
            run_id=str(uuid.uuid5(_RUNS, name)),
            generated=text_of(now),
            window_start=text_of(window.start),
            window_end=text_of(window.end),
            mode=window.mode,
        )


def finding(emission: Emission, dossier: Dossier, header: Header) -> Finding:
    """Return the row of ManagedIdentityImpact_CL for a group with something new."""
    group = emission.group
    return {
        "TimeGenerated": header.generated,
        "FindingId": emission.finding_id,
        "Revision": emission.revision,
        "WorkspaceId": header.workspace_id,
        "RuleName": RULE_NAME,
        "RuleVersion": RULE_VERSION,
        "Severity": SEVERITY,
        "Tactics": list(TACTICS),
        "Techniques": list(TECHNIQUES),
        "ServicePrincipalName": group.service_principal_name,
        "ServicePrincipalId": group.service_principal_id,
        "ResourceGroup": group.resource_group,
        "DataPlaneAccesses": group.pairs,
        "MgmtPlaneOps": group.pairs,
        "DistinctSignIns": group.distinct_sign_ins,
        "DistinctOperations": len(group.operations_at),
        "NewOperations": emission.new_operations,
        "Resources": group.resources,
        "Operations": group.operations,
        "AffectedResources": group.affected_resources,
        "SubscriptionIds": group.subscription_ids,
        "CallerIpAddresses": group.caller_addresses,
        "RiskScore": dossier.score.points,
        "RiskReasons": list(map(_risk_reason, dossier.score.reasons)),
        "SuggestedSeverity": dossier.score.severity,
        "Evidence": dossier.evidence,
        "Entities": dossier.entities,
        "Investigate": dossier.investigate,
        "FirstEvent": text_of(group.first_event),
        "LastEvent": text_of(group.last_event),
        "WindowStart": header.window_start,
        "WindowEnd": header.window_end,
        "RunId": header.run_id,
        "Shortened": False,
    }


@lru_cache(DIFFERENT)
def _risk_reason(reason: Reason) -> dict[str, object]:
    """Write a reason; findings share what they say alike, as nothing changes a row."""
    return {"Points": reason.points, "Reason": reason.sentence}


def run_record(
    header: Header, tally: Tally, analysis: Analysis, arrivals: Arrivals, duration_ms: int
) -> RunRecord:
    """Return the row of ManagedIdentityImpactRuns_CL for a window that was examined."""
    warnings, notes = remarks(tally, analysis, arrivals)
    excluded = sum(analysis.excluded.values())
    record = empty_record(header, WARNING if warnings else SUCCESS)
    record.update(
        {
            "Reason": sentences(warnings + notes),
            "LateRows": arrivals.late,
            "TooLateRows": arrivals.too_late,
            "SignInsState": tally.states[SIGN_IN_TABLE.name],
            "OperationsState": tally.states[OPERATION_TABLE.name],
            "AllowlistState": tally.states[ALLOWLIST_TABLE.name],
            "SignInsRead": tally.sign_ins_read,
            "OperationsRead": tally.operations_read,
            "SignInsMatched": tally.sign_ins_matched,
            "SignInsExcluded": tally.sign_ins_excluded,
            "SignInsWithoutIp": tally.sign_ins_without_address,
            "OperationsMatched": tally.operations_matched,
            "OperationsSucceededSpelling": tally.operations_succeeded,
            "OperationsWithoutCaller": tally.operations_without_caller,
            "AllowlistEntries": tally.allowlist_entries,
            "AllowlistInvalid": entries(tally.allowlist_invalid),
            "LatestSignIn": _text_of(tally.latest.get(SIGN_IN_TABLE.name)),
            "LatestOperation": _text_of(tally.latest.get(OPERATION_TABLE.name)),
            "Pairs": tally.pairs,
            "Findings": tally.groups,
            "FindingsNew": tally.opened,
            "FindingsUpdated": tally.emitted - tally.opened,
            "FindingsUnchanged": tally.groups - tally.emitted - excluded,
            "FindingsExcluded": excluded,
            "ExclusionsUsed": numbered(analysis.excluded.most_common()),
            "ExclusionsExpired": entries(analysis.exclusions.expired),
            "ExclusionsInvalid": entries(analysis.exclusions.invalid),
            "DurationMs": duration_ms,
            "BytesRead": tally.bytes_read,
        }
    )
    return record


def owed(window: Window) -> str:
    """Say what becomes of a window that was not examined."""
    if window.mode is Mode.BACKFILL:
        return f"the backfill ends before {text_of(window.end)[:19]}Z, so run it again from there"
    return "the next run tries it again"


def failure_record(header: Header, window: Window, error: str, duration_ms: int) -> RunRecord:
    """Return the row for a window that could not be examined."""
    record = empty_record(header, FAILURE)
    # What is tried again at the same moment is another run, and may end otherwise.
    name = f"{header.run_id}|{duration_ms}|{error!a}"
    record.update(
        {
            "RunId": str(uuid.uuid5(_RUNS, name)),
            "Reason": f"The window could not be examined; {owed(window)}",
            "Error": sentences([error]),
            "DurationMs": duration_ms,
        }
    )
    return record


def gap_record(header: Header) -> RunRecord:
    """Return the row for hours that were given up because they are too long ago to catch up."""
    record = empty_record(header, FAILURE)
    reason = (
        f"{header.window_start} to {header.window_end} was never examined, nor what arrived late "
        "in that time: it is further back than MAX_CATCH_UP, or than what is remembered of earlier "
        "findings. Run a backfill for it (--from, --to)"
    )
    record.update({"Reason": reason, "Error": reason})
    return record


def empty_record(header: Header, status: str) -> RunRecord:
    """Return a row of the header and nothing counted."""
    return RunRecord(
        TimeGenerated=header.generated,
        RunId=header.run_id,
        WorkspaceId=header.workspace_id,
        Status=status,
        Reason="",
        WindowStart=header.window_start,
        WindowEnd=header.window_end,
        Mode=header.mode,
        LateRows=0,
        TooLateRows=0,
        SignInsState="",
        OperationsState="",
        AllowlistState="",
        SignInsRead=0,
        OperationsRead=0,
        SignInsMatched=0,
        SignInsExcluded=0,
        SignInsWithoutIp=0,
        OperationsMatched=0,
        OperationsSucceededSpelling=0,
        OperationsWithoutCaller=0,
        AllowlistEntries=0,
        AllowlistInvalid=[],
        LatestSignIn=None,
        LatestOperation=None,
        Pairs=0,
        Findings=0,
        FindingsNew=0,
        FindingsUpdated=0,
        FindingsUnchanged=0,
        FindingsExcluded=0,
        ExclusionsUsed=[],
        ExclusionsExpired=[],
        ExclusionsInvalid=[],
        DurationMs=0,
        BytesRead=0,
        RuleVersion=RULE_VERSION,
        Error="",
        Shortened=False,
    )


def _text_of(moment: int | None) -> str | None:
    return None if moment is None else text_of(moment)
