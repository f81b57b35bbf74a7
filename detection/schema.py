"""The columns of both custom tables, declared once.

A row is a dict with exactly these keys, ready for JSON. `columns()` returns them as (name, Log
Analytics type); the tests compare infrastructure and documentation with it.
"""

from typing import Annotated, Any, Final, TypedDict, cast, get_args, get_type_hints

Text = Annotated[str, "string"]
Moment = Annotated[str, "datetime"]  # ISO 8601 UTC with Z
Count = Annotated[int, "long"]
Small = Annotated[int, "int"]
Texts = Annotated[list[str], "dynamic"]
Objects = Annotated[list[dict[str, Any]], "dynamic"]
Flag = Annotated[bool, "boolean"]

# Makes the empty value of each Log Analytics type.
_EMPTY: Final = {
    **dict.fromkeys(("string", "datetime"), str),
    **dict.fromkeys(("long", "int"), int),
    "dynamic": list,
    "boolean": bool,
}

FINDINGS_TABLE = "ManagedIdentityImpact_CL"
RULE_NAME = "Managed identity data-plane access followed by management-plane impact"
RULE_VERSION = "1.0.0"
SEVERITY = "Medium"
TACTICS = ("CredentialAccess", "Exfiltration")
TECHNIQUES = ("T1552.001", "T1530")
LOCAL = "local"  # the Deployment of rows that no deployment has written


class Finding(TypedDict):
    """A row of ManagedIdentityImpact_CL: one group of the rule with new operations in a window."""

    TimeGenerated: Moment
    FindingId: Text
    Revision: Small
    WorkspaceId: Text
    Deployment: Text  # that wrote the row
    RuleName: Text
    RuleVersion: Text
    Severity: Text
    Tactics: Texts
    Techniques: Texts
    ServicePrincipalName: Text
    ServicePrincipalId: Text
    ResourceGroup: Text
    DataPlaneAccesses: Count
    MgmtPlaneOps: Count
    DistinctSignIns: Count
    DistinctOperations: Count
    NewOperations: Count
    Resources: Texts
    Operations: Texts
    AffectedResources: Texts
    SubscriptionIds: Texts
    CallerIpAddresses: Texts
    ObservedTactics: Texts  # of the operations in the finding so far, MITRE ATT&CK
    ObservedTechniques: Texts
    RiskScore: Small  # 0 to 100
    IdentityRiskScore: Small  # 0 to 100, of all open findings of the identity together
    RiskReasons: Objects  # Points, Reason
    SuggestedSeverity: Text  # Informational, Low, Medium, High
    FindingTitle: Text  # the identity, the gravest thing it did, and where; Title is reserved
    Description: Text  # one paragraph
    Evidence: Objects  # the strongest pairs, and corroborating actions
    IdentityType: Text  # SystemAssigned, UserAssigned
    IdentityResourceId: Text
    HostResourceId: Text  # the resource that used the identity
    RolesUsed: Objects  # Role, Scope
    Grants: Objects  # the roles that it gave with the operations of the finding so far
    FailedOperations: Count
    Entities: Objects  # as Microsoft Sentinel maps them
    Links: Objects  # Title, Url
    Investigate: Objects  # Title, Query
    FirstEvent: Moment
    LastEvent: Moment
    WindowStart: Moment
    WindowEnd: Moment
    RunId: Text
    Shortened: Flag  # a field exceeded the table's limit and was cut


class RunRecord(TypedDict):
    """A row of ManagedIdentityImpactRuns_CL: one window of one workspace."""

    TimeGenerated: Moment
    RunId: Text
    WorkspaceId: Text
    Deployment: Text  # as in Finding
    Status: Text
    Reason: Text
    WindowStart: Moment
    WindowEnd: Moment
    Mode: Text
    LateRows: Count
    TooLateRows: Count
    SignInsState: Text
    OperationsState: Text
    AllowlistState: Text
    SignInsRead: Count
    OperationsRead: Count
    SignInsMatched: Count
    SignInsExcluded: Count
    SignInsWithoutIp: Count
    OperationsMatched: Count
    OperationsSucceededSpelling: Count
    OperationsWithoutCaller: Count
    AllowlistEntries: Count
    AllowlistInvalid: Texts
    LatestSignIn: Moment | None
    LatestOperation: Moment | None
    Pairs: Count
    Findings: Count
    FindingsNew: Count
    FindingsUpdated: Count
    FindingsUnchanged: Count
    FindingsExcluded: Count
    ExclusionsUsed: Texts
    ExclusionsExpired: Texts
    ExclusionsInvalid: Texts
    NearMisses: Count
    DurationMs: Count
    BytesRead: Count
    RuleVersion: Text
    Error: Text
    Shortened: Flag  # as in Finding


def columns(table: type) -> list[tuple[str, str]]:
    """Return the columns of `Finding` or `RunRecord` as (name, Log Analytics type), in order."""
    found = []
    for name, hint in get_type_hints(table, include_extras=True).items():
        optional = [part for part in getattr(hint, "__args__", ()) if hasattr(part, "__metadata__")]
        annotated = hint if hasattr(hint, "__metadata__") else optional[0]
        found.append((name, annotated.__metadata__[0]))
    return found


def empty_run_record() -> RunRecord:
    """Return a run record whose columns are all empty: "", 0, [], false, or null if allowed."""
    values: dict[str, Any] = {}
    hints = get_type_hints(RunRecord)
    for name, kind in columns(RunRecord):
        values[name] = None if type(None) in get_args(hints[name]) else _EMPTY[kind]()
    return cast("RunRecord", values)
