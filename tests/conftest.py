"""Which examples the property tests take and how many, and what tests share."""

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
from tests.support.effort import effort
from tests.support.language_service import LanguageService, running
from tests.support.services.servers import Containers, azurite
from tests.support.services.world import World, one_finding, world_of

# A red test means that something was changed: every run draws the same examples, wherever it
# runs. Only `make explore` draws new ones.
settings.register_profile(
    "desk",
    max_examples=50,
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],  # machines pause
)
settings.register_profile("ci", settings.get_profile("desk"), max_examples=250)
settings.register_profile("explore", settings.get_profile("desk"), derandomize=False)
settings.load_profile(effort(desk="desk", ci="ci"))

# It would also draw numbers and texts that stand in the code which happens to be imported: other
# ones for a test alone than among others, and none in a checkout below a folder called "tests".
NO_CONSTANTS = Constants()
pytest.MonkeyPatch().setattr(providers, "_get_local_constants", lambda: NO_CONSTANTS)

# Whoever starts the tests in the background may have them ignore Ctrl-C, and all they start too.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def first_seed(request: pytest.FixtureRequest) -> int:
    """Return where the seeds of random histories begin: at 0, or where `make explore` looks."""
    return int(request.config.getoption("--hypothesis-seed") or 0)


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
