"""How many examples the property tests take, and what tests share."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from detection.rule.ticks import from_datetime
from tests.effort import effort
from tests.language_service import LanguageService, running
from tests.servers import Containers, azurite
from tests.world import World, one_finding, world_of

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile(
    "ci",
    max_examples=250,
    deadline=None,
    derandomize=True,  # the same examples on every run, so that a red build can be repeated
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],  # shared runners pause
)
settings.load_profile(effort(desk="dev", ci="ci"))


@pytest.fixture(scope="session")
def containers() -> Iterator[Containers]:
    """Make containers in an emulator, one for each process of tests.

    Skips where the emulator cannot be had, except in CI.
    """
    with azurite() as server, contextlib.ExitStack() as closing:
        yield Containers(server, closing)


@pytest.fixture(scope="session")
def language_service() -> Iterator[LanguageService]:
    """Run the language service for KQL, one for each process of tests."""
    with running() as service:
        yield service


@pytest.fixture
def world(containers: Containers, tmp_path: Path) -> Iterator[World]:
    """Give all that the app needs, with one finding of the last hour in the logs."""
    tables = one_finding(from_datetime(datetime.now(UTC)))
    with world_of(containers, tmp_path, tables) as given:
        yield given
