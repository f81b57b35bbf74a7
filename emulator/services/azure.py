"""Everything of Azure that the app uses, emulated on this machine."""

import contextlib
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from azure.storage.blob import ContainerClient

from detection.azure_clients import EMULATOR_KEY
from detection.settings import SETTINGS
from emulator.kusto.tables import Row
from emulator.kusto.workspace import Workspace
from emulator.services.azurite import azurite
from emulator.services.clock import Clock
from emulator.services.identity import TOKEN, IdentityEndpoint
from emulator.services.ingestion import RULE_ID, Ingestion
from emulator.services.log_analytics import LogAnalytics
from emulator.services.tls import Authority

WORKSPACE_ID: Final = str(uuid.UUID(int=1))
# What a process needs of this one's environment: Windows needs SYSTEMROOT for sockets.
KEPT: Final = ("PATH", "HOME", "LANG", "SYSTEMROOT", "TEMP", "TMP")


@dataclass(frozen=True)
class Emulated:
    """The running services: their workspace and clock, and the settings that lead to them."""

    workspace: Workspace
    clock: Clock
    settings: dict[str, str]
    ingestion: Ingestion

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of a process that uses the services."""
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        return kept | self.settings

    def delivered(self) -> list[tuple[str, Row]]:
        """Return tables and rows of what was delivered since the last call, in order."""
        rows, self.ingestion.delivered = self.ingestion.delivered, []
        return rows


@contextlib.contextmanager
def emulated_azure(
    tables: Mapping[str, Sequence[Row]], now: int, chosen: Mapping[str, str]
) -> Iterator[Emulated]:
    """Start all services over these tables, with the clock at `now` (ticks), and end them again.

    `chosen` has further settings of the app. Raises NotInstalled or RuntimeError if Azurite cannot
    be started.
    """
    workspace, clock = Workspace(tables), Clock(now)
    container = SETTINGS["STATE_CONTAINER"].default
    with (
        TemporaryDirectory() as folder,
        azurite() as storage,
        LogAnalytics(workspace, WORKSPACE_ID, TOKEN, clock) as logs,
        Ingestion(workspace, TOKEN, clock) as ingestion,
        IdentityEndpoint() as identity,
    ):
        authority = Authority(Path(folder))
        with (
            authority.in_front_of(logs.endpoint) as query_endpoint,
            authority.in_front_of(ingestion.endpoint) as ingestion_endpoint,
        ):
            with ContainerClient(storage.url, container, credential=EMULATOR_KEY) as client:
                client.create_container()
            settings = {
                **identity.environment,
                "REQUESTS_CA_BUNDLE": str(authority.bundle),
                "DETECTION_SCHEDULE": "0 0 * * * *",
                "WORKSPACE_IDS": WORKSPACE_ID,
                "LOGS_QUERY_ENDPOINT": query_endpoint,
                "LOGS_INGESTION_ENDPOINT": ingestion_endpoint,
                "LOGS_INGESTION_RULE_ID": RULE_ID,
                "STATE_ACCOUNT_URL": storage.url,
                "STATE_CONTAINER": container,
            }
            yield Emulated(workspace, clock, {**settings, **chosen}, ingestion)
