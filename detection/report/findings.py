"""The findings as people are shown them: one row each, the highest risk first.

The report and the terminal show a finding as the deployed function ManagedIdentityImpact() does.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

from detection.ranking.classify import classify, classify_action
from detection.ranking.evidence import PAIR
from detection.rule.correlate import first_spellings

Row = Mapping[str, Any]

SETS: Final = (
    "Resources",
    "Operations",
    "AffectedResources",
    "SubscriptionIds",
    "CallerIpAddresses",
)

# Of the revision with the highest score, the latest of equals. Scores do not fall, but a table may
# hold revisions of an earlier release, whose scores did, or of a state that was lost.
OF_THE_GRAVEST: Final = (
    *("RiskScore", "RiskReasons", "SuggestedSeverity", "Evidence"),
    *("ObservedTactics", "ObservedTechniques"),
)


class Severity(NamedTuple):
    """A severity, with its colours on a light page, on a dark page and in a terminal.

    The lists of `is_folded` severities are closed at first.
    """

    name: str
    colour: str
    dark_colour: str
    style: str
    is_folded: bool


# From the gravest. Texts and points of these colours contrast with both pages.
SEVERITIES: Final = {
    each.name: each
    for each in (
        Severity("High", "#a4133c", "#ff8fa6", "bold red", is_folded=False),
        Severity("Medium", "#a3400a", "#ffab73", "yellow", is_folded=False),
        Severity("Low", "#1d5a8a", "#8fc4f5", "blue", is_folded=True),
        Severity("Informational", "#4a5763", "#b4bec8", "dim", is_folded=True),
    )
}


class Selection(NamedTuple):
    """Which findings are shown: those of at least `min_risk` points, and of them the first `top`.

    It changes what people are shown, never what is delivered.
    """

    min_risk: int = 0
    top: int | None = None

    def of(self, findings: Iterable[Row]) -> tuple[list[Row], int]:
        """Return the findings to show, by risk, and the number of the others."""
        ranked = sorted(findings, key=_gravest_first)
        shown = [row for row in ranked if _risk(row) >= self.min_risk][: self.top]
        return shown, len(ranked) - len(shown)


ALL: Final = Selection()


def united(rows: Iterable[Row]) -> list[Row]:
    """Return one row for each finding: its latest revision, united with the earlier ones.

    Sets are united without regard to case, the earliest value first. `FirstEvent` is the earliest
    one, and `NewOperations` the sum. The score is that of the gravest revision. A row that was
    delivered twice counts once.
    """
    revisions: dict[object, dict[tuple[object, object], Row]] = {}
    for row in rows:
        known = revisions.setdefault(row["FindingId"], {})
        known.setdefault((row["Revision"], row.get("RunId")), row)
    return [_unite(list(known.values())) for known in revisions.values()]


def gravest(row: Row) -> str:
    """Return the deed of a finding's gravest operation, in words; "" without evidence."""
    return next(map(described, row["Evidence"]), "")


def described(item: Row) -> str:
    """Return the deed of an operation in evidence, in words: "deleted a key vault"."""
    operation = str(item["Operation"])
    entry = classify(operation) if item["Kind"] == PAIR else classify_action(operation)
    return entry.words if entry else operation


def _unite(revisions: Sequence[Row]) -> Row:
    """Return one row for the revisions of a finding."""
    if len(revisions) == 1:
        return revisions[0]
    ordered = sorted(revisions, key=lambda row: int(row["Revision"]))
    highest = max(ordered, key=lambda row: (row["RiskScore"], row["Revision"]))
    return {
        **ordered[-1],
        **{name: highest[name] for name in OF_THE_GRAVEST},
        "IdentityRiskScore": max(row["IdentityRiskScore"] for row in ordered),
        "FirstEvent": min(row["FirstEvent"] for row in ordered),
        "NewOperations": sum(row["NewOperations"] for row in ordered),
        **{name: _union(row[name] for row in ordered) for name in SETS},
    }


def _union(sets: Iterable[Iterable[str]]) -> list[str]:
    """Return the values of all sets, each once in its first spelling; blank ones are none."""
    values = list(filter(None, chain.from_iterable(sets)))
    return first_spellings(values, len(values))


def _gravest_first(row: Row) -> tuple[int, str, str]:
    return -_risk(row), str(row.get("FirstEvent")), str(row.get("FindingId"))


def _risk(row: Row) -> int:
    """Return a finding's score; one without a score comes first, so that nobody overlooks it."""
    score = row.get("RiskScore")
    return score if isinstance(score, int) else 100
