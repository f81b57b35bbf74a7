"""A run at a terminal beside the app: real processes, stand-ins for the services, and Azurite."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from detection.rule.ticks import DAY, HOUR, format_time, from_datetime
from detection.state.blob import BlobStore
from tests.support import DEMO, NOW, json_lines, run_cli
from tests.support.services.ingestion import FINDINGS_STREAM, Answer
from tests.support.services.log_analytics import WORKSPACE
from tests.support.services.servers import Containers
from tests.support.services.world import World, demo_world

LATER = "2026-03-14T11:00:00Z"


@pytest.fixture
def world(containers: Containers, tmp_path: Path) -> Iterator[World]:
    """Set up stand-ins that serve the scenario of the demo."""
    with demo_world(containers, tmp_path) as world:
        yield world


def without(world: World, *names: str) -> dict[str, str]:
    """Return the settings without some."""
    return {name: value for name, value in world.environment.items() if name not in names}


INGESTION = ("LOGS_INGESTION_ENDPOINT", "LOGS_INGESTION_RULE_ID")


def test_a_terminal_that_cannot_deliver_takes_nothing_of_the_app(
    world: World, containers: Containers
) -> None:
    """Findings that wait for delivery are not emptied onto a screen: the run is refused."""
    world.ingestion.script(*[Answer(503)] * 9)
    assert run_cli("run", "--now", NOW, settings=world.environment).returncode == 1
    world.ingestion.recover()
    done = run_cli("run", "--now", LATER, settings=without(world, *INGESTION))
    assert done.returncode == 2
    assert "LOGS_INGESTION_ENDPOINT is not" in done.stderr
    assert done.stdout == ""
    container = containers.client(world.environment["STATE_CONTAINER"])
    state, _ = BlobStore(container=container, workspace_id=WORKSPACE).load()
    assert len(state.outbox.findings) == 2
    assert run_cli("run", "--now", LATER, settings=world.environment).returncode == 0
    assert len(world.rows(FINDINGS_STREAM)) == 2


def test_a_terminal_that_cannot_deliver_may_look(world: World) -> None:
    """With --dry-run the findings that wait stay where they are."""
    settings = without(world, *INGESTION)
    done = run_cli("run", "--now", NOW, "--json", "--dry-run", settings=settings)
    assert done.returncode == 0, done.stderr
    assert len(json_lines(done.stdout)) == 2


def test_a_terminal_that_remembers_nothing_sends_nothing(world: World) -> None:
    """Without a state each run would send the same findings again, so it is refused."""
    done = run_cli("run", "--now", NOW, settings=without(world, "STATE_ACCOUNT_URL"))
    assert done.returncode == 2
    assert "send the same findings again" in done.stderr
    assert world.ingestion.batches == []


def test_a_state_folder_beside_the_apps_state_sends_nothing(world: World, tmp_path: Path) -> None:
    """A memory that does not know what the app has sent shows findings and sends none."""
    run_cli("run", "--now", NOW, settings=world.environment)
    sent = world.rows(FINDINGS_STREAM)
    asked = ("run", "--now", NOW, "--json", "--state-dir", tmp_path / "state")
    done = run_cli(*asked, settings=world.environment)
    assert done.returncode == 0, done.stderr
    assert "shown and not sent" in done.stderr
    assert len(json_lines(done.stdout)) == len(sent) == 2
    assert world.rows(FINDINGS_STREAM) == sent


def test_a_state_folder_alone_delivers(world: World, tmp_path: Path) -> None:
    """Where no app has a state, a folder is memory enough to send findings once."""
    settings = without(world, "STATE_ACCOUNT_URL")
    for _ in range(2):
        asked = ("run", "--now", NOW, "--json", "--state-dir", tmp_path / "state")
        assert run_cli(*asked, settings=settings).returncode == 0
    assert len(world.rows(FINDINGS_STREAM)) == 2


@pytest.mark.parametrize("memory", ["folder", "account"])
def test_a_time_of_the_future_is_not_remembered(world: World, tmp_path: Path, memory: str) -> None:
    """--now, and --to of a backfill, later than the present are refused where runs remember."""
    future = format_time(from_datetime(datetime.now(UTC)) + 4 * HOUR)
    place = ("--state-dir", str(tmp_path / "state")) if memory == "folder" else ()
    for when in (("--now", future), ("--from", NOW, "--to", future)):
        done = run_cli("run", *when, *place, settings=world.environment)
        assert done.returncode == 2
        assert "is later than the present" in done.stderr
    assert world.logs.calls == []
    assert run_cli("run", "--now", future, "--dry-run", settings=world.environment).returncode == 0


def test_a_recording_of_the_future_is_not_remembered(tmp_path: Path) -> None:
    """It is no matter where the logs come from."""
    future = format_time(from_datetime(datetime.now(UTC)) + DAY)
    asked = ("run", "--recorded", DEMO, "--now", future)
    done = run_cli(*asked, "--state-dir", tmp_path / "state")
    assert done.returncode == 2
    assert "is later than the present" in done.stderr
    assert run_cli(*asked).returncode == 0


def test_a_watermark_can_be_set_back(tmp_path: Path) -> None:
    """A run before the watermark says how to go on, and does so; nothing is reported again."""
    asked = ("run", "--recorded", DEMO, "--json", "--state-dir", tmp_path / "state")
    assert len(json_lines(run_cli(*asked, "--now", NOW).stdout)) == 2
    assert run_cli(*asked, "--now", LATER).returncode == 0
    early = run_cli(*asked, "--now", NOW)
    assert early.returncode == 1
    assert "--set-watermark TIME" in early.stderr
    assert "No window is due" not in early.stderr
    back = run_cli(*asked, "--now", NOW, "--set-watermark", "2026-03-14T09:00:00Z")
    assert back.returncode == 0, back.stderr
    assert back.stdout == ""
    assert run_cli(*asked, "--now", LATER).stdout == ""


@pytest.mark.parametrize("more", [(), ("--dry-run",), ("--from", NOW, "--to", LATER)])
def test_a_watermark_is_set_back_only_where_a_scheduled_run_remembers(
    tmp_path: Path, more: tuple[str, ...]
) -> None:
    """Without a state, in a dry run or in a backfill there is none to set."""
    state = ("--state-dir", str(tmp_path)) if more else ()
    when = () if "--from" in more else ("--now", NOW)
    asked = ("run", "--recorded", DEMO, *when, *more, *state)
    done = run_cli(*asked, "--set-watermark", "2026-03-14T08:00:00Z")
    assert done.returncode == 2
    assert "--set-watermark needs a scheduled run" in done.stderr
