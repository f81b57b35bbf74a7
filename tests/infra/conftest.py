"""Two sample deployments: one told nothing but the workspace, one told everything else too."""

import pytest

from tests.infra.compiler import CHOSEN, Deployment, deploy


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """Return what the defaults come to."""
    return deploy(tmp_path_factory.mktemp("plain"), {})


@pytest.fixture(scope="session")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """Return what comes of choosing everything otherwise."""
    return deploy(tmp_path_factory.mktemp("chosen"), CHOSEN)
