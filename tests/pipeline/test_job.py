"""One invocation: the order of its steps, and what becomes of failures."""

import weakref
from collections.abc import Iterator
from typing import Any

import orjson

from detection.errors import SourceError
from detection.outbox import Outbox
from detection.rule.filters import RuleSettings
from detection.rule.log_rows import IDENTITY, Logs
from detection.rule.ticks import HOUR, MINUTE, format_time, parse_time
from detection.sources import Correlated
from detection.state.codec import decode
from detection.window import Window
from tests.support.histories import Event, Simulation, Stream

BEGIN = parse_time("2026-03-14T10:00:00Z")


def stream(*hours: int) -> Stream:
    """Return a sign-in and an operation a minute later in each of these hours after BEGIN."""
    times = [BEGIN + hour * HOUR + MINUTE for hour in hours]
    return Stream(
        [Event(time, time, "aaaa", "Azure Key Vault", f"s{time}") for time in times],
        [Event(t + MINUTE, t + MINUTE, "aaaa", "rg-one", f"o{t}") for t in times],
    )


def delivered(simulation: Simulation) -> list[dict[str, Any]]:
    """Return all that was delivered, in order, repeats included."""
    return [orjson.loads(row) for row in simulation.delivered]


def watermark(simulation: Simulation) -> str:
    """Return the watermark that is written down."""
    moment = decode(simulation.body, "the state").watermark
    assert moment is not None
    return format_time(moment)


def test_nothing_is_delivered_twice_without_need() -> None:
    """In an undisturbed history each row is delivered once, and the outbox is left empty."""
    simulation = Simulation(stream(0, 1, 2))
    for hour in range(1, 5):
        simulation.run(BEGIN + hour * HOUR)
    assert len(simulation.delivered) == len(set(simulation.delivered)) == 7
    assert len(decode(simulation.body, "the state").outbox) == 0


def test_what_was_not_taken_waits_and_comes_first() -> None:
    """While delivery fails detection goes on; then all is delivered, the oldest first."""
    simulation = Simulation(stream(0, 1, 2), refusing=True)
    for hour in range(1, 4):
        outcome = simulation.run(BEGIN + hour * HOUR)
        assert "out of order" in outcome.failures[0]
        assert watermark(simulation) == format_time(BEGIN + hour * HOUR)
    simulation.refusing = False
    simulation.run(BEGIN + 4 * HOUR)
    ends = [row["WindowEnd"] for row in delivered(simulation) if "FindingId" in row]
    assert ends == [format_time(BEGIN + hour * HOUR) for hour in range(1, 4)]


def test_what_waits_is_delivered_though_nothing_is_due() -> None:
    """A run with no window to examine still delivers the outbox."""
    simulation = Simulation(stream(0), refusing=True)
    simulation.run(BEGIN + HOUR)
    simulation.refusing = False
    outcome = simulation.run(BEGIN + HOUR)
    assert (outcome.due, outcome.failures) == (0, [])
    assert len(simulation.delivered) == 2


def test_a_full_outbox_stops_detection() -> None:
    """When too many rows wait nothing is examined and the watermark stays, until they are gone."""
    simulation = Simulation(stream(0, 1, 2), refusing=True, outbox_limit=3)
    outcomes = [simulation.run(BEGIN + hour * HOUR) for hour in range(1, 5)]
    assert any("wait in the outbox" in failure for failure in outcomes[-1].failures)
    assert watermark(simulation) == format_time(BEGIN + 2 * HOUR)
    simulation.refusing = False
    simulation.run(BEGIN + 4 * HOUR)
    assert [row["NewOperations"] for row in simulation.findings()] == [1, 1, 1]


def test_a_window_that_cannot_be_read_is_on_record_and_tried_again() -> None:
    """A failed read leaves a Failure record and the watermark where it was; nothing is lost."""
    simulation = Simulation(stream(0, 1))
    simulation.run(BEGIN + HOUR)
    simulation.unreadable = True
    outcome = simulation.run(BEGIN + 2 * HOUR)
    assert outcome.failures == ["the workspace does not answer"]
    assert delivered(simulation)[-1]["Status"] == "Failure"
    assert delivered(simulation)[-1]["Error"] == "the workspace does not answer"
    assert watermark(simulation) == format_time(BEGIN + HOUR)
    simulation.unreadable = False
    simulation.run(BEGIN + 3 * HOUR)
    assert [row["NewOperations"] for row in simulation.findings()] == [1, 1]


