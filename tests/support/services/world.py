"""Stand-ins for all Azure services of the app, and the Functions worker that runs it."""

import contextlib
import json
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from detection.rule.ticks import MINUTE, format_time
from emulator.worker import CHECKOUT, App, invoke_timer
from tests.support import DEMO, OPERATIONS, SIGN_INS
from tests.support.services.environment import stand_in_environment
from tests.support.services.ingestion import IngestionService
from tests.support.services.known_queries import Rows
from tests.support.services.log_analytics import LogAnalyticsService, recorded_tables
from tests.support.services.servers import Containers

needs_worker = pytest.mark.skipif(
    sys.version_info < (3, 13), reason="the worker is a package from Python 3.13 on"
)


@dataclass
class World:
    """The app's stand-in services, and the environment that points to them."""

    logs: LogAnalyticsService
    ingestion: IngestionService
    environment: dict[str, str]

    def invoke(self, app: App = CHECKOUT, *, past_due: bool = False) -> dict[str, Any]:
        """Run the timer once in a new worker, which can import the app and nothing else."""
        return invoke_timer(self.environment, app=app, past_due=past_due, timeout=300)

    def rows(self, stream: str) -> list[dict[str, Any]]:
        """Return the rows that a stream has accepted."""
        return [json.loads(row) for row in self.ingestion.accepted[stream]]


@contextlib.contextmanager
def world_of(containers: Containers, folder: Path, tables: Mapping[str, Rows]) -> Iterator[World]:
    """Start stand-ins that serve `tables`, with an empty container; certificates go to `folder`."""
    with (
        LogAnalyticsService(tables) as logs,
        IngestionService() as ingestion,
        stand_in_environment(folder, logs, ingestion, containers.new()) as environment,
    ):
        yield World(logs, ingestion, environment | {"DETECTION_SCHEDULE": "0 0 * * * *"})


@contextlib.contextmanager
def demo_world(containers: Containers, folder: Path) -> Iterator[World]:
    """Start stand-ins that serve the demo's scenario; certificates go below `folder`."""
    certificates = folder / "certificates"
    certificates.mkdir()
    with world_of(containers, certificates, recorded_tables(DEMO)) as world:
        yield world


def one_finding(now: int) -> dict[str, Rows]:
    """Return tables that hold one finding of the hour before `now` (ticks)."""
    identity = str(uuid.uuid4())
    sign_in = {
        "TimeGenerated": format_time(now - 30 * MINUTE),
        "ServicePrincipalId": identity,
        "ServicePrincipalName": "func-orders",
        "ResultType": "0",
        "ResourceDisplayName": "Azure Key Vault",
        "Id": "s1",
    }
    operation = {
        "TimeGenerated": format_time(now - 20 * MINUTE),
        "Caller": identity,
        "OperationNameValue": "MICROSOFT.AUTHORIZATION/LOCKS/DELETE",
        "ActivityStatusValue": "Success",
        "ResourceGroup": "rg-orders",
        "EventDataId": "o1",
    }
    return {SIGN_INS: [sign_in], OPERATIONS: [operation]}
