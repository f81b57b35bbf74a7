"""Hypothesis profiles, and the fixtures that tests of several folders share."""

import contextlib
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

from detection.rule.ticks import from_datetime
from emulator.services.azurite import PINNED, azurite
from tests.support.effort import effort
from tests.support.language_service import LanguageService, running
from tests.support.services.servers import Containers, installed
from tests.support.services.world import World, one_finding, world_of

# Every run draws the same examples on every machine, so a failing test always points to a change.
# Only `make explore` draws new examples.
settings.register_profile(
    "desk",
    max_examples=25,
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],  # machines pause
)
settings.register_profile("ci", settings.get_profile("desk"), max_examples=80)
settings.register_profile("explore", settings.get_profile("desk"), derandomize=False)
settings.load_profile(effort(desk="desk", ci="ci"))

# Hypothesis would also draw constants of imported code: a test alone would see other examples than
# in a full run, and a checkout below a folder called "tests" would see none.
NO_CONSTANTS = Constants()
pytest.MonkeyPatch().setattr(providers, "_get_local_constants", lambda: NO_CONSTANTS)

# A shell may start background jobs with Ctrl-C ignored, and child processes inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def first_seed(request: pytest.FixtureRequest) -> int:
    """Return the first seed of random histories: 0, or the one that `make explore` sets."""
    return int(request.config.getoption("--hypothesis-seed") or 0)


@pytest.fixture(scope="session")
def containers() -> Iterator[Containers]:
    """Create containers in an emulator, one emulator for each test process.

    Skips the test if the emulator cannot be installed, except in CI.
    """
    installed(PINNED)
    with azurite() as server, contextlib.ExitStack() as closing:
        yield Containers(server, closing)


@pytest.fixture(scope="session")
def language_service() -> Iterator[LanguageService]:
    """Run the language service for KQL, once for each test process."""
    with running() as service:
        yield service


@pytest.fixture
def world(containers: Containers, tmp_path: Path) -> Iterator[World]:
    """Give stand-ins for Azure, with one finding of the last hour in the logs."""
    tables = one_finding(from_datetime(datetime.now(UTC)))
    with world_of(containers, tmp_path, tables) as given:
        yield given
