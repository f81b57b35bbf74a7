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
    container: ContainerClient

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of a process that uses the services."""
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        return kept | self.settings

    def forget_state(self) -> None:
        """Delete the app's state."""
        for blob in self.container.list_blobs():
            self.container.delete_blob(blob.name)

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
    with (
        TemporaryDirectory() as folder,
        azurite() as storage,
        LogAnalytics(workspace, WORKSPACE_ID, TOKEN, clock) as logs,
        Ingestion(workspace, TOKEN, clock) as ingestion,
        ContainerClient(
            storage.url, SETTINGS["STATE_CONTAINER"].default, credential=EMULATOR_KEY
        ) as container,
        settings_of(Path(folder), logs.endpoint, ingestion.endpoint, container) as settings,
    ):
        container.create_container()
        named = {"WORKSPACE_IDS": WORKSPACE_ID, "DETECTION_SCHEDULE": "0 0 * * * *"}
        yield Emulated(workspace, clock, {**settings, **named, **chosen}, ingestion, container)


@contextlib.contextmanager
def settings_of(
    folder: Path, logs: str, ingestion: str, container: ContainerClient
) -> Iterator[dict[str, str]]:
    """Yield the settings that lead a process to services, given by their plain addresses.

    It reaches them over TLS, with certificates that go to `folder`, and gets tokens of an emulated
    identity. Variables alone do it: REQUESTS_CA_BUNDLE for the certificates, IDENTITY_ENDPOINT and
    IDENTITY_HEADER for tokens.
    """
    authority = Authority(folder)
    with (
        IdentityEndpoint() as identity,
        authority.in_front_of(logs) as query_endpoint,
        authority.in_front_of(ingestion) as ingestion_endpoint,
    ):
        yield {
            **identity.environment,
            "REQUESTS_CA_BUNDLE": str(authority.bundle),
            "LOGS_QUERY_ENDPOINT": query_endpoint,
            "LOGS_INGESTION_ENDPOINT": ingestion_endpoint,
            "LOGS_INGESTION_RULE_ID": RULE_ID,
            "STATE_ACCOUNT_URL": container.url.removesuffix(f"/{container.container_name}"),
            "STATE_CONTAINER": container.container_name,
        }
