"""Makes the rows of ManagedIdentityImpact_CL."""

from functools import lru_cache

from detection.kql.runbook import calls
from detection.pipeline.finding_context import FindingContext
from detection.pipeline.run_record import RunHeader
from detection.ranking.classify import CACHE_SIZE
from detection.ranking.score import Reason
from detection.rule.ledger import Emission
from detection.rule.ticks import format_time
from detection.schema import (
    RULE_NAME,
    RULE_VERSION,
    SEVERITY,
    TACTICS,
    TECHNIQUES,
    Finding,
)


def finding_row(emission: Emission, context: FindingContext, header: RunHeader) -> Finding:
    """Return the finding of a group with unreported operations."""
    group, explanation = emission.group, context.explanation
    return {
        "TimeGenerated": header.generated,
        "FindingId": emission.finding.finding_id,
        "Revision": emission.finding.revision,
        "WorkspaceId": header.workspace_id,
        "Deployment": header.deployment,
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
        "NewOperations": len(emission.new),
        "Resources": group.resources,
        "Operations": group.operations,
        "AffectedResources": group.affected_resources,
        "SubscriptionIds": group.subscription_ids,
        "CallerIpAddresses": group.caller_addresses,
        "ObservedTactics": context.tactics,
        "ObservedTechniques": context.techniques,
        "RiskScore": context.score.points,
        "IdentityRiskScore": context.identity_points,
        "RiskReasons": list(map(_risk_reason, context.score.reasons)),
        "SuggestedSeverity": context.score.severity,
        "FindingTitle": explanation.title,
        "Description": explanation.description,
        "Evidence": context.evidence,
        "IdentityType": explanation.identity_type,
        "IdentityResourceId": explanation.identity_resource_id,
        "HostResourceId": explanation.host_resource_id,
        "RolesUsed": explanation.roles_used,
        "Grants": explanation.grants,
        "FailedOperations": explanation.failed_operations,
        "Entities": explanation.entities,
        "Links": explanation.links,
        "Investigate": calls(emission.finding.finding_id),
        "FirstEvent": format_time(group.first_event),
        "LastEvent": format_time(group.last_event),
        "WindowStart": header.window_start,
        "WindowEnd": header.window_end,
        "RunId": header.run_id,
        "Shortened": False,
    }


@lru_cache(CACHE_SIZE)
def _risk_reason(reason: Reason) -> dict[str, object]:
    """Return a reason as in the row; equal reasons share one object, because no row changes."""
    return {"Points": reason.points, "Reason": reason.sentence}
