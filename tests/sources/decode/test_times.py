"""Times of exported files are read in each form that is one moment, and refused in others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.rule.ticks import SECOND, format_time, parse_time
from detection.sources.decode.times import FileTimeParser
from tests.support.exports import us_time


def moment(value: object) -> int:
    """Return the ticks of one value."""
    return FileTimeParser().parse_column([value])[0]


@pytest.mark.parametrize(
    ("value", "iso"),
    [
        ("3/14/2026, 8:33:04.115 AM", "2026-03-14T08:33:04.115"),
        ("3/14/2026, 8:33:04.115\u202fPM", "2026-03-14T20:33:04.115"),
        ("03/14/2026 12:00:00 AM", "2026-03-14T00:00:00"),
        ("3/4/2026, 12:59 PM", "2026-03-04T12:59:00"),
        ("2026/3/14 8:33:04.1234567", "2026-03-14T08:33:04.1234567"),
        ("2026/03/14, 23:33:04", "2026-03-14T23:33:04"),
        ("/Date(1773477184115)/", "2026-03-14T08:33:04.115"),
        ("\\/Date(1773477184115+0100)\\/", "2026-03-14T08:33:04.115"),
        ({"value": "/Date(1773477184115)/", "DateTime": "x"}, "2026-03-14T08:33:04.115"),
        (1773477184115, "2026-03-14T08:33:04.115"),
        (1773477184115.0, "2026-03-14T08:33:04.115"),
        ("1773477184115", "2026-03-14T08:33:04.115"),
        ("2026-03-14T08:33:04.1150000Z", "2026-03-14T08:33:04.115"),
        ("2026-03-14 08:33:04.123456+00", "2026-03-14T08:33:04.123456"),
        ("2026-03-14T08:33:04-0130", "2026-03-14T10:03:04"),
        ("2026-03-14 08:33", "2026-03-14T08:33:00"),
        ("2026-03-14T08:33:04+02:00", "2026-03-14T06:33:04"),
    ],
    ids=repr,
)
def test_a_form_that_is_one_moment_is_read(value: object, iso: str) -> None:
    """Each form gives the moment that its writer meant."""
    assert moment(value) == parse_time(iso)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("14/03/2026, 08:33:04", "does not tell day and month apart"),
        ("3/14/2026, 08:33:04", "does not tell day and month apart"),
        ("14/3/2026, 8:33:04 am", "does not tell day and month apart"),
        ("14.03.2026 08:33:04", "does not tell day and month apart"),
        ("14-03-2026 08:33:04", "does not tell day and month apart"),
        ("14/3/2026, 8:33:04 AM", "is not a valid time"),
        ("3/14/2026, 13:33:04 PM", "has no hour from 1 to 12"),
        ("2026/13/14 08:33:04", "is not a valid time"),
        (1773477184, "is a number, but not of milliseconds"),
        (1773477184115000, "is a number, but not of milliseconds"),
        (True, "is not an ISO 8601 time"),
        (None, "is not an ISO 8601 time"),
        ({"a": 1}, "is not an ISO 8601 time"),
        ([], "is not an ISO 8601 time"),
        ("", "is not an ISO 8601 time"),
        ("noon", "is not an ISO 8601 time"),
        ("2026-03-14T08:33:04.123456789Z", "at most 7 fraction digits"),
    ],
    ids=repr,
)
def test_other_forms_are_refused(value: object, reason: str) -> None:
    """The error has the position of the value, and the reason."""
    with pytest.raises(ValueError, match=reason) as caught:
        FileTimeParser().parse_column(["2026-03-14", value])
    assert caught.value.args[0] == 1


@given(st.integers(parse_time("1990-01-01") // SECOND, parse_time("2099-12-31") // SECOND))
def test_the_portal_s_times_are_read_back(second: int) -> None:
    """Every second of a day has its time of twelve hours."""
    time = second * SECOND
    assert moment(us_time(format_time(time))) == time


def test_a_column_may_have_several_forms() -> None:
    """Each value is read by itself."""
    values = ["2026-03-14", "3/14/2026, 12:00:00 AM", 1773446400000]
    assert FileTimeParser().parse_column(values) == [parse_time("2026-03-14")] * 3
