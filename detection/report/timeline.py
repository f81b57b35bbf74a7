"""An identity's sign-ins and operations along time, a lane for each class, as an SVG picture.

The picture has no script and no style of its own: the page colours it, light or dark, and what a
point stands for is its title, which browsers show on hover.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pygal

from detection.printable import one_line
from detection.ranking.classify import ACTION_CLASSES, OPERATION_CLASSES

# It hooks imports for plugins that are not used here, and other importers trip over the hook.
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != "pygal"]

Row = Mapping[str, Any]

SIGN_INS = "sign-ins"
# The lanes from top to bottom, in the order of the table of classes; each has a colour.
LANES = (SIGN_INS, *dict.fromkeys(kind.name for kind in (*OPERATION_CLASSES, *ACTION_CLASSES)))
WIDTH, LANE_HEIGHT, AXIS_HEIGHT = 900, 34, 46
STEPS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 180, 360, 720, 1440)  # minutes between two times
SUPERFLUOUS = ("defs", "desc", "title")  # of what the library adds
LABELS = 8  # times written below, at most


class Point(NamedTuple):
    """Something that happened, in which lane, and what hovering over it says."""

    moment: datetime
    lane: str
    says: str


def draw(findings: Iterable[Row]) -> str:
    """Return the timeline of one identity's findings, as far as their evidence goes."""
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
            {"value": (_seconds(point.moment), -place), "label": point.says}
            for point in points
            if point.lane == lane
        ]
        chart.add(lane, values)
    chart.add_xml_filter(lambda root: _plain(root, lanes))
    return str(chart.render(is_unicode=True))


def _points(findings: Iterable[Row]) -> Iterator[Point]:
    """Yield what the evidence of the findings shows."""
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
            says = (
                f"{_clock(item['OperationTime'])} {one_line(item['Operation'])}\n"
                f"{one_line(item['ResourceId'])}\n"
                f"from {one_line(item['CallerIpAddress']) or 'an unknown address'}"
            )
            if item["MinutesBetween"] is not None:
                says += f", {item['MinutesBetween']} minutes after the sign-in"
            yield Point(_moment(item["OperationTime"]), lane, says)


def _times(first: datetime, last: datetime) -> list[datetime]:
    """Return whole times from before the first moment to after the last, evenly apart."""
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
    """Take out what the library adds for its script, and make the labels titles."""
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
            group.set("class", f"lane lane-{LANES.index(lanes[int(number)])}")
    return root


def _moment(text: str) -> datetime:
    """Read a moment to the microsecond, which a picture does not show anyway."""
    return datetime.fromisoformat(text[:26].rstrip("Z")).replace(tzinfo=UTC)


def _seconds(moment: datetime) -> float:
    return moment.timestamp()


def _clock(text: str) -> str:
    return text[11:19]
