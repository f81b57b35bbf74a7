"""The deployed alert on findings, run in DuckDB: one alert a finding, and one more if it rises."""

import itertools
import json
import random
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

import pytest

from detection.ranking.score import SEVERITY_BANDS
from detection.report.findings import SEVERITIES as REPORTED
from detection.rule.ledger import REVISION_PERIOD
from detection.rule.ticks import DAY
from detection.schema import FINDINGS_TABLE, LOCAL
from tests.infra.alert_tables import (
    DEPLOYMENT,
    HOUR,
    MINUTE,
    NOW,
    SEVERITIES,
    ask,
    deployed,
    put,
)

Row = Mapping[str, Any]

FINDING = {
    "FindingId": "f",
    "Revision": 1,
    "Deployment": DEPLOYMENT,
    "ServicePrincipalName": "app",
    "ServicePrincipalId": "id",
    "ResourceGroup": "rg",
    "SuggestedSeverity": "High",
    "RiskScore": 57,
    "IdentityRiskScore": 61,
    "RiskReasons": '[{"Points": 44, "Reason": "because"}, {"Points": 13, "Reason": "and"}]',
}
ALERT = {
    "FindingId": "f",
    "Identity": "app id",
    "ResourceGroupName": "rg",
    "Risk": "57",
    "IdentityRisk": "61",
    "Reason": "because",
}


def row(minutes: float, severity: str = "High", revision: int = 1, **columns: Any) -> Row:
    """Return a row that arrived some minutes before now, from a run five hours ago."""
    times = {"TimeGenerated": NOW - 5 * HOUR, "Ingested": NOW - minutes * MINUTE}
    about = {"SuggestedSeverity": severity, "Revision": revision}
    return FINDING | about | times | columns


