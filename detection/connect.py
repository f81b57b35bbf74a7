"""Builds the parts of a run against Azure out of the settings."""

from collections.abc import Callable
from math import inf

from azure.identity import DefaultAzureCredential
from azure.monitor.ingestion import LogsIngestionClient
from azure.monitor.query import LogsQueryClient
from azure.storage.blob import ContainerClient

from detection.service import AT_ONCE, Parts
from detection.settings import Service, Settings
from detection.sinks import Undelivered
from detection.sinks.ingestion import IngestionSink
from detection.sources.loganalytics import HERE, Limits
from detection.sources.workspace import WorkspaceSource
from detection.state import Unsaved
from detection.state.blob import CLIENT_OPTIONS, BlobStore, longest_waiting

# The key of the storage emulator, the same everywhere and public.
_EMULATOR = "/devstoreaccount1"
_EMULATOR_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)


# The most rows of a window that are correlated in this process.
_HERE = {"auto": HERE, "python": inf, "workspace": -1}


def connector(
    settings: Settings, service: Service, *, until: float = inf
) -> Callable[[str], Parts]:
    """Return a function from a workspace's id to its parts; asks no service anything yet.

    The clients are shared, for threads as for workspaces, and so is the credential: a managed
    identity in Azure, elsewhere what the environment or a signed-in tool offers. What may be
    asked and held at once is shared out among the workspaces that are read at once. From `until`
    (of time.monotonic) no workspace is asked anything.
    """
    credential = DefaultAzureCredential()
    query = LogsQueryClient(credential, endpoint=service.query_endpoint)
    ingestion = LogsIngestionClient(service.ingestion_endpoint, credential)
    container = _container(service, credential)
    limits = Limits(until=until, here=_HERE[service.correlate_in]).shared(
        min(AT_ONCE, len(service.workspace_ids))
    )
    sink = IngestionSink(
        ingestion,
        rule_id=service.ingestion_rule_id,
        findings_stream=service.findings_stream,
        runs_stream=service.runs_stream,
    )

    def connect(workspace_id: str) -> Parts:
        source = WorkspaceSource(
            client=query,
            workspace_id=workspace_id,
            alias=service.watchlist_alias,
            rule=settings.rule,
            limits=limits,
        )
        store = BlobStore(container=container, workspace_id=workspace_id)
        if service.dry_run:
            return Parts(source, Undelivered(), Unsaved(store))
        return Parts(source, sink, store)

    return connect


def in_turn(service: Service) -> list[str]:
    """Return the workspaces, the one first whose last turn is longest ago."""
    with _container(service, DefaultAzureCredential()) as container:
        return longest_waiting(container, service.workspace_ids)


def _container(service: Service, credential: DefaultAzureCredential) -> ContainerClient:
    emulated = service.state_account_url.endswith(_EMULATOR)
    return ContainerClient(
        service.state_account_url,
        service.state_container,
        credential=_EMULATOR_KEY if emulated else credential,
        **CLIENT_OPTIONS,
    )
