"""Times at 100 ns: parsing, formatting and comparing."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from detection.rule.ticks import (
    TimeParser,
    describe_duration,
    format_time,
    from_datetime,
    parse_duration,
    parse_time,
)
from tests.support import naive_rule as naive
from tests.support.strategies import NASTY, START, written

FIRST = -621_355_968_000_000_000  # 0001-01-01T00:00:00.0000000Z
LAST = 2_534_023_007_999_999_999  # 9999-12-31T23:59:59.9999999Z
TICKS = st.one_of(st.integers(FIRST, LAST), st.integers(START, START + 30_000_000))
TIMES = st.builds(written, st.integers(START, START + 30_000_000), st.integers(0, 3))
REFUSED = r"is not an ISO 8601 time|is not a valid time"
NO_MOMENT = (
    "",
    " ",
    "yesterday",
    "2026-03-02T10:00:00.12345678Z",
    "2026-03-02T10:00:00.Z",
    "2026-03-02T10:00:60Z",
    "2026-02-29T10:00:00Z",
    "2026-13-01T10:00:00Z",
    "2026-03-02T10:00:00+25:00",
    "2026-03-02T10:00:00,5Z",
    "\u0662026-03-02T10:00:00Z",
    "2026-03-02T10:00:00.123456\u0667Z",
    "1772445600",
)


@given(TICKS)
def test_formatting_and_parsing_gives_the_same_tick(ticks: int) -> None:
    """Every tick of the years 1 to 9999 survives formatting and parsing."""
    assert parse_time(format_time(ticks)) == ticks


@given(TICKS, TICKS)
def test_formatted_times_sort_as_their_ticks(left: int, right: int) -> None:
    """Formatted times, compared as text, sort in the order of their ticks."""
    assert (format_time(left) < format_time(right)) == (left < right)


@given(st.integers(START, START + 30_000_000), st.integers(0, 3))
def test_every_format_of_a_time_is_parsed(ticks: int, style: int) -> None:
    """A time is parsed without trailing zeros, with any offset and with none."""
    assert parse_time(written(ticks, style)) == ticks == naive.ticks(written(ticks, style))


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2026-03-02", "2026-03-02T00:00:00.0000000Z"),
        ("2026-03-02T10:30", "2026-03-02T10:30:00.0000000Z"),
        ("2026-03-02 10:30:05", "2026-03-02T10:30:05.0000000Z"),
        (" 2026-03-02T10:30:05.1Z\n", "2026-03-02T10:30:05.1000000Z"),
        ("2026-03-02T10:30:05.0000001-05:30", "2026-03-02T16:00:05.0000001Z"),
    ],
)
def test_short_forms_of_a_time_are_parsed(text: str, same: str) -> None:
    """Seconds, the time of day, the zone and surrounding blanks are optional."""
    assert format_time(parse_time(text)) == same


def test_one_tick_is_a_hundred_nanoseconds() -> None:
    """Times that differ in the seventh fraction digit are one tick apart."""
    assert parse_time("2026-03-02T11:00:00.0000001Z") - parse_time("2026-03-02T11:00:00Z") == 1


@given(st.datetimes(timezones=st.just(UTC)), st.integers(-840, 840))
def test_a_datetime_is_the_ticks_of_its_text(moment: datetime, minutes: int) -> None:
    """A datetime is the same tick as its ISO text, in any zone."""
    assume(1 < moment.year < 9999)
    elsewhere = moment.astimezone(timezone(timedelta(minutes=minutes)))
    assert from_datetime(elsewhere) == from_datetime(moment) == parse_time(elsewhere.isoformat())


@given(st.lists(st.one_of(TIMES, TIMES, TIMES.map(" {}".format)), max_size=12))
def test_a_column_is_parsed_like_its_values(values: list[str]) -> None:
    """Parsing a whole column gives the result of parsing each value."""
    assert TimeParser().parse_column(values) == [parse_time(value) for value in values]


@given(st.lists(st.lists(TIMES, max_size=4), max_size=4))
def test_columns_do_not_influence_each_other(columns: list[list[str]]) -> None:
    """Seconds that were cached for one column do not change the next."""
    seconds = TimeParser()
    for values in columns:
        assert seconds.parse_column(values) == [parse_time(value) for value in values]


@given(st.lists(st.builds(written, st.integers(START, START + 30_000_000)), max_size=8))
def test_a_column_written_as_log_analytics_does_is_read_exactly(values: list[str]) -> None:
    """A column with seven fraction digits in every row gives each row's own tick."""
    assert TimeParser().parse_column(values) == [naive.ticks(value) for value in values]