def test_a_read_that_failed_and_is_tried_again_at_once_is_another_run() -> None:
    """Tried again at the same moment a window has another RunId: no two rows of one id differ."""
    simulation = Simulation(stream(0))
    simulation.unreadable = True
    simulation.run(BEGIN + HOUR)
    simulation.unreadable = False
    simulation.run(BEGIN + HOUR)
    failed, succeeded = (row for row in delivered(simulation) if "FindingId" not in row)
    assert (failed["Status"], succeeded["Status"]) == ("Failure", "Success")
    assert failed["RunId"] != succeeded["RunId"]
    assert failed["WindowEnd"] == succeeded["WindowEnd"]


class Parted(Simulation):
    """A workspace whose window comes in a part for each identity, each let go before the next."""

    def parts(
        self, window: Window, now: int, settings: RuleSettings
    ) -> Iterator[Logs | Correlated]:
        """Yield one identity after another, the last first."""
        (logs,) = super().parts(window, now, settings)
        assert isinstance(logs, Logs)
        for identity in sorted({row[IDENTITY] for row in logs.sign_ins}, reverse=True):
            part = [
                Watched(
                    [row for row in logs.sign_ins if row[IDENTITY] == identity],
                    [row for row in logs.operations if row[IDENTITY] == identity],
                    logs.allowlist,
                    logs.states,
                )
            ]
            seen = weakref.ref(part[0])
            yield part.pop()
            assert seen() is None, "a part is still there while the next is read"


class Watched(Logs):
    """Rows of which one can tell whether they are still there."""


def parted_stream() -> Stream:
    """Return three identities with two operations each, and the first hour of them."""
    times = [BEGIN + number * MINUTE for number in range(6)]
    return Stream(
        [Event(t, t, f"i{t % 3}", "Azure Key Vault", f"s{t}") for t in times],
        [Event(t + 1, t + 1, f"i{t % 3}", "rg", f"o{t}") for t in times],
    )


def test_parts_come_to_what_the_whole_comes_to() -> None:
    """Findings are in one order, the state is the same, and no part outlives its turn."""
    whole, parted = Simulation(parted_stream()), Parted(parted_stream())
    for hour in (1, 2):
        whole.run(BEGIN + hour * HOUR)
        parted.run(BEGIN + hour * HOUR)
    assert parted.findings() == whole.findings()
    assert parted.body == whole.body


def test_findings_of_parts_wait_like_any() -> None:
    """What was found in parts and not taken is delivered next time, whole and in order."""
    whole = Simulation(parted_stream())
    whole.run(BEGIN + HOUR)
    parted = Parted(parted_stream(), refusing=True)
    parted.run(BEGIN + HOUR)
    parted.refusing = False
    parted.run(BEGIN + HOUR)
    assert parted.findings() == whole.findings()


class Broken(Parted):
    """A workspace that fails after its first part."""

    def parts(
        self, window: Window, now: int, settings: RuleSettings
    ) -> Iterator[Logs | Correlated]:
        """Yield one part and fail."""
        yield next(super().parts(window, now, settings))
        raise SourceError("the second part cannot be read")


def test_a_part_is_forgotten_if_the_next_cannot_be_read() -> None:
    """A window that breaks off reports nothing and counts nothing as reported; then it is whole."""
    broken = Broken(parted_stream())
    outcome = broken.run(BEGIN + HOUR)
    assert outcome.failures == ["the second part cannot be read"]
    assert broken.findings() == []
    assert decode(broken.body, "the state").ledger.groups == {}


def test_an_outbox_counts_both_kinds_of_rows() -> None:
    """Findings and run records wait alike."""
    assert len(Outbox([{}, {}], [{}])) == 3
