"""Writes the report's page from rows of findings and run records.

It shows the rows as they are delivered. Text from the logs stays text: the template engine escapes
it, and the page's Content-Security-Policy forbids scripts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from detection.kql import runbook
from detection.printable import counted, printable
from detection.ranking.attack import techniques
from detection.ranking.classify import CLASSES, OperationClass
from detection.ranking.score import severity_of
from detection.report.facts import Run, run_facts
from detection.report.findings import ALL, SEVERITIES, Row, Selection, described, gravest, united
from detection.report.timeline import Timeline, lane_class, timeline
from detection.rule.kql_text import ascii_lower
from detection.rule.ticks import parse_time
from detection.schema import RULE_NAME

FINDINGS_SHOWN = 500  # those with the highest scores; nobody reads a longer page
TIMELINES_SHOWN = 50  # identities
# The gravest findings are shown whole. Of the others, the page has this many reasons and events and
# no queries: with 200 findings it stays below 600 kB.
WHOLE_FINDINGS = 15
REASONS_OF_OTHERS, EVENTS_OF_OTHERS = 3, 2
LINKS_OF_IDENTITY = 12  # findings that the row of an identity links to
TECHNIQUE_URL = "https://attack.mitre.org/techniques/"


@dataclass(frozen=True, slots=True)
class Identity:
    """An identity's findings, highest score first, each with the events that the page has.

    `timeline` is None if there are no events, or if the page draws those of others only.
    """

    name: str
    identity: str
    findings: list[Row]
    timeline: Timeline | None
    is_drawn: bool

    @property
    def risk(self) -> int:
        """The score of the identity as a whole."""
        return max(int(row["IdentityRiskScore"]) for row in self.findings)

    @property
    def severity(self) -> str:
        """The severity of that score."""
        return severity_of(self.risk)

    @property
    def filters(self) -> list[str]:
        """The CSS classes of its findings, for the filters."""
        return sorted({name for row in self.findings for name in filters_of(row).split()})


def render(
    rows: Iterable[Row],
    runs: Sequence[Run] = (),
    unshown: int = 0,
    selection: Selection = ALL,
) -> str:
    """Return the page for some rows of findings and the records of the runs that reported them.

    A finding is shown once, with its revisions united. `unshown` is the number of findings that
    the caller left out. The page says what it leaves out and what may have hidden a finding.
    """
    findings, unselected = selection.of(united(rows))
    shown = [*findings[:WHOLE_FINDINGS], *map(_in_brief, findings[WHOLE_FINDINGS:FINDINGS_SHOWN])]
    by_severity: dict[str, list[Row]] = {name: [] for name in SEVERITIES}
    for row in shown:
        by_severity[row["SuggestedSeverity"]].append(row)
    facts, warnings = run_facts(runs)
    return _TEMPLATES.get_template("report.html").render(
        rule=RULE_NAME,
        findings=shown,
        left_out=len(findings) - len(shown),
        unselected=unselected,
        unshown=unshown,
        facts=facts,
        warnings=warnings,
        severities=SEVERITIES.values(),
        by_severity=by_severity,
        identities=_identities(shown),
        classes=CLASSES.values(),
        legend=_classes_in(shown),
        gravest_classes=_gravest_classes(shown),
        numbers={row["FindingId"]: at for at, row in enumerate(shown, 1)},
        whole=WHOLE_FINDINGS,
        reasons_of_others=REASONS_OF_OTHERS,
        timelines=TIMELINES_SHOWN,
        links=LINKS_OF_IDENTITY,
        queries=runbook.texts(),
        technique_url=TECHNIQUE_URL,
        techniques=techniques(),
        start=min((row["WindowStart"] for row in (*shown, *runs)), default=None),
        end=max((row["WindowEnd"] for row in (*shown, *runs)), default=None),
    )


def filters_of(row: Row) -> str:
    """Return the CSS classes by which the filters choose a finding."""
    severity = str(row["SuggestedSeverity"]).lower()
    item = next(iter(row["Evidence"]), None)
    return f"{severity} {lane_class(item['OperationClass'])}-first" if item else severity


def _in_brief(row: Row) -> Row:
    """Return a finding with the events only that the page has of findings that are not whole."""
    return {**row, "Evidence": row["Evidence"][:EVENTS_OF_OTHERS]}


def _identities(findings: Iterable[Row]) -> list[Identity]:
    """Group the findings by identity, the highest score of an identity first."""
    grouped: dict[str, list[Row]] = {}
    for row in findings:
        grouped.setdefault(ascii_lower(row["ServicePrincipalId"]), []).append(row)
    ranked = sorted(grouped.values(), key=lambda mine: -max(r["IdentityRiskScore"] for r in mine))
    return [
        Identity(
            name=mine[0]["ServicePrincipalName"],
            identity=mine[0]["ServicePrincipalId"],
            findings=mine,
            timeline=timeline(mine) if number < TIMELINES_SHOWN else None,
            is_drawn=number < TIMELINES_SHOWN,
        )
        for number, mine in enumerate(ranked)
    ]


def _classes_in(findings: Iterable[Row]) -> list[OperationClass]:
    """Return the classes of the operations in the findings' evidence."""
    shown = {item["OperationClass"] for row in findings for item in row["Evidence"]}
    return [each for name, each in CLASSES.items() if name in shown]


def _gravest_classes(findings: Iterable[Row]) -> list[str]:
    """Return the classes of the findings' gravest operations, by which findings are filtered."""
    first = {row["Evidence"][0]["OperationClass"] for row in findings if row["Evidence"]}
    return [name for name in CLASSES if name in first]


def _visible(value: object) -> object:
    """Return text without characters that are invisible or reverse the reading direction."""
    return printable(value) if type(value) is str else value


def _moment(text: str) -> str:
    """Shorten a moment to the second, for people."""
    return text[:19].replace("T", " ")


def _name(resource_id: str) -> str:
    """Return the type and the name of a resource, without the scope that they are in."""
    return "/".join(resource_id.split("/")[-2:])


def _values(row: Row) -> str:
    """Return the lines in front of a query of the runbook; "" if KQL cannot hold the identity."""
    times = parse_time(row["FirstEvent"]), parse_time(row["LastEvent"])
    try:
        return runbook.values(row["ServicePrincipalId"], *times, row["CallerIpAddresses"])
    except ValueError:
        return ""


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (lane_class, filters_of, counted, described, gravest)
    environment.filters |= {each.__name__: each for each in filters}
    environment.filters |= {"moment": _moment, "resource_name": _name, "values": _values}
    return environment


_TEMPLATES = _environment()