@given(
    st.lists(TIMES, max_size=6),
    st.one_of(st.sampled_from(NO_MOMENT), st.none(), st.integers(), NASTY),
    st.lists(st.one_of(TIMES, st.none()), max_size=4),
)
def test_a_column_names_its_first_unreadable_time(
    before: list[str], bad: object, after: list[object]
) -> None:
    """The error holds the position of the first value that is not a time."""
    with pytest.raises(ValueError, match=REFUSED) as caught:
        TimeParser().parse_column([*before, bad, *after])
    position, reason = caught.value.args
    assert position == len(before)
    assert isinstance(reason, str)


@pytest.mark.parametrize("text", ["2026-13-02T10:00:00.1234567Z", "2026-03-02T10:00:60.1234567Z"])
def test_the_error_quotes_the_time_of_the_column(text: str) -> None:
    """The error quotes an impossible time with its own fraction, so that it is found in the log."""
    with pytest.raises(ValueError, match=REFUSED) as caught:
        TimeParser().parse_column([text])
    assert repr(text) in caught.value.args[1]


def test_the_error_speaks_of_digits_only_if_there_are_too_many() -> None:
    """The limit of seven fraction digits is named where a time has more, and nowhere else."""
    with pytest.raises(ValueError, match="with at most 7 fraction digits"):
        parse_time("2026-03-02T10:00:00.12345678Z")
    with pytest.raises(ValueError, match=r"'noon' is not an ISO 8601 time$"):
        parse_time("noon")


@pytest.mark.parametrize("text", NO_MOMENT)
def test_text_that_is_not_a_time_is_refused(text: str) -> None:
    """Text that is not a time, too fine or impossible, is an error."""
    with pytest.raises(ValueError, match=REFUSED):
        parse_time(text)


@pytest.mark.parametrize(
    "tail",
    ["1234567X", "12345678", "123456\u0667Z", "12345\u00b267Z", "12345 7Z", "-123456Z", "+123456Z"],
)
def test_a_cached_second_does_not_excuse_a_bad_fraction(tail: str) -> None:
    """A bad fraction is an error even if its second is already cached."""
    with pytest.raises(ValueError, match=REFUSED) as caught:
        TimeParser().parse_column(["2026-03-02T10:00:00.1234567Z", f"2026-03-02T10:00:00.{tail}"])
    assert caught.value.args[0] == 1


@pytest.mark.parametrize(
    "tails",
    [
        ("12345Z67", "1234567Z"),
        ("1234567Z12", "34567Z"),
        ("1234567Z1234567Z", ""),
    ],
)
def test_each_time_in_a_column_is_checked_alone(tails: tuple[str, ...]) -> None:
    """Each time of a column is checked alone: its neighbour cannot complete it."""
    with pytest.raises(ValueError, match=REFUSED) as caught:
        TimeParser().parse_column([f"2026-03-02T10:00:00.{tail}" for tail in tails])
    assert caught.value.args[0] == 0


@given(
    st.lists(
        st.builds(format_time, st.integers(START, START + 30_000_000)), min_size=2, max_size=4
    ),
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 120)), max_size=3),
    st.sampled_from(("", "0", ":", "Z", "\n", "9")),
)
def test_a_moved_character_is_noticed(
    values: list[str], moves: list[tuple[int, int]], added: str
) -> None:
    """A column with misplaced characters, even moved to another row, is parsed row by row."""
    for source, target in moves:
        row, other = source % len(values), target % len(values)
        at = source % len(values[row])
        moved, values[row] = values[row][at], values[row][:at] + values[row][at + 1 :]
        at = target % (len(values[other]) + 1)
        values[other] = values[other][:at] + moved + added + values[other][at:]
    try:
        expected = [parse_time(value) for value in values]
    except ValueError:
        with pytest.raises(ValueError, match=REFUSED):
            TimeParser().parse_column(values)
    else:
        assert TimeParser().parse_column(values) == expected


@pytest.mark.parametrize(
    ("duration", "words"),
    [
        ("PT1H", "1 hour"),
        ("PT90M", "90 minutes"),
        ("P1D", "1 day"),
        ("PT36H", "36 hours"),
        ("PT61S", "61 seconds"),
        ("P7D", "7 days"),
    ],
)
def test_a_duration_is_written_for_a_sentence(duration: str, words: str) -> None:
    """It has the largest unit of which it is a whole number."""
    assert describe_duration(parse_duration(duration)) == words