def alerts(
    database: Any,
    *rows: Row,
    now: datetime = NOW,
    period: timedelta | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Add rows; return the dimensions that each rule reports, by the rules that report any."""
    for each in rows:
        put(database, FINDINGS_TABLE, each)
    found = {}
    for severity in SEVERITIES:
        reported = ask(database, deployed("findings_alert", severity), now, period)
        for each in reported:
            assert now - 30 * MINUTE < each.pop("TimeGenerated") <= now
        if reported:
            found[severity] = reported
    return found


def test_the_severities_are_those_of_findings() -> None:
    """The rules, the report and the score have the same severities in the same order."""
    assert list(SEVERITIES) == [name for _, name in SEVERITY_BANDS] == list(REPORTED)


def test_late_arrivals_raise_an_alert(database: Any) -> None:
    """A row that has just arrived raises an alert, even if its run is hours ago."""
    assert alerts(database, row(5), row(45, FindingId="old")) == {"High": [ALERT]}


@pytest.mark.parametrize("severity", SEVERITIES)
def test_a_finding_is_reported_by_the_rule_of_its_severity(database: Any, severity: str) -> None:
    """Of all rules, exactly the one with the finding's severity reports it."""
    assert alerts(database, row(5, severity)) == {severity: [ALERT]}


@pytest.mark.parametrize(
    ("earlier", "later", "reported"),
    [
        ("Medium", "High", ["High"]),
        ("Low", "High", ["High"]),
        ("High", "Medium", []),
        ("Medium", "Medium", []),
        ("Medium", "Low", []),
    ],
)
def test_a_revision_raises_an_alert_only_if_the_severity_rises(
    database: Any, earlier: str, later: str, reported: list[str]
) -> None:
    """Hours after the first row, a revision is reported if it is graver than every row before."""
    assert list(alerts(database, row(200, earlier), row(3, later, 2))) == reported


def test_each_rise_is_reported(database: Any) -> None:
    """A finding that rises twice within half an hour is reported by all three rules."""
    rows = row(25, "Low"), row(15, "Medium", 2), row(5, "High", 3)
    assert list(alerts(database, *rows)) == ["High", "Medium", "Low"]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_of_revisions_that_arrive_together_the_gravest_counts(
    database: Any, order: tuple[int, ...]
) -> None:
    """One rule reports revisions of one batch: the earliest of the gravest, in any order."""
    rows = row(5, "Low"), row(5, "Medium", 2, RiskScore=23), row(5, "Medium", 3, RiskScore=24)
    found = alerts(database, *(rows[place] for place in order))
    assert found == {"Medium": [ALERT | {"Risk": "23"}]}


def test_a_row_that_is_delivered_again_raises_no_alert(database: Any) -> None:
    """A row that arrives a second time is not reported again."""
    assert alerts(database, row(200), row(3)) == {}


def test_the_dimensions_stay_the_same(database: Any) -> None:
    """A revision within the half hour changes no dimension of the alert."""
    assert alerts(database, row(20)) == {"High": [ALERT]}
    changed: Row = {
        "ServicePrincipalName": "renamed",
        "ResourceGroup": "RG",
        "RiskScore": 80,
        "IdentityRiskScore": 90,
        "RiskReasons": '[{"Points": 80, "Reason": "worse"}]',
    }
    assert alerts(database, row(2, revision=2, **changed)) == {"High": [ALERT]}


def test_another_deployment_s_findings_raise_no_alert(database: Any) -> None:
    """Rows of another deployment, or of a command line, are not reported and hide none."""
    assert alerts(database, row(200, Deployment="theirs"), row(200, Deployment=LOCAL)) == {}
    assert alerts(database, row(3)) == {"High": [ALERT]}


@pytest.mark.parametrize("unnamed", [None, ""])
def test_rows_of_an_earlier_version_count(database: Any, unnamed: str | None) -> None:
    """A row without a deployment is reported, and the same finding is not reported again."""
    assert alerts(database, row(25, Deployment=unnamed)) == {"High": [ALERT]}
    assert alerts(database, row(1, revision=2), now=NOW + 10 * MINUTE) == {}


def test_operations_on_a_subscription_raise_an_alert(database: Any) -> None:
    """A finding without a resource group has a value in every dimension."""
    found = alerts(database, row(3, ResourceGroup=""))
    assert found == {"High": [ALERT | {"ResourceGroupName": "none"}]}


@pytest.mark.parametrize("reasons", ["[]", '[{"Points": 1, "Reason": ""}]', None])
def test_findings_without_a_reason_raise_an_alert(database: Any, reasons: str | None) -> None:
    """A finding without a reason has a value in every dimension."""
    found = alerts(database, row(3, RiskReasons=reasons))
    assert found == {"High": [ALERT | {"Reason": "none"}]}


def test_a_long_reason_is_cut(database: Any) -> None:
    """The reason of an alert has at most 200 characters."""
    reasons = json.dumps([{"Points": 1, "Reason": "x" * 300}])
    found = alerts(database, row(3, RiskReasons=reasons))
    assert found == {"High": [ALERT | {"Reason": "x" * 200}]}


def test_a_revision_after_two_days_raises_an_alert_again(database: Any) -> None:
    """A rule sees two days: longer than a finding takes revisions, unless they are late."""
    period = timedelta(days=2)
    assert period > timedelta(days=REVISION_PERIOD / DAY)
    first = row(49 * 60, TimeGenerated=NOW - 49 * HOUR)
    again = row(2, revision=2)
    assert alerts(database, first, again) == {}
    assert alerts(database, period=period) == {"High": [ALERT]}


def simulated_rows(chance: random.Random) -> list[tuple[datetime, Row]]:
    """Return the rows of a day, each with the time from which it can be seen, in this order.

    A finding has up to five revisions, hours apart or in one batch, and any row may be delivered
    again later. All rows of one batch can be seen at once.
    """
    rows: list[tuple[datetime, Row]] = []
    for number in range(40):
        at = NOW + chance.uniform(0, 5 * 60) * MINUTE
        seen = at
        for revision in range(1, chance.randint(2, 6)):
            step = chance.choice([0, 1, 1, 2]) * HOUR
            at += step
            if step or revision == 1:
                seen = at + chance.uniform(0, 5) * MINUTE
            about = {
                "FindingId": f"f{number}",
                "RiskScore": chance.randrange(100),
                "TimeGenerated": at,
                "Ingested": at,
            }
            made = row(0, chance.choice(SEVERITIES), revision, **about)
            rows.append((seen, made))
            if chance.random() < 0.3:
                later = at + chance.uniform(10, 200) * MINUTE
                rows.append((later, {**made, "Ingested": later}))
    return sorted(rows, key=itemgetter(0))


def expected_alerts(rows: list[tuple[datetime, Row]]) -> Counter[tuple[str, str, str]]:
    """Return finding, severity and score of each row that is graver than all that came before."""
    expected: Counter[tuple[str, str, str]] = Counter()
    highest: dict[str, int] = {}
    by_arrival = sorted(
        (each["Ingested"], SEVERITIES.index(each["SuggestedSeverity"]), each["Revision"], place)
        for place, (_, each) in enumerate(rows)
    )
    for _, rank, _, place in by_arrival:
        each = rows[place][1]
        if rank < highest.get(each["FindingId"], len(SEVERITIES)):
            highest[each["FindingId"]] = rank
            expected[each["FindingId"], SEVERITIES[rank], str(each["RiskScore"])] += 1
    return expected


@pytest.mark.parametrize("seed", [1, 2])
def test_each_rise_of_a_simulated_day_fires_once(database: Any, seed: int) -> None:
    """Evaluated every 15 minutes, the rules fire once for each finding and each rise of it.

    A stateful rule fires when its dimensions appear, and again only after they were away. Rows can
    be seen up to five minutes after their arrival, and an evaluation is up to two minutes late.
    """
    chance = random.Random(seed)  # noqa: S311 (a simulation)
    waiting = simulated_rows(chance)
    expected = expected_alerts(waiting)
    assert len(expected) > 40  # some findings rise
    fired: Counter[tuple[str, str, str]] = Counter()
    before: set[tuple[str, str, str]] = set()
    for evaluation in itertools.count():
        at = NOW + (15 * evaluation + chance.uniform(0, 2)) * MINUTE
        while waiting and waiting[0][0] <= at:
            put(database, FINDINGS_TABLE, waiting.pop(0)[1])
        found = alerts(database, now=at, period=timedelta(days=2))
        now = {
            (each["FindingId"], severity, each["Risk"])
            for severity, reported in found.items()
            for each in reported
        }
        assert len(now) == sum(map(len, found.values()))
        fired.update(now - before)
        before = now
        if not waiting and not now:
            break
    assert fired == expected
