"""One invocation: the order of its steps, and what becomes of failures."""

from typing import Any

import orjson

from detection.rule.ledger import Outbox
from detection.rule.ticks import HOUR, MINUTE, parse, text_of
from detection.state.codec import decode
from tests.histories import Event, Simulation, Stream

BEGIN = parse("2026-03-14T10:00:00Z")


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
    return text_of(moment)


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
        assert watermark(simulation) == text_of(BEGIN + hour * HOUR)
    simulation.refusing = False
    simulation.run(BEGIN + 4 * HOUR)
    ends = [row["WindowEnd"] for row in delivered(simulation) if "FindingId" in row]
    assert ends == [text_of(BEGIN + hour * HOUR) for hour in range(1, 4)]


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
    assert watermark(simulation) == text_of(BEGIN + 2 * HOUR)
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
    assert watermark(simulation) == text_of(BEGIN + HOUR)
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


def test_an_outbox_counts_both_kinds_of_rows() -> None:
    """Findings and run records wait alike."""
    assert len(Outbox([{}, {}], [{}])) == 3
