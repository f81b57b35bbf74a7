"""All workspaces in one invocation, and the settings that it takes."""

import logging

import pytest

from detection.errors import DetectionError, SettingsError, StateConflict
from detection.pipeline.workspaces import Connections, run_workspaces
from detection.rule.ticks import HOUR, MINUTE, format_time, parse_time
from detection.settings import read_settings, rule_settings
from detection.state import State, Tag
from tests.support.histories import Event, Simulation, Stream

NOW = parse_time("2026-03-14T10:00:00Z")
GUIDS = [f"00000000-0000-0000-0000-00000000000{number}" for number in range(3)]
NEEDED = {
    "WORKSPACE_IDS": f" {GUIDS[0].upper()} ,{GUIDS[1]},,{GUIDS[0]}",
    "LOGS_INGESTION_ENDPOINT": "https://rule.westeurope-1.ingest.monitor.azure.com/",
    "LOGS_INGESTION_RULE_ID": "dcr-0123456789abcdef0123456789abcdef",
    "STATE_ACCOUNT_URL": "https://account.blob.core.windows.net",
}


class Beaten(Simulation):
    """A workspace whose state another run always writes first."""

    def save(self, state: State, tag: Tag) -> Tag:
        """Lose."""
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


def test_each_workspace_is_run() -> None:
    """Every workspace gives its findings."""
    simulations = {name: workspace() for name in GUIDS}
    run_all(simulations)
    assert [len(simulation.findings()) for simulation in simulations.values()] == [1, 1, 1]


@pytest.mark.parametrize("fault", ["unreadable", "refusing"])
def test_one_that_fails_stops_no_other_and_fails_the_run(fault: str) -> None:
    """After a workspace that fails the others are run; then the failure is raised, and named."""
    simulations = {name: workspace() for name in GUIDS}
    setattr(simulations[GUIDS[0]], fault, True)
    with pytest.raises(DetectionError, match=GUIDS[0]):
        run_all(simulations)
    assert [len(simulations[name].findings()) for name in GUIDS] == [0, 1, 1]


def test_being_beaten_by_another_run_is_no_failure() -> None:
    """A run whose state another one wrote first delivers nothing, and nothing is wrong."""
    beaten = Beaten(workspace().stream)
    run_all({GUIDS[0]: beaten})
    assert beaten.delivered == []


def test_the_log_holds_counts_and_nothing_of_the_logs(caplog: pytest.LogCaptureFixture) -> None:
    """Each window is one line with its counts; names from the logs are not in it."""
    with caplog.at_level(logging.DEBUG):
        run_all({GUIDS[0]: workspace()})
    (line,) = caplog.messages
    assert line.startswith(f"{GUIDS[0]} Success")
    assert "1 findings new" in line
    assert "rg-secret-name" not in line


def test_without_time_the_rest_is_due_next_time() -> None:
    """When time is up the window begun is finished, and the next run goes on after it."""
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
            has_time=lambda: next(time_there_is, False),  # noqa: B023 - called in this turn
        )
        assert [record["WindowEnd"] for record in records] == [format_time(ends)]


def test_settings_of_the_service() -> None:
    """Ids are lowered and told once, addresses lose their last slash, the rest has defaults."""
    service = read_settings(NEEDED).deployment
    assert service.workspace_ids == (GUIDS[0], GUIDS[1])
    assert service.ingestion_endpoint == "https://rule.westeurope-1.ingest.monitor.azure.com"
    assert service.watchlist_alias == "NetworkAllowlist"
    assert service.correlate_in == "auto"
    assert service.dry_run is False


def test_every_problem_of_the_service_is_in_one_message() -> None:
    """What is absent and what cannot be used is named at once."""
    wrong = {
        "WORKSPACE_IDS": "my-workspace",
        "LOGS_INGESTION_ENDPOINT": "http://plain.example",
        "WATCHLIST_ALIAS": "x') | union Secrets //",
        "CORRELATE_IN": "elsewhere",
        "DRY_RUN": "perhaps",
    }
    with pytest.raises(SettingsError) as caught:
        read_settings(wrong)
    names = (*wrong, "LOGS_INGESTION_RULE_ID", "STATE_ACCOUNT_URL")
    assert all(name in str(caught.value) for name in names)


@pytest.mark.parametrize(
    "hostile",
    ["'); drop", "a b", "a\nb", 'x" or "1', "\u0430lias", "-x", "x" * 5 + "|", "x)//"],
)
def test_hostile_aliases_are_refused(hostile: str) -> None:
    """A watchlist's alias that is no plain name never comes near a query."""
    with pytest.raises(SettingsError, match="WATCHLIST_ALIAS"):
        read_settings(NEEDED | {"WATCHLIST_ALIAS": hostile})


@pytest.mark.parametrize("hostile", ["' or 1", GUIDS[0] + "/query", "x", GUIDS[0] + "\n| take 1"])
def test_hostile_workspace_ids_are_refused(hostile: str) -> None:
    """A workspace id that is no GUID is refused."""
    with pytest.raises(SettingsError, match="WORKSPACE_IDS"):
        read_settings(NEEDED | {"WORKSPACE_IDS": hostile})
