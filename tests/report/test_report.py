"""The report is one page that shows log content as text, ranks by risk and loads nothing."""

import html
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.errors import DeliveryError, UsageError
from detection.kql.runbook import texts
from detection.outbox import Outbox
from detection.pipeline.invocation import Invocation
from detection.pipeline.job import run
from detection.ranking.classify import CLASSES
from detection.report.findings import Selection
from detection.report.page import FINDINGS_SHOWN, TIMELINES_SHOWN, render
from detection.report.timeline import LABELS, LANES, lane_class, timeline
from detection.rule.ticks import parse_time
from detection.sinks.html_report import ReportFile
from detection.sources.recorded.folder import RecordedSource
from detection.state import ReadOnlyStore
from scripts.take_picture import take_picture
from tests.support import DEMO, NOW, Collected
from tests.support.chromium import BUNDLED, look
from tests.support.findings import evidence_item, finding, many_findings, run_record

MARKUP = "<script>alert('x')</script><img src=x onerror=alert(1)>\"'&amp;"


def demo_findings() -> list[Any]:
    """Return the findings of the demo."""
    sink = Collected()
    run(RecordedSource(DEMO), sink, ReadOnlyStore(), Invocation("recorded", parse_time(NOW)))
    return list(sink.findings)


# Links to a place on the page, to a technique, or to the portal, which a person may follow.
LINK = re.compile(
    r"#[\w-]+|https://attack\.mitre\.org/techniques/T\d{4}(/\d{3})?/"
    r"|https://portal\.azure\.com/#[^\s<>\"]+"
)


class Tags(HTMLParser):
    """Counts elements, and keeps every attribute that could leave the page or run a script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: dict[str, int] = {}
        self.leading: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Count an element and keep its risky attributes."""
        self.found[tag] = self.found.get(tag, 0) + 1
        for name, value in attrs:
            link = name in {"href", "src", "srcset", "action"} and not LINK.fullmatch(str(value))
            if link or name.startswith("on"):
                self.leading.append(f"{tag} {name}={value}")


HOSTILE = finding(
    FindingTitle=MARKUP,
    Description=MARKUP,
    Links=[
        {"Title": MARKUP, "Url": "https://portal.azure.com/#resource/x"},
        {"Title": MARKUP, "Url": "https://portal.azure.com/#resource/y"},
        {"Title": MARKUP, "Url": "https://portal.azure.com/#resource/z"},
        {"Title": MARKUP, "Url": f"javascript:{MARKUP}"},
    ],
    ServicePrincipalName=MARKUP,
    ServicePrincipalId=MARKUP,
    ResourceGroup=MARKUP,
    Resources=[MARKUP],
    RiskReasons=[{"Points": 8, "Reason": MARKUP}],
    Evidence=[
        evidence_item(
            Resource=MARKUP,
            Operation=MARKUP,
            ResourceId=MARKUP,
            CallerIpAddress=MARKUP,
            CorrelationId=MARKUP,
        )
    ],
    Investigate=[{"Title": MARKUP, "Query": MARKUP}],
)


def test_log_content_with_markup_is_text() -> None:
    """A name full of markup adds no element to the page, wherever the page shows it."""
    plain, hostile = Tags(render([finding()])), Tags(render([HOSTILE]))
    assert hostile.found == plain.found
    assert hostile.leading == plain.leading == []
    assert "script" not in hostile.found


@given(st.text())
def test_any_text_stays_text(text: str) -> None:
    """With any text from a log, the page keeps its elements and can be encoded."""
    row = finding(
        ServicePrincipalName=text, Evidence=[evidence_item(Operation=text, ResourceId=text)]
    )
    page = render([row])
    assert Tags(page).found == Tags(render([finding()])).found
    page.encode("utf-8", "replace")


def test_whole_queries_run_elsewhere() -> None:
    """The page has each whole query once, and the values of each finding that belong before it."""
    row = finding(ServicePrincipalId='a"b', CallerIpAddresses=["203.0.113.7"])
    page = html.unescape(render([row, row | {"FindingId": "f-2"}]))
    assert page.count('let Suspect = "a\\"b";\nlet Start = datetime(2026-03-14T08:41:07') == 2
    assert page.count('let Addresses = dynamic(["203.0.113.7"]);') == 2
    for title, text in texts().items():
        assert page.count(f"<summary>{title}</summary>\n<pre>{text}</pre>") == 1
    assert "take 1" in page


