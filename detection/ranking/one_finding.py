"""One row a finding, of all its revisions, as the function ManagedIdentityImpact() gives it.

The terminal and the report show these rows, so that they and a workspace tell the same.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from detection.rule.kql_text import ascii_lower

Row = Mapping[str, Any]

# These are united: each value once without regard to case, in its first spelling and place.
UNITED: Final = (
    *("Resources", "Operations", "AffectedResources", "SubscriptionIds"),
    "CallerIpAddresses",
)
# These are of the revision with the highest score, the latest of equals. Scores do not fall, but
# a table may hold revisions of a release whose scores did, or of a state that was lost.
GRAVEST: Final = (
    *("RiskScore", "RiskReasons", "SuggestedSeverity", "Evidence"),
    *("ObservedTactics", "ObservedTechniques"),
)


def findings(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return one row for each finding, in the order of their first rows.

    It has the columns of the latest revision, the earliest FirstEvent, the sum of NewOperations,
    the united sets, and the score of the gravest revision. A revision that is there several times
    counts once: the row that was made first.
    """
    revisions: dict[object, dict[int, Row]] = {}
    for row in rows:
        known = revisions.setdefault(row["FindingId"], {})
        same = known.get(row["Revision"])
        if same is None or row["TimeGenerated"] < same["TimeGenerated"]:
            known[row["Revision"]] = row
    return [_united([known[number] for number in sorted(known)]) for known in revisions.values()]


def _united(history: list[Row]) -> dict[str, Any]:
    """Return the row of one finding, given its revisions in order."""
    gravest = max(history, key=lambda row: (row["RiskScore"], row["Revision"]))
    return {
        **history[-1],
        **{name: gravest[name] for name in GRAVEST},
        "IdentityRiskScore": max(row["IdentityRiskScore"] for row in history),
        "FirstEvent": min(row["FirstEvent"] for row in history),
        "NewOperations": sum(row["NewOperations"] for row in history),
        **{name: _values(row[name] for row in history) for name in UNITED},
    }


def _values(sets: Iterable[list[str]]) -> list[str]:
    found: dict[str, str] = {}
    for values in sets:
        for value in values:
            found.setdefault(ascii_lower(value), value)
    return list(found.values())
