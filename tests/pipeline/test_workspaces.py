"""All workspaces run in one invocation, and one that fails stops no other."""

import logging

import pytest

from detection.errors import DetectionError, StateConflict
from detection.pipeline.workspaces import Connections, run_workspaces
from detection.rule.ticks import HOUR, MINUTE, format_time, parse_time
from detection.settings import rule_settings
from detection.state import State, Tag
from tests.support.simulation import Event, Simulation, Stream

NOW = parse_time("2026-03-14T10:00:00Z")
GUIDS = [f"00000000-0000-0000-0000-00000000000{number}" for number in range(3)]


class AlwaysOvertaken(Simulation):
    """A workspace whose state another run always saves first."""

    def save(self, state: State, tag: Tag) -> Tag:
        """Fail, since another run saved first."""
        raise StateConflict(f"another run was first, since {state.watermark} of version {tag}")


def workspace() -> Simulation:
    """Return a workspace with one finding."""
    at = NOW - 30 * MINUTE
    return Simulation(
        Stream(
            [Event(at, at, "aaaa", "Azure Key Vault", "1")],
            [Event(at + MINUTE, at + MINUTE, "aaaa", "rg-secret-name", "2")],
        )
    )


def run_all(simulations: dict[str, Simulation]) -> None:
    """Run all workspaces at NOW."""
    run_workspaces(
        simulations,
        lambda name: Connections(simulations[name], simulations[name], simulations[name]),
        rule_settings({}),
        now=NOW,
        has_time=lambda: True,
    )


def test_each_workspace_runs() -> None:
    """Every workspace gives its findings."""
    simulations = {name: workspace() for name in GUIDS}
    run_all(simulations)
    assert [len(simulation.findings()) for simulation in simulations.values()] == [1, 1, 1]


@pytest.mark.parametrize("fault", ["unreadable", "refusing"])
def test_a_workspace_that_fails_stops_no_other_and_fails_the_run(fault: str) -> None:
    """After a workspace fails the others run; then the failure is raised with its name."""
    simulations = {name: workspace() for name in GUIDS}
    setattr(simulations[GUIDS[0]], fault, True)
    with pytest.raises(DetectionError, match=GUIDS[0]):
        run_all(simulations)
    assert [len(simulations[name].findings()) for name in GUIDS] == [0, 1, 1]


def test_an_overtaken_run_is_no_failure() -> None:
    """A run whose state another run saved first delivers nothing and does not fail."""
    beaten = AlwaysOvertaken(workspace().stream)
    run_all({GUIDS[0]: beaten})
    assert beaten.delivered == []


def test_the_log_holds_counts_and_no_log_content(caplog: pytest.LogCaptureFixture) -> None:
    """Each window is one log line with its counts, without names from the logs."""
    with caplog.at_level(logging.DEBUG):
        run_all({GUIDS[0]: workspace()})
    (line,) = caplog.messages
    assert line.startswith(f"{GUIDS[0]} Success")
    assert "1 findings new" in line
    assert "rg-secret-name" not in line


def test_windows_without_time_are_due_next_time() -> None:
    """When time is up the current window is finished, and the next run continues after it."""
    simulation = workspace()
    parts = Connections(simulation, simulation, simulation)
    simulation.run(NOW - 5 * HOUR)
    for ends in (NOW - 4 * HOUR, NOW - 3 * HOUR):
        time_there_is = iter([True])
        records = run_workspaces(
            GUIDS[:1],
            lambda _: parts,
            rule_settings({}),
            now=NOW,
            has_time=lambda: next(time_there_is, False),  # noqa: B023 - called in this iteration
        )
        assert [record["WindowEnd"] for record in records] == [format_time(ends)]
