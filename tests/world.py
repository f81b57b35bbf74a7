"""All of Azure that the product meets, on loopback, for a process that has only its environment."""

import contextlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detection.rule.ticks import MINUTE, text_of
from tests.servers import Containers
from tests.standins.azure import Authority, identity_endpoint
from tests.standins.ingestion import RULE_ID, IngestionService
from tests.standins.log_analytics import WORKSPACE, LogAnalyticsService, Rows
from tests.support import OPERATIONS, SIGN_INS


@dataclass
class World:
    """The stand-ins, and the environment in which a process finds them and Azurite."""

    logs: LogAnalyticsService
    ingestion: IngestionService
    environment: dict[str, str]

    def rows(self, stream: str) -> list[dict[str, Any]]:
        """Return the rows that a stream has taken."""
        return [json.loads(row) for row in self.ingestion.accepted[stream]]


@contextlib.contextmanager
def surroundings(
    containers: Containers, folder: Path, tables: Mapping[str, Rows]
) -> Iterator[World]:
    """Set up stand-ins that serve `tables`, and an empty container; `folder` takes certificates."""
    authority = Authority(folder)
    with contextlib.ExitStack() as stack:
        logs = stack.enter_context(LogAnalyticsService(tables))
        ingestion = stack.enter_context(IngestionService())
        container = containers.new()
        environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            **stack.enter_context(identity_endpoint()),
            "REQUESTS_CA_BUNDLE": str(authority.bundle),
            "DETECTION_SCHEDULE": "0 0 * * * *",
            "WORKSPACE_IDS": WORKSPACE,
            "LOGS_QUERY_ENDPOINT": stack.enter_context(authority.in_front_of(logs.endpoint)),
            "LOGS_INGESTION_ENDPOINT": stack.enter_context(
                authority.in_front_of(ingestion.endpoint)
            ),
            "LOGS_INGESTION_RULE_ID": RULE_ID,
            "STATE_ACCOUNT_URL": containers.server.url,
            "STATE_CONTAINER": container.container_name,
        }
        yield World(logs, ingestion, environment)


def one_finding(now: int) -> dict[str, Rows]:
    """Return tables that hold one finding of the hour before `now` (ticks)."""
    identity = str(uuid.uuid4())
    sign_in = {
        "TimeGenerated": text_of(now - 30 * MINUTE),
        "ServicePrincipalId": identity,
        "ServicePrincipalName": "func-orders",
        "ResultType": "0",
        "ResourceDisplayName": "Azure Key Vault",
        "Id": "s1",
    }
    operation = {
        "TimeGenerated": text_of(now - 20 * MINUTE),
        "Caller": identity,
        "OperationNameValue": "MICROSOFT.AUTHORIZATION/LOCKS/DELETE",
        "ActivityStatusValue": "Success",
        "ResourceGroup": "rg-orders",
        "EventDataId": "o1",
    }
    return {SIGN_INS: [sign_in], OPERATIONS: [operation]}