def test_an_identity_that_no_query_can_hold_is_shown() -> None:
    """A finding whose identity cannot be quoted is on the page, without values for a query."""
    page = render([finding(ServicePrincipalId="a\n| take 1"), finding(FindingId="f-2")])
    assert "no whole query is possible" in page
    assert page.count("let Suspect") == 1


def test_direction_marks_are_made_visible() -> None:
    """Invisible characters and direction marks are shown, so a name cannot imitate another."""
    page = render([finding(ServicePrincipalName="gpj.\u202eppa\x00")])
    assert "\u202e" not in page
    assert "gpj.\ufffdppa\ufffd" in page


ROW_OF_FINDING = r'<td><a class="risk" href="#finding-[^>]*>(\d+)</a>'


def test_findings_are_in_the_order_of_risk() -> None:
    """The gravest finding comes first, and an identity is placed by its gravest finding."""
    rows = [
        finding(FindingId=f"f-{score}", RiskScore=score, ServicePrincipalId=f"id-{score % 2}")
        for score in (10, 90, 51, 70)
    ]
    page = render(rows)
    assert re.findall(ROW_OF_FINDING, page) == ["90", "70", "51", "10"]
    assert re.findall(r'class="id">id-(\d)', page) == ["0", "1"]


def test_the_latest_revision_is_shown() -> None:
    """Of a finding's revisions, in any order, the report shows the latest, with all news."""
    rows = [finding(Revision=2, RiskScore=60), finding(Revision=1, RiskScore=20)]
    page = render([*rows, *rows])
    assert re.findall(ROW_OF_FINDING, page) == ["60"]
    assert "2 new (revision 2)" in page


def test_omitted_findings_are_counted() -> None:
    """Past the limit the least grave findings are omitted, and the page says how many."""
    rows = [finding(FindingId=str(n), ServicePrincipalId=str(n)) for n in range(FINDINGS_SHOWN + 3)]
    page = render(rows)
    assert (
        f"The {FINDINGS_SHOWN} gravest findings are shown. The findings table has 3 more." in page
    )
    assert page.count('class="timeline"') == TIMELINES_SHOWN
    assert page.count("draws timelines of the first") == FINDINGS_SHOWN - TIMELINES_SHOWN


def test_a_report_without_findings_says_so() -> None:
    """A report without findings says that there are none."""
    assert "No finding was reported." in render([])


def test_the_same_findings_make_the_same_page() -> None:
    """The page contains nothing random and nothing that depends on the day."""
    assert render(demo_findings()) == render(demo_findings())


@given(
    st.lists(
        st.builds(
            lambda minutes, lane: evidence_item(
                OperationTime=f"2026-03-{14 + minutes // 1440:02}T"
                f"{minutes // 60 % 24:02}:{minutes % 60:02}:00Z",
                OperationClass=lane,
            ),
            st.integers(0, 4000),
            st.sampled_from((*CLASSES, "no class")),
        )
    )
)
def test_every_event_has_a_point_inside_the_picture(evidence: list[dict[str, Any]]) -> None:
    """Each event is a point within the picture, and the time labels are few and in order."""
    row = finding(Evidence=evidence)
    drawn = timeline([row])
    if not evidence:
        assert drawn is None
        return
    assert drawn is not None
    operations = sum(len(points) for lane, points in drawn.lanes.items() if lane != "sign-ins")
    lanes = dict.fromkeys(CLASSES) | {"no class": LANES[-1]}
    distinct = {
        (one["OperationTime"], lanes[one["OperationClass"]] or one["OperationClass"])
        for one in evidence
    }
    assert operations == len(distinct)
    assert all(0 <= point.left <= 100 for points in drawn.lanes.values() for point in points)
    places = [label.left for label in drawn.labels]
    assert places == sorted(set(places))
    assert (places[0], places[-1]) == (0, 100)
    assert len(places) <= LABELS


def test_the_timeline_says_how_many_operations_it_shows() -> None:
    """The page gives the number of operations drawn, of all operations, and of other actions."""
    evidence = [evidence_item(), evidence_item(Kind="Corroboration", SignInTime=None)]
    page = render([finding(Evidence=evidence, DistinctOperations=40)])
    assert "The timeline shows 1 of 40 operations and 1 other action," in page


def test_every_lane_has_its_colour() -> None:
    """The page colours each class by name, light and dark, and no other lane."""
    rules = re.findall(r"\n( *)\.(lane-[\w-]+) \{ --lane: (.+); \}", render([]))
    light = {lane: colour for indent, lane, colour in rules if not indent}
    dark = {lane: colour for indent, lane, colour in rules if indent}
    assert len({lane_class(lane) for lane in LANES}) == len(LANES)
    assert light == {lane_class(name): each.colour for name, each in CLASSES.items()}
    assert dark == {lane_class(name): each.dark_colour for name, each in CLASSES.items()}
    for colours in (light, dark):  # two lanes of one colour could not be told apart
        assert len(set(colours.values())) == len(colours)


