"""Builds the parts of a run against Azure out of the settings."""

from collections.abc import Callable

from azure.identity import DefaultAzureCredential
from azure.monitor.ingestion import LogsIngestionClient
from azure.monitor.query import LogsQueryClient
from azure.storage.blob import ContainerClient

from detection.service import Parts
from detection.settings import Service, Settings
from detection.sinks import Undelivered
from detection.sinks.ingestion import IngestionSink
from detection.sources.workspace import WorkspaceSource
from detection.state import Unsaved
from detection.state.blob import CLIENT_OPTIONS, BlobStore

# The key of the storage emulator, the same everywhere and public.
_EMULATOR = "/devstoreaccount1"
_EMULATOR_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)


def connector(settings: Settings, service: Service) -> Callable[[str], Parts]:
    """Return a function from a workspace's id to its parts; asks no service anything yet.

    The clients are shared, for threads as for workspaces, and so is the credential: a managed
    identity in Azure, elsewhere what the environment or a signed-in tool offers.
    """
    credential = DefaultAzureCredential()
    query = LogsQueryClient(credential, endpoint=service.query_endpoint)
    ingestion = LogsIngestionClient(service.ingestion_endpoint, credential)
    emulated = service.state_account_url.endswith(_EMULATOR)
    container = ContainerClient(
        service.state_account_url,
        service.state_container,
        credential=_EMULATOR_KEY if emulated else credential,
        **CLIENT_OPTIONS,
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
            exclusions_alias=service.exclusions_alias,
            statuses=settings.rule.success_statuses,
        )
        store = BlobStore(container=container, workspace_id=workspace_id)
        if service.dry_run:
            return Parts(source, Undelivered(), Unsaved(store))
        return Parts(source, sink, store)

    return connect
