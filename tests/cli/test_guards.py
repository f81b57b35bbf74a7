"""The guards of `run` on a terminal beside the deployed app, with stand-ins and Azurite."""

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
    """Start stand-ins that serve the demo's scenario."""
    with demo_world(containers, tmp_path) as world:
        yield world


def settings_without(world: World, *names: str) -> dict[str, str]:
    """Return the settings without some."""
    return {name: value for name, value in world.environment.items() if name not in names}


INGESTION = ("LOGS_INGESTION_ENDPOINT", "LOGS_INGESTION_RULE_ID")


def test_a_terminal_without_ingestion_leaves_the_apps_findings(
    world: World, containers: Containers
) -> None:
    """A run that cannot deliver is refused while findings wait, so none is lost on a screen."""
    world.ingestion.script(*[Answer(503)] * 9)
    assert run_cli("run", "--now", NOW, settings=world.environment).returncode == 1
    world.ingestion.recover()
    done = run_cli("run", "--now", LATER, settings=settings_without(world, *INGESTION))
    assert done.returncode == 2
    assert "LOGS_INGESTION_ENDPOINT is not" in done.stderr
    assert done.stdout == ""
    container = containers.client(world.environment["STATE_CONTAINER"])
    state, _ = BlobStore(container=container, workspace_id=WORKSPACE).load()
    assert len(state.outbox.findings) == 2
    assert run_cli("run", "--now", LATER, settings=world.environment).returncode == 0
    assert len(world.rows(FINDINGS_STREAM)) == 2


def test_a_terminal_without_ingestion_may_do_a_dry_run(world: World) -> None:
    """With --dry-run the waiting findings stay in the outbox."""
    settings = settings_without(world, *INGESTION)
    done = run_cli("run", "--now", NOW, "--json", "--dry-run", settings=settings)
    assert done.returncode == 0, done.stderr
    assert len(json_lines(done.stdout)) == 2


def test_a_terminal_without_a_state_sends_nothing(world: World) -> None:
    """Without a state each run would send the same findings again, so the run is refused."""
    done = run_cli("run", "--now", NOW, settings=settings_without(world, "STATE_ACCOUNT_URL"))
    assert done.returncode == 2
    assert "send the same findings again" in done.stderr
    assert world.ingestion.batches == []


def test_a_state_folder_beside_the_apps_state_sends_nothing(world: World, tmp_path: Path) -> None:
    """A state folder beside the app's own state shows findings and sends none."""
    run_cli("run", "--now", NOW, settings=world.environment)
    sent = world.rows(FINDINGS_STREAM)
    arguments = ("run", "--now", NOW, "--json", "--state-dir", tmp_path / "state")
    done = run_cli(*arguments, settings=world.environment)
    assert done.returncode == 0, done.stderr
    assert "shown and not sent" in done.stderr
    assert len(json_lines(done.stdout)) == len(sent) == 2
    assert world.rows(FINDINGS_STREAM) == sent


def test_a_state_folder_alone_delivers(world: World, tmp_path: Path) -> None:
    """If no app has a state, a run with a state folder sends its findings once."""
    settings = settings_without(world, "STATE_ACCOUNT_URL")
    for _ in range(2):
        arguments = ("run", "--now", NOW, "--json", "--state-dir", tmp_path / "state")
        assert run_cli(*arguments, settings=settings).returncode == 0
    assert len(world.rows(FINDINGS_STREAM)) == 2


@pytest.mark.parametrize("memory", ["folder", "account"])
def test_a_future_time_with_a_state_is_refused(world: World, tmp_path: Path, memory: str) -> None:
    """With a state, --now or --to after the present are refused."""
    future = format_time(from_datetime(datetime.now(UTC)) + 4 * HOUR)
    place = ("--state-dir", str(tmp_path / "state")) if memory == "folder" else ()
    for when in (("--now", future), ("--from", NOW, "--to", future)):
        done = run_cli("run", *when, *place, settings=world.environment)
        assert done.returncode == 2
        assert "is later than the present" in done.stderr
    assert world.logs.calls == []
    assert run_cli("run", "--now", future, "--dry-run", settings=world.environment).returncode == 0


def test_a_future_time_with_a_recording_and_a_state_is_refused(tmp_path: Path) -> None:
    """The check is the same for a recorded folder."""
    future = format_time(from_datetime(datetime.now(UTC)) + DAY)
    arguments = ("run", "--recorded", DEMO, "--now", future)
    done = run_cli(*arguments, "--state-dir", tmp_path / "state")
    assert done.returncode == 2
    assert "is later than the present" in done.stderr
    assert run_cli(*arguments).returncode == 0


def test_a_watermark_can_be_set_back(tmp_path: Path) -> None:
    """A run before the watermark says how to continue, and then reports nothing again."""
    arguments = ("run", "--recorded", DEMO, "--json", "--state-dir", tmp_path / "state")
    assert len(json_lines(run_cli(*arguments, "--now", NOW).stdout)) == 2
    assert run_cli(*arguments, "--now", LATER).returncode == 0
    early = run_cli(*arguments, "--now", NOW)
    assert early.returncode == 1
    assert "--set-watermark TIME" in early.stderr
    assert "No window is due" not in early.stderr
    back = run_cli(*arguments, "--now", NOW, "--set-watermark", "2026-03-14T09:00:00Z")
    assert back.returncode == 0, back.stderr
    assert back.stdout == ""
    assert run_cli(*arguments, "--now", LATER).stdout == ""


@pytest.mark.parametrize("more", [(), ("--dry-run",), ("--from", NOW, "--to", LATER)])
def test_set_watermark_needs_a_scheduled_run_with_a_state(
    tmp_path: Path, more: tuple[str, ...]
) -> None:
    """Without a state, in a dry run or in a backfill --set-watermark is refused."""
    state = ("--state-dir", str(tmp_path)) if more else ()
    when = () if "--from" in more else ("--now", NOW)
    arguments = ("run", "--recorded", DEMO, *when, *more, *state)
    done = run_cli(*arguments, "--set-watermark", "2026-03-14T08:00:00Z")
    assert done.returncode == 2
    assert "--set-watermark needs a scheduled run" in done.stderr