@pytest.mark.parametrize("lane", LANES)
def test_points_have_the_colour_of_their_class(lane: str) -> None:
    """The points of a lane bear the name by which the page colours it, in any set of lanes."""
    page = render([finding(Evidence=[evidence_item(OperationClass=lane)])])
    drawn = re.findall(r'<div class="lane (lane-[\w-]+)">', page)
    assert drawn == list(dict.fromkeys((lane_class("sign-ins"), lane_class(lane))))


def test_classes_are_explained() -> None:
    """The page describes each class of its findings once, and no other."""
    page = " ".join(render([finding(), finding(FindingId="f-2")]).split())
    described = [name for name, each in CLASSES.items() if each.description in page]
    assert described == ["destruction"]
    assert page.count(CLASSES["destruction"].description) == 1


VIEWS = [
    {"name": f"{place} {scheme}", "width": width, "height": height, "dark": scheme == "dark"}
    for place, width, height in (("desktop", 1440, 900), ("phone", 390, 844))
    for scheme in ("light", "dark")
]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return the browser's view of a report with a hostile finding among the demo's."""
    page = tmp_path_factory.mktemp("report") / "report.html"
    page.write_text(render([*demo_findings(), HOSTILE]), "utf-8")
    return look(page, [view | {"shot": None} for view in VIEWS])


NO_FONTS = """\
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig><dir prefix="relative">browser/none</dir><cachedir>browser/none</cachedir></fontconfig>
"""


@pytest.mark.skipif(not BUNDLED, reason="a browser of the machine has the fonts of the machine")
@pytest.mark.usefixtures("seen")  # which skips if there is no browser
def test_a_browser_without_letters_takes_no_picture(tmp_path: Path) -> None:
    """Without a font the look at a page fails with a message, and no picture is kept.

    A page without letters looks like a page without text, and `make docs` would publish it.
    """
    fonts, picture = tmp_path / "fonts.conf", tmp_path / "report.png"
    fonts.write_text(NO_FONTS, "utf-8")
    with pytest.raises(SystemExit, match=r"No picture .* no letter in system-ui"):
        take_picture(picture, fonts)
    assert not picture.exists()
    take_picture(picture)
    assert picture.stat().st_size > 30_000


def test_the_page_requests_nothing_and_runs_nothing(seen: list[dict[str, Any]]) -> None:
    """In a browser the page makes no request, runs no script, shows no dialog and no error."""
    for view in seen:
        assert (view["requests"], view["said"]) == ([], [])
        assert (view["scripts"], view["images"]) == (0, 0)


def test_markup_can_be_read_in_the_browser(seen: list[dict[str, Any]]) -> None:
    """The browser shows markup in log content as text, character by character."""
    for view in seen:
        assert MARKUP in view["text"]
        assert any(MARKUP in point["title"] for point in view["points"])


def test_points_describe_their_event_on_hover(seen: list[dict[str, Any]]) -> None:
    """A point is under the pointer at its middle, and its title gives time and event."""
    for view in seen:
        assert len(view["points"]) >= 9
        for point in view["points"]:
            assert point["hit"] == "i"
            assert re.match(r"\d\d:\d\d:\d\d ", point["title"])
        assert len({point["fill"] for point in view["points"]}) >= 4


def test_the_page_fits_every_screen(seen: list[dict[str, Any]]) -> None:
    """Neither a desktop nor a phone screen scrolls sideways."""
    assert [view["overflow"] for view in seen] == [0] * len(VIEWS)


def test_everybody_can_read_the_page(seen: list[dict[str, Any]]) -> None:
    """axe-core finds nothing against contrast, structure or use by keyboard."""
    assert [view["violations"] for view in seen] == [[]] * len(VIEWS)


def test_closed_details_are_printed(seen: list[dict[str, Any]]) -> None:
    """On paper, evidence and queries are there although nobody has opened them."""
    assert [view["unprinted"] for view in seen] == [0] * len(VIEWS)


@pytest.fixture(scope="module")
def busy_day() -> str:
    """Return the page of two hundred findings."""
    return render(many_findings(200), [run_record()])


def test_two_hundred_findings_make_a_light_page(busy_day: str) -> None:
    """A page of two hundred findings is below 600 kB, and names each of them."""
    assert len(busy_day.encode()) < 600_000
    assert all(row["FindingId"] in busy_day for row in many_findings(200))


@pytest.fixture(scope="module")
def seen_busy_day(busy_day: str, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return the browser's view of two hundred findings: desktop and light, phone and dark."""
    page = tmp_path_factory.mktemp("busy") / "report.html"
    page.write_text(busy_day, "utf-8")
    return look(page, [view | {"shot": None, "is_long": True} for view in VIEWS[::3]])


