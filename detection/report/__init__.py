"""The report: findings as one HTML page that loads nothing from any network.

It shows the rows as they are delivered. Text from the logs stays text: the template engine escapes
it, and the page's Content-Security-Policy forbids scripts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from detection.printable import printable
from detection.ranking import one_finding
from detection.ranking.classify import CLASSES, OperationClass
from detection.ranking.score import SEVERITY_BANDS
from detection.report.timeline import draw, lane_class
from detection.rule.kql_text import ascii_lower
from detection.schema import RULE_NAME

Row = Mapping[str, Any]

FINDINGS_SHOWN = 500  # those with the highest scores; nobody reads a longer page
TIMELINES_SHOWN = 50  # identities
SEVERITIES = tuple(name for _, name in SEVERITY_BANDS)


@dataclass(frozen=True, slots=True)
class Identity:
    """An identity's findings, highest score first, and its timeline."""

    name: str
    identity: str
    findings: list[Row]
    timeline: Markup


def render(rows: Iterable[Row], unshown: int = 0, warnings: Sequence[str] = ()) -> str:
    """Return the page for some rows of findings; it shows the revisions of a finding as one.

    `unshown` is the number of findings that the caller left out, and `warnings` are sentences on
    anything that may have hidden a finding. The page states both.
    """
    findings = sorted(one_finding.findings(rows), key=_gravest_first)
    counts = dict.fromkeys(SEVERITIES, 0)
    for row in findings:
        counts[row["SuggestedSeverity"]] += 1
    return _TEMPLATES.get_template("report.html").render(
        rule=RULE_NAME,
        findings=findings[:FINDINGS_SHOWN],
        left_out=len(findings) - FINDINGS_SHOWN,
        unshown=unshown,
        warnings=warnings,
        counts=counts,
        identities=_identities(findings[:FINDINGS_SHOWN]),
        classes=CLASSES.values(),
        legend=_classes_in(findings[:FINDINGS_SHOWN]),
        numbers={row["FindingId"]: at for at, row in enumerate(findings, 1)},
        timelines=TIMELINES_SHOWN,
        start=min((row["WindowStart"] for row in findings), default=None),
        end=max((row["WindowEnd"] for row in findings), default=None),
    )


def _identities(findings: Iterable[Row]) -> list[Identity]:
    """Group the findings by identity, in the order of each identity's first finding."""
    grouped: dict[str, list[Row]] = {}
    for row in findings:
        grouped.setdefault(ascii_lower(row["ServicePrincipalId"]), []).append(row)
    return [
        Identity(
            name=mine[0]["ServicePrincipalName"],
            identity=mine[0]["ServicePrincipalId"],
            findings=mine,
            timeline=Markup(draw(mine)) if number < TIMELINES_SHOWN else Markup(),  # noqa: S704
        )
        for number, mine in enumerate(grouped.values())
    ]


def _classes_in(findings: Iterable[Row]) -> list[OperationClass]:
    """Return the classes of the operations in the findings' evidence."""
    shown = {item["OperationClass"] for row in findings for item in row["Evidence"]}
    return [each for name, each in CLASSES.items() if name in shown]


def _gravest_first(row: Row) -> tuple[int, str, str]:
    return -row["RiskScore"], row["FirstEvent"], row["FindingId"]


def _visible(value: object) -> object:
    """Return text without characters that are invisible or reverse the reading direction."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return printable(value)


def _moment(text: str) -> str:
    """Shorten a moment to the second, for people."""
    return text[:19].replace("T", " ")


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["moment"] = _moment
    environment.filters["lane_class"] = lane_class
    return environment


_TEMPLATES = _environment()
