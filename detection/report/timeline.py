"""The timeline of an identity as an SVG picture: a lane of sign-ins, and one of each class.

The picture has no script and no style. The page colours it, light or dark. The title of a point
describes its event, and browsers show it on hover.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pygal

from detection.printable import one_line
from detection.ranking.classify import CLASSES

# pygal hooks imports for plugins that are not used here, and its hook breaks other importers.
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != "pygal"]

Row = Mapping[str, Any]

SIGN_INS = "sign-ins"
LANES = (SIGN_INS, *CLASSES)  # from top to bottom
WIDTH, LANE_HEIGHT, AXIS_HEIGHT = 900, 34, 46
STEPS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 180, 360, 720, 1440)  # minutes between two labels
SUPERFLUOUS = ("defs", "desc", "title")  # elements that pygal adds for its script
LABELS = 8  # at most, on the time axis


class Point(NamedTuple):
    """An event, with its lane and the title that browsers show on hover."""

    moment: datetime
    lane: str
    title: str


def draw(findings: Iterable[Row]) -> str:
    """Return the timeline of the events in the evidence of one identity's findings."""
    points = sorted(set(_points(findings)))
    lanes = [lane for lane in LANES if any(point.lane == lane for point in points)]
    if not points:
        return ""
    times = _times(points[0].moment, points[-1].moment)
    chart = pygal.XY(
        css=(),
        js=(),
        width=WIDTH,
        height=LANE_HEIGHT * len(lanes) + AXIS_HEIGHT,
        margin=4,
        spacing=6,
        stroke=False,
        show_legend=False,
        show_x_guides=True,
        dots_size=6,
        truncate_label=-1,
        range=(-len(lanes) + 0.5, 0.5),
        xrange=(_seconds(times[0]), _seconds(times[-1])),
        no_prefix=True,
        disable_xml_declaration=True,
    )
    shape = "%H:%M" if times[-1].date() == times[0].date() else "%d %b %H:%M"
    chart.x_labels = [{"label": f"{time:{shape}}", "value": _seconds(time)} for time in times]
    chart.y_labels = [{"label": lane, "value": -place} for place, lane in enumerate(lanes)]
    for place, lane in enumerate(lanes):
        values = [
            {"value": (_seconds(point.moment), -place), "label": point.title}
            for point in points
            if point.lane == lane
        ]
        chart.add(lane, values)
    chart.add_xml_filter(lambda root: _plain(root, lanes))
    return str(chart.render(is_unicode=True))


def _points(findings: Iterable[Row]) -> Iterator[Point]:
    """Yield the events in the evidence of the findings."""
    for finding in findings:
        first = finding["FirstEvent"]
        yield Point(_moment(first), SIGN_INS, f"{_clock(first)} first sign-in of the finding")
        for item in finding["Evidence"]:
            if item["SignInTime"]:
                yield Point(
                    _moment(item["SignInTime"]),
                    SIGN_INS,
                    f"{_clock(item['SignInTime'])} signed in to {one_line(item['Resource'])}",
                )
            lane = item["OperationClass"] if item["OperationClass"] in LANES else LANES[-1]
            title = (
                f"{_clock(item['OperationTime'])} {one_line(item['Operation'])}\n"
                f"{one_line(item['ResourceId'])}\n"
                f"from {one_line(item['CallerIpAddress']) or 'an unknown address'}"
            )
            if item["MinutesBetween"] is not None:
                title += f", {item['MinutesBetween']} minutes after the sign-in"
            yield Point(_moment(item["OperationTime"]), lane, title)


def _times(first: datetime, last: datetime) -> list[datetime]:
    """Return round times at equal distances, from before the first moment to after the last."""
    minutes = (last - first) / timedelta(minutes=1)
    step = next((step for step in STEPS if minutes / step <= LABELS - 2), STEPS[-1])
    midnight = first.replace(hour=0, minute=0, second=0, microsecond=0)
    apart = timedelta(minutes=step)
    time = midnight + (first - midnight) // apart * apart
    times = [time]
    while times[-1] <= last:
        times.append(times[-1] + apart)
    return times


def _plain(root: Any, lanes: list[str]) -> Any:
    """Remove the elements that pygal adds for its script, and turn the labels into titles."""
    root.set("role", "img")
    root.set("aria-label", "Timeline: " + ", ".join(lanes))
    root.attrib.pop("id", None)
    for parent in list(root.iter()):
        of_points = "dots" in parent.get("class", "")
        for child in list(parent):
            if child.tag == "desc" and of_points and child.get("class") == "label":
                child.tag = "title"
                child.attrib.clear()
            elif (
                not isinstance(child.tag, str)
                or child.tag in SUPERFLUOUS
                or "tooltip-overlay" in child.get("class", "")
            ):
                parent.remove(child)
    for group in root.iter("g"):
        number = next(
            (name[6:] for name in group.get("class", "").split() if name.startswith("serie-")), ""
        )
        if number:
            group.set("class", f"lane {lane_class(lanes[int(number)])}")
    return root


def lane_class(lane: str) -> str:
    """Return the CSS class of a lane, by which the page colours it."""
    return "lane-" + lane.replace(" ", "-")


def _moment(text: str) -> datetime:
    """Read a moment to the microsecond, which is more than a picture shows."""
    return datetime.fromisoformat(text[:26].rstrip("Z")).replace(tzinfo=UTC)


def _seconds(moment: datetime) -> float:
    return moment.timestamp()


def _clock(text: str) -> str:
    return text[11:19]