def test_a_filter_leaves_the_findings_it_names(seen_busy_day: list[dict[str, Any]]) -> None:
    """Each filter shows the findings of its severity or class, with their identities."""
    expected: dict[str, int] = {}
    for row in many_findings(200):
        for each in (row["SuggestedSeverity"].lower(), lane_class(_first_class(row))):
            expected[f"only-{each}"] = expected.get(f"only-{each}", 0) + 1
    for view in seen_busy_day:
        left = view["chosen"]
        assert {name: len(each["findings"]) for name, each in left.items()} == expected
        assert [each["empty"] for each in left.values()] == [0] * len(left)
        assert all(each["rows"] == each["identities"] for each in left.values())


def _first_class(row: dict[str, Any]) -> str:
    return str(row["Evidence"][0]["OperationClass"])


def test_two_hundred_findings_can_be_surveyed(seen_busy_day: list[dict[str, Any]]) -> None:
    """The lists take at most ten screens; nothing overflows, and axe-core finds nothing."""
    for view in seen_busy_day:
        assert view["screens"] <= (10 if view["name"].startswith("desktop") else 20)
        assert (view["overflow"], view["violations"], view["unprinted"]) == (0, [], 0)


def test_light_and_dark_differ(seen: list[dict[str, Any]]) -> None:
    """The page follows the reader's colour scheme, with text that contrasts with its background."""
    for view, wanted in zip(seen, VIEWS, strict=True):
        ground, text = _brightness(view["background"]), _brightness(view["colour"])
        dim, bright = (ground, text) if wanted["dark"] else (text, ground)
        assert dim < 60
        assert bright > 200


def _brightness(colour: str) -> float:
    red, green, blue = map(int, re.findall(r"\d+", colour)[:3])
    return (red + green + blue) / 3


def test_the_file_holds_every_delivered_finding(tmp_path: Path) -> None:
    """Each delivery adds to the report; a delivery without findings writes only the first page."""
    path = tmp_path / "report.html"
    sink = ReportFile(path)
    sink.deliver(Outbox())
    assert "No finding" in path.read_text("utf-8")
    sink.deliver(Outbox([finding(FindingId="f-1")]))
    sink.deliver(Outbox([finding(FindingId="f-2")]))
    page = path.read_bytes()
    sink.deliver(Outbox())
    sink.finish()
    assert b"Finding f-1" in page
    assert b"Finding f-2" in page
    assert path.read_bytes() == page
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """A folder at the report's path is refused; a parent that vanishes fails the delivery."""
    with pytest.raises(UsageError, match="is not a file"):
        ReportFile(tmp_path)
    folder = tmp_path / "gone"
    folder.mkdir()
    sink = ReportFile(folder / "report.html")
    folder.rmdir()
    with pytest.raises(DeliveryError, match="could not be written"):
        sink.deliver(Outbox())


def test_hostile_text_is_made_visible_in_point_titles() -> None:
    """The title of a point holds no control or invisible character."""
    hostile = "a\u202eb\u200bc\x1b[31m\x00\x9b\nforged line"
    fields = ("Resource", "Operation", "ResourceId", "CallerIpAddress")
    drawn = timeline([finding(Evidence=[evidence_item(**dict.fromkeys(fields, hostile))])])
    assert drawn is not None
    titles = "".join(point.title for points in drawn.lanes.values() for point in points)
    assert "forged line" in titles
    assert titles.isprintable()


def test_a_finding_without_evidence_has_a_blank_cell() -> None:
    """A finding whose evidence could not be read is shown like any other."""
    page = render([finding(FindingId="f-1", Evidence=[]), finding(FindingId="f-2")])
    for number in (1, 2):
        assert f"Finding f-{number}" in page
    assert "<td></td>" in page


