"""Rows of findings as they are delivered, for tests of what people are shown."""

from random import Random
from typing import Any

from detection.ranking.classify import CHANGE, CatalogEntry, catalog
from detection.report.findings import SEVERITIES
from detection.schema import empty_run_record

TIMES = ("2026-03-14T08:41:07.3318204Z", "2026-03-14T09:24:55.6630127Z")


def evidence_item(**fields: Any) -> dict[str, Any]:
    """Return a pair of a finding's evidence."""
    return {
        "Kind": "Pair",
        "SignInTime": TIMES[0],
        "Resource": "Azure Key Vault",
        "OperationTime": TIMES[1],
        "MinutesBetween": 43.8,
        "Operation": "MICROSOFT.KEYVAULT/VAULTS/DELETE",
        "OperationClass": "destruction",
        "Technique": "T1485",
        "ResourceId": "/r/1",
        "CallerIpAddress": "203.0.113.7",
        "CorrelationId": "c-1",
    } | fields


def finding(**fields: Any) -> dict[str, Any]:
    """Return a finding as it is delivered."""
    return {
        "TimeGenerated": "2026-03-14T10:00:00.0000000Z",
        "FindingId": "f-1",
        "Revision": 1,
        "ServicePrincipalName": "app",
        "ServicePrincipalId": "id-1",
        "ResourceGroup": "rg",
        "RiskScore": 44,
        "RiskReasons": [{"Points": 44, "Reason": "The gravest operation deleted a key vault"}],
        "IdentityRiskScore": fields.get("RiskScore", 44),
        "SuggestedSeverity": "Medium",
        "ObservedTactics": ["Impact"],
        "ObservedTechniques": ["T1485"],
        "FindingTitle": "app deleted a key vault in resource group rg",
        "Description": "The managed identity app signed in to Azure Key Vault once. " * 8,
        "Links": [
            {"Title": title, "Url": f"https://portal.azure.com/#resource/{'x' * 100}/overview"}
            for title in ("Enterprise application", "Resource group", "Activity log")
        ],
        "DistinctSignIns": 1,
        "DistinctOperations": 1,
        "NewOperations": 1,
        "DataPlaneAccesses": 1,
        "MgmtPlaneOps": 1,
        "Resources": ["Azure Key Vault"],
        "Operations": ["MICROSOFT.KEYVAULT/VAULTS/DELETE"],
        "AffectedResources": ["/r/1"],
        "SubscriptionIds": ["s-1"],
        "CallerIpAddresses": ["203.0.113.7"],
        "FirstEvent": TIMES[0],
        "LastEvent": TIMES[1],
        "WindowStart": "2026-03-14T08:00:00.0000000Z",
        "WindowEnd": "2026-03-14T10:00:00.0000000Z",
        "Evidence": [evidence_item()],
        "Investigate": [{"Title": "1. What else", "Query": "AzureActivity\n| take 1"}],
    } | fields


def run_record(**fields: Any) -> dict[str, Any]:
    """Return the record of a run that succeeded."""
    return {
        **empty_run_record(),
        "Status": "Success",
        "WindowStart": "2026-03-14T08:00:00.0000000Z",
        "WindowEnd": "2026-03-14T10:00:00.0000000Z",
        "SignInsRead": 9,
        "SignInsMatched": 5,
    } | fields


def many_findings(number: int, seed: int = 1) -> list[dict[str, Any]]:
    """Return different findings, as of a busy day: three or four of each identity.

    Their texts are as long as those of real logs, a third has the ten events that evidence may
    hold, and most are of the lower severities.
    """
    random = Random(seed)  # noqa: S311
    names = list(SEVERITIES)
    weights = range(1, 2 * len(names), 2)
    entries = [entry for entry in catalog(CHANGE).entries if "*" not in entry.pattern]
    identities = [f"{random.getrandbits(128):032x}" for _ in range(-(-number * 3 // 10))]
    return [
        _drawn(random, place, random.choice(identities), severity, random.choices(entries, k=10))
        for place, severity in enumerate(random.choices(names, weights, k=number))
    ]


def _drawn(
    random: Random, place: int, identity: str, severity: str, entries: list[CatalogEntry]
) -> dict[str, Any]:
    """Return one finding of an identity, with one to ten operations."""
    operations = sorted(entries[: random.choice((1, 2, 3, 5, 8, 10, 10))], key=lambda e: -e.points)
    group = f"rg-{random.choice(('orders', 'payments', 'backup', 'network'))}-{place % 40}-prod"
    scope = f"/subscriptions/3baa586e-f753-4231-9584-adf5f0eedd8f/resourcegroups/{group}/providers"
    total = len(operations) + random.randrange(4) * 10
    base = 100 - 20 * list(SEVERITIES).index(severity)
    evidence = [
        evidence_item(
            OperationTime=f"2026-03-14T09:{random.randrange(60):02}:{minute:02}.6630127Z",
            MinutesBetween=round(random.uniform(1, 60), 2),
            Operation=entry.pattern.upper(),
            OperationClass=entry.name,
            Technique=entry.technique,
            ResourceId=f"{scope}/{entry.pattern.rpartition('/')[0]}/resource-{minute}",
            CorrelationId=f"756f5533-97b3-425b-9d65-{random.getrandbits(48):012x}",
        )
        for minute, entry in enumerate(operations)
    ]
    return finding(
        FindingId=f"{random.getrandbits(128):032x}",
        ServicePrincipalName=f"id-{('deploy', 'func', 'aks', 'policy')[place % 4]}-{identity[:6]}",
        ServicePrincipalId=identity,
        ResourceGroup=group,
        RiskScore=base - random.randrange(20),
        RiskReasons=[
            {"Points": 9, "Reason": f"The identity also {entry.words} in {group}"}
            for entry in operations[:5]
        ],
        SuggestedSeverity=severity,
        DistinctSignIns=random.randrange(1, 5),
        DistinctOperations=total,
        NewOperations=total,
        Resources=["Azure Key Vault", "Azure Storage"],
        Evidence=evidence,
        Investigate=[
            {
                "Title": f"{number}. What else the identity did",
                "Query": "AzureActivity | take 1\n" * 16,
            }
            for number in (1, 2, 3, 4)
        ],
    )
