"""The timeline of an identity: a lane of sign-ins, and one of each class of operations.

It has the events in the evidence of the findings, and says how many of all operations these are.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from detection.printable import counted, one_line
from detection.ranking.classify import CLASSES
from detection.ranking.evidence import PAIR

Row = Mapping[str, Any]

SIGN_INS = "sign-ins"
LANES = (SIGN_INS, *CLASSES)  # from top to bottom
STEPS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 180, 360, 720, 1440)  # minutes between two labels
LABELS = 5  # at most, on the time axis: so many fit on a phone


class Point(NamedTuple):
    """An event: its distance from the left in percent, and the title that browsers show."""

    left: float
    title: str


class Label(NamedTuple):
    """A label of the time axis, and its distance from the left in percent."""

    left: float
    text: str


class Timeline(NamedTuple):
    """The lanes that have events, from top to bottom, the time axis, and the number of events."""

    lanes: dict[str, list[Point]]
    labels: list[Label]
    shown: str


class _Event(NamedTuple):
    moment: datetime
    lane: str
    title: str


def timeline(findings: Iterable[Row]) -> Timeline | None:
    """Return the timeline of one identity's findings; None if they have no evidence."""
    mine = list(findings)
    events = sorted(set(_events(mine)))
    if not any(finding["Evidence"] for finding in mine):
        return None
    times = _times(events[0].moment, events[-1].moment)
    whole = (times[-1] - times[0]) / timedelta(minutes=1)

    def left(moment: datetime) -> float:
        return round((moment - times[0]) / timedelta(minutes=1) / whole * 100, 1)

    lanes = {
        lane: [Point(left(each.moment), each.title) for each in events if each.lane == lane]
        for lane in LANES
    }
    shape = "%H:%M" if times[-1].date() == times[0].date() else "%d %b\n%H:%M"
    return Timeline(
        lanes={lane: points for lane, points in lanes.items() if points},
        labels=[Label(left(time), f"{time:{shape}}") for time in times],
        shown=_shown(mine),
    )


def lane_class(lane: str) -> str:
    """Return the CSS class of a lane, by which the page colours it."""
    return "lane-" + lane.replace(" ", "-")


def _shown(findings: Iterable[Row]) -> str:
    """Return how many of the operations the evidence has: "10 of 40 operations"."""
    paired, actions, total = 0, 0, 0
    for finding in findings:
        pairs = sum(item["Kind"] == PAIR for item in finding["Evidence"])
        paired += pairs
        actions += len(finding["Evidence"]) - pairs
        total += max(finding["NewOperations"], finding["DistinctOperations"], pairs)
    text = f"{paired} of {counted(total, 'operation')}"
    return f"{text} and {counted(actions, 'other action')}" if actions else text


def _events(findings: Iterable[Row]) -> Iterator[_Event]:
    """Yield the events in the evidence of the findings."""
    for finding in findings:
        first = finding["FirstEvent"]
        yield _Event(_moment(first), SIGN_INS, f"{_clock(first)} first sign-in of the finding")
        for item in finding["Evidence"]:
            if item["SignInTime"]:
                yield _Event(
                    _moment(item["SignInTime"]),
                    SIGN_INS,
                    f"{_clock(item['SignInTime'])} signed in to {one_line(item['Resource'])}",
                )
            lane = item["OperationClass"] if item["OperationClass"] in LANES else LANES[-1]
            title = f"{_clock(item['OperationTime'])} {one_line(item['Operation'])}"
            yield _Event(_moment(item["OperationTime"]), lane, title)


def _times(first: datetime, last: datetime) -> list[datetime]:
    """Return round times at equal distances, from before the first moment to after the last."""
    minutes = (last - first) / timedelta(minutes=1)
    step = next((step for step in STEPS if minutes / step <= LABELS - 2), 0)
    step = step or STEPS[-1] * -(-int(minutes) // (STEPS[-1] * (LABELS - 2)))
    midnight = first.replace(hour=0, minute=0, second=0, microsecond=0)
    apart = timedelta(minutes=step)
    times = [midnight + (first - midnight) // apart * apart]
    while times[-1] <= last:
        times.append(times[-1] + apart)
    return times


def _moment(text: str) -> datetime:
    """Read a moment to the microsecond, which is more than a picture shows."""
    return datetime.fromisoformat(text[:26].rstrip("Z")).replace(tzinfo=UTC)


def _clock(text: str) -> str:
    return text[11:19]
