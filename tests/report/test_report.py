"""The report is one page that shows log content as text, ranks by risk and loads nothing."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.errors import DeliveryError, UsageError
from detection.outbox import Outbox
from detection.pipeline.invocation import Invocation
from detection.pipeline.job import run
from detection.ranking.classify import CLASSES
from detection.report import FINDINGS_SHOWN, TIMELINES_SHOWN, render
from detection.report.timeline import LABELS, LANES, draw, lane_class
from detection.rule.ticks import parse_time
from detection.sinks.html_report import ReportFile
from detection.sources.recorded.folder import RecordedSource
from detection.state import ReadOnlyStore
from scripts.take_picture import take_picture
from tests.support import DEMO, NOW, Collected
from tests.support.chromium import BUNDLED, look

MARKUP = "<script>alert('x')</script><img src=x onerror=alert(1)>\"'&amp;"
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
        "IdentityRiskScore": 44,
        "SuggestedSeverity": "High",
        "ObservedTactics": ["Impact"],
        "ObservedTechniques": ["T1485"],
        "DistinctSignIns": 1,
        "DistinctOperations": 1,
        "NewOperations": 1,
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


def demo_findings() -> list[Any]:
    """Return the findings of the demo."""
    sink = Collected()
    run(RecordedSource(DEMO), sink, ReadOnlyStore(), Invocation("recorded", parse_time(NOW)))
    return list(sink.findings)


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
            link = name in {"href", "src", "srcset", "action"} and not str(value).startswith("#")
            if link or name.startswith("on"):
                self.leading.append(f"{tag} {name}={value}")


HOSTILE = finding(
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


def test_direction_marks_are_made_visible() -> None:
    """Invisible characters and direction marks are shown, so a name cannot imitate another."""
    page = render([finding(ServicePrincipalName="gpj.\u202eppa\x00")])
    assert "\u202e" not in page
    assert "gpj.\ufffdppa\ufffd" in page


def test_findings_are_in_the_order_of_risk() -> None:
    """The gravest finding comes first, and an identity is placed by its gravest finding."""
    rows = [
        finding(FindingId=f"f-{score}", RiskScore=score, ServicePrincipalId=f"id-{score % 2}")
        for score in (10, 90, 51, 70)
    ]
    page = render(rows)
    assert re.findall(r">(\d+)</a>", page) == ["90", "70", "51", "10"]
    assert re.findall(r'class="id">id-(\d)', page) == ["0", "1"]


def test_the_latest_revision_is_shown() -> None:
    """Of a finding's revisions, in any order, the report shows the latest."""
    rows = [finding(Revision=2, RiskScore=60), finding(Revision=1, RiskScore=20)]
    page = render([*rows, *rows])
    assert re.findall(r">(\d+)</a>", page) == ["60"]
    assert "revision 2" in page


def test_omitted_findings_are_counted() -> None:
    """Past the limit the least grave findings are omitted, and the page says how many."""
    rows = [finding(FindingId=str(n), ServicePrincipalId=str(n)) for n in range(FINDINGS_SHOWN + 3)]
    page = render(rows)
    assert (
        f"The {FINDINGS_SHOWN} gravest findings are shown. The findings table has 3 more." in page
    )
    assert page.count("<svg") == TIMELINES_SHOWN
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
            st.sampled_from((*LANES, "no class")),
        )
    )
)
def test_every_event_has_a_point_inside_the_picture(evidence: list[dict[str, Any]]) -> None:
    """Each event is a point within the picture, and the time labels are few and in order."""
    picture = draw([finding(Evidence=evidence)])
    width = float(re.findall(r'viewBox="0 0 (\d+)', picture)[0])
    places = [float(x) for x in re.findall(r'<circle cx="([\d.]+)"', picture)]
    distinct = {(one["OperationTime"], one["OperationClass"]) for one in evidence}
    assert len(places) >= len({(time, lane in LANES and lane) for time, lane in distinct})
    assert all(0 <= place <= width for place in places)
    ticks = [float(x) for x in re.findall(r'<path d="M([\d.]+) 0\.0+ v', picture)][1:]
    assert ticks == sorted(ticks)
    assert len(ticks) <= LABELS + 1


def test_every_lane_has_its_colour() -> None:
    """The page colours the sign-ins and each class by name, light and dark, and no other lane."""
    rules = re.findall(r"\n( *)\.(lane-[\w-]+) \{ fill: (.+); \}", render([]))
    light = {lane: colour for indent, lane, colour in rules if not indent}
    dark = {lane: colour for indent, lane, colour in rules if indent}
    lanes = {lane_class(lane) for lane in LANES}
    assert len(lanes) == len(LANES)
    assert light == {lane_class("sign-ins"): "var(--text)"} | {
        lane_class(name): each.colour for name, each in CLASSES.items()
    }
    assert dark == {lane_class(name): each.dark_colour for name, each in CLASSES.items()}
    assert lanes == light.keys()
    for colours in (light, dark):  # two lanes of one colour could not be told apart
        assert len(set(colours.values())) == len(colours)


@pytest.mark.parametrize("lane", LANES)
def test_points_have_the_colour_of_their_class(lane: str) -> None:
    """The points of a lane bear the name by which the page colours it, in any set of lanes."""
    picture = draw([finding(Evidence=[evidence_item(OperationClass=lane)])])
    drawn = re.findall(r'<g class="lane (lane-[\w-]+)">', picture)
    assert drawn == list(dict.fromkeys((lane_class("sign-ins"), lane_class(lane))))


def test_classes_are_explained() -> None:
    """The page describes each class of its findings once, and no other."""
    page = " ".join(render([finding(), finding(FindingId="f-2")]).split())
    described = [name for name, each in CLASSES.items() if each.description in page]
    assert described == ["destruction"]
    assert page.count(CLASSES["destruction"].description) == 1


VIEWS = [
    {"name": f"{place} {scheme}", "width": width, "height": height, "dark": scheme == "dark"}
    for place, width, height in (("desktop", 1280, 900), ("phone", 390, 844))
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
        assert any(MARKUP in (point["title"] or "") for point in view["points"])


def test_points_describe_their_event_on_hover(seen: list[dict[str, Any]]) -> None:
    """A point is under the pointer at its middle, and its title gives time and event."""
    for view in seen:
        assert len(view["points"]) >= 9
        for point in view["points"]:
            assert point["hit"] == "circle"
            assert re.match(r"\d\d:\d\d:\d\d ", point["title"])
        assert len({point["fill"] for point in view["points"]}) >= 4


def test_the_page_fits_every_screen(seen: list[dict[str, Any]]) -> None:
    """Neither a desktop nor a phone screen scrolls sideways."""
    assert [view["overflow"] for view in seen] == [0] * len(VIEWS)


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
    picture = draw([finding(Evidence=[evidence_item(**dict.fromkeys(fields, hostile))])])
    assert "forged line" in picture
    assert "\nforged" not in picture
    assert not [c for c in picture if c not in "\n\t" and not c.isprintable()]


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


def test_a_report_of_findings_that_cannot_be_shown_says_so(tmp_path: Path) -> None:
    """A report whose findings cannot be shown does not say that nothing was found."""
    path = tmp_path / "report.html"
    bad = [finding(FindingId=name, Evidence=None) for name in ("a", "b")]
    ReportFile(path).deliver(Outbox(bad))
    page = path.read_text("utf-8")
    assert "This report lacks 2 findings." in page
    assert "No finding was reported" not in page
