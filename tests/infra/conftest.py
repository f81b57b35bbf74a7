"""Two sample deployments, all alert rules, and a database."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.infra.alert_tables import DEPLOYMENT, WATCHED, connection
from tests.infra.compiler import (
    ACTION_GROUP,
    CHOSEN,
    INFRA,
    WORKSPACE,
    Deployment,
    Json,
    deploy,
    evaluate,
)


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """Return a deployment with the defaults."""
    return deploy(tmp_path_factory.mktemp("plain"), {})


@pytest.fixture(scope="session")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """Return a deployment with every parameter changed."""
    return deploy(tmp_path_factory.mktemp("chosen"), CHOSEN)


@pytest.fixture(scope="session")
def alert_rules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Json]:
    """Return the properties of the rules of all severities, by the end of their display name."""
    values = {
        "token": DEPLOYMENT,
        "location": "westeurope",
        "tags": {},
        "workspaceResourceId": WORKSPACE,
        "identityId": ACTION_GROUP.replace("actionGroups", "identities"),
        "workspaces": [{"name": name, "id": given.upper()} for name, given in WATCHED.items()],
        "leastSeverity": "Informational",
        "emails": [],
        "actionGroupResourceIds": [],
    }
    scratch = tmp_path_factory.mktemp("alerts")
    found = evaluate(scratch, INFRA / "modules" / "alerts.bicep", values)
    rules = found.of_type("Microsoft.Insights/scheduledQueryRules")
    properties = [dict(each["properties"]) for each in rules]
    return {each["displayName"].rpartition(": ")[2]: each for each in properties}


@pytest.fixture
def database() -> Iterator[Any]:
    """Give a database with both tables, empty."""
    with connection() as opened:
        yield opened