BROKEN: dict[str, dict[str, Any]] = {
    "evidence": {"Evidence": None},
    "severity": {"SuggestedSeverity": "Unheard"},
    "score": {"RiskScore": None},
    "time": {"FirstEvent": "noon"},
    "reasons": {"RiskReasons": [{}]},
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_finding_that_cannot_be_shown_hides_no_other(tmp_path: Path, name: str) -> None:
    """The page shows all other findings and counts the one it omits; later runs are unaffected."""
    path = tmp_path / "report.html"
    sink = ReportFile(path)
    broken = finding(FindingId="f-bad", **BROKEN[name])
    good = [finding(FindingId=f"f-{number}", ServicePrincipalId=str(number)) for number in range(9)]
    for _ in range(2):
        sink.deliver(Outbox([*good[:4], broken, *good[4:8]]))
    sink.deliver(Outbox([good[8]]))
    page = path.read_text("utf-8")
    assert "This report lacks 1 finding." in page
    assert "f-bad" not in page
    for number in range(9):
        assert f"Finding f-{number}" in page


def test_the_end_of_a_run_adds_the_facts_of_quiet_windows(tmp_path: Path) -> None:
    """Windows without findings and warnings are counted when the run has ended."""
    path = tmp_path / "report.html"
    sink = ReportFile(path)
    for _ in range(3):
        sink.deliver(Outbox(runs=[run_record()]))
    assert "1 window: 1 succeeded" in path.read_text("utf-8")
    sink.finish()
    assert "3 windows: 3 succeeded" in path.read_text("utf-8")


def test_a_missing_table_is_not_the_absence_of_findings() -> None:
    """A page without findings shows what was examined, which table was missing, and a warning."""
    reason = "AADManagedIdentitySignInLogs is missing: enable its diagnostic setting"
    missing = run_record(Status="Warning", SignInsState="Missing", Reason=reason)
    page = render([], [run_record(), missing])
    assert "2 windows: 1 succeeded, 1 with a warning" in page
    assert "AADManagedIdentitySignInLogs missing in 1 of 2 windows" in page
    assert f"<li>{reason}</li>" in page
    assert "but one may be missing: see the warnings" in page
    assert "but one may be missing" not in render([], [run_record()])


def test_failed_windows_and_exclusions_are_facts() -> None:
    """The page counts failed windows, with their error, and findings that were excluded."""
    failed = run_record(Status="Failure", Error="no access", FindingsExcluded=1)
    page = render([finding()], [failed])
    assert "1 window: 1 failed" in page
    assert "<li>no access</li>" in page
    assert "1 finding left out by exclusions" in page


def test_the_selection_limits_what_is_shown() -> None:
    """With a least risk and a number, the page shows the gravest and counts the others."""
    rows = [finding(FindingId=f"f-{score}", RiskScore=score) for score in (10, 44, 70, 90)]
    page = render(rows, selection=Selection(min_risk=20, top=2))
    assert re.findall(ROW_OF_FINDING, page) == ["90", "70"]
    assert "2 findings not shown, because of --min-risk or --top." in page
    nothing = render(rows, selection=Selection(min_risk=95))
    assert "4 findings not shown" in nothing
    assert "No finding was reported" not in nothing


def test_minor_severities_are_closed_unless_they_are_all() -> None:
    """The list of Low findings is closed beside graver ones, and open if there is no other."""
    low = finding(FindingId="f-low", SuggestedSeverity="Low")
    closed, alone = render([finding(), low]), render([low])
    assert re.findall(r'id="severity-(\w+)"( open)?', closed) == [("medium", " open"), ("low", "")]
    assert re.findall(r'id="severity-(\w+)"( open)?', alone) == [("low", " open")]


def test_an_identity_has_one_row(busy_day: str) -> None:
    """The list of identities has one row for each, in the order of their highest score."""
    rows = many_findings(200)
    identities = {row["ServicePrincipalId"] for row in rows}
    scores = re.findall(r'href="#identity-\d+"[^>]*>(\d+)</a>', busy_day)
    assert len(scores) == len(identities)
    assert scores == sorted(scores, key=int, reverse=True)


def test_every_link_leads_to_a_place_on_the_page(busy_day: str) -> None:
    """Each severity, identity and finding that is linked to is on the page, once."""
    targets = re.findall(r'href="#([^"]+)"', busy_day)
    places = re.findall(r' id="([^"]+)"', busy_day)
    assert set(targets) <= set(places)
    assert len(places) == len(set(places))


def test_a_report_of_findings_that_cannot_be_shown_says_so(tmp_path: Path) -> None:
    """A report whose findings cannot be shown does not say that nothing was found."""
    path = tmp_path / "report.html"
    bad = [finding(FindingId=name, Evidence=None) for name in ("a", "b")]
    ReportFile(path).deliver(Outbox(bad))
    page = path.read_text("utf-8")
    assert "This report lacks 2 findings." in page
    assert "No finding was reported" not in page
