"""Two sample deployments: one with defaults only, and one with every parameter changed."""

import pytest

from tests.infra.compiler import CHOSEN, Deployment, deploy


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """Return a deployment with the defaults."""
    return deploy(tmp_path_factory.mktemp("plain"), {})


@pytest.fixture(scope="session")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """Return a deployment with every parameter changed."""
    return deploy(tmp_path_factory.mktemp("chosen"), CHOSEN)
