"""Two sample deployments, with defaults only and with every parameter changed, and a database."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.infra.alert_tables import connection
from tests.infra.compiler import CHOSEN, Deployment, deploy


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """Return a deployment with the defaults."""
    return deploy(tmp_path_factory.mktemp("plain"), {})


@pytest.fixture(scope="session")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """Return a deployment with every parameter changed."""
    return deploy(tmp_path_factory.mktemp("chosen"), CHOSEN)


@pytest.fixture
def database() -> Iterator[Any]:
    """Give a database with both tables, empty."""
    with connection() as opened:
        yield opened
