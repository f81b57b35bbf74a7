"""Findings as one HTML file for people, which asks nothing of any network.

It is made from the rows as they are delivered and from nothing else. All that comes out of the
logs is text: the template engine escapes it, and the page's own policy forbids scripts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from detection.printable import printable
from detection.report.timeline import draw
from detection.rule.kql_text import ascii_lower
from detection.schema import RULE_NAME

Row = Mapping[str, Any]

FINDINGS_SHOWN = 500  # the gravest; a longer page is read by nobody
TIMELINES_SHOWN = 50  # identities
SEVERITIES = ("Critical", "High", "Medium", "Low")


@dataclass(frozen=True, slots=True)
class Identity:
    """An identity's findings, gravest first, and its timeline."""

    name: str
    identity: str
    findings: list[Row]
    timeline: Markup


def render(rows: Iterable[Row], unshown: int = 0, warnings: Sequence[str] = ()) -> str:
    """Return the page for some findings; of several revisions the latest is shown.

    `unshown` is the number of findings that the page is to say it lacks, and `warnings` are
    sentences on what may have hidden a finding.
    """
    latest: dict[object, Row] = {}
    for row in rows:
        known = latest.get(row["FindingId"])
        if known is None or known["Revision"] <= row["Revision"]:
            latest[row["FindingId"]] = row
    findings = sorted(latest.values(), key=_gravest_first)
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
        numbers={row["FindingId"]: at for at, row in enumerate(findings, 1)},
        timelines=TIMELINES_SHOWN,
        start=min((row["WindowStart"] for row in findings), default=None),
        end=max((row["WindowEnd"] for row in findings), default=None),
    )


def _identities(findings: Iterable[Row]) -> list[Identity]:
    """Put the findings under their identities, in order of the gravest finding of each."""
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


def _gravest_first(row: Row) -> tuple[int, str, str]:
    return -row["RiskScore"], row["FirstEvent"], row["FindingId"]


def _visible(value: object) -> object:
    """Return text without characters that show nothing or turn the reading direction."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return printable(value)


def _moment(text: str) -> str:
    """Shorten a moment to what a person reads."""
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
    return environment


_TEMPLATES = _environment()
