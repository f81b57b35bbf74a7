"""Builds the parts of a run against Azure out of the settings."""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from math import inf
from typing import Self

from azure.core.credentials import AccessTokenInfo, TokenRequestOptions
from azure.core.exceptions import AzureError
from azure.identity import DefaultAzureCredential
from azure.monitor.ingestion import LogsIngestionClient
from azure.monitor.query import LogsQueryClient
from azure.storage.blob import ContainerClient

from detection.credential_errors import TokenUnavailable, explain_token_failure
from detection.errors import SourceError
from detection.pipeline.workspaces import CONCURRENT_WORKSPACES, Connections
from detection.settings import Service, Settings
from detection.sinks import FindingSink, NullSink
from detection.sinks.ingestion import IngestionSink
from detection.sources.log_analytics.client import MAX_ROWS_IN_PROCESS, Limits
from detection.sources.workspace.source import WorkspaceSource
from detection.state import ReadOnlyStore, StateStore
from detection.state.blob import CLIENT_OPTIONS, BlobStore, least_recently_written

# The key of the storage emulator, the same everywhere and public.
EMULATOR = "/devstoreaccount1"
EMULATOR_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

# The most rows of a window that are correlated in this process.
_ROWS_IN_PROCESS = {"auto": MAX_ROWS_IN_PROCESS, "python": inf, "workspace": -1}


class Credential(DefaultAzureCredential):
    """Says in one line why it gives no token, and never with a status, as a service would."""

    def get_token_info(
        self, *scopes: str, options: TokenRequestOptions | None = None
    ) -> AccessTokenInfo:
        """Return a token; raises NoToken."""
        try:
            return super().get_token_info(*scopes, options=options)
        except AzureError as error:
            raise TokenUnavailable(explain_token_failure(error)) from error


class AzureClients:
    """The clients for one set of settings; none of them asks a service anything yet.

    They are shared, for threads as for workspaces, and so is the credential: a managed identity
    in Azure, elsewhere what the environment or a signed-in tool offers. All are closed at the end
    of the block.
    """

    def __init__(self, settings: Settings, service: Service, *, deadline: float = inf) -> None:
        """From `deadline` (of time.monotonic) no workspace is asked anything.

        What may be asked and held at once is shared out among those that are read at once.
        """
        at_once = min(CONCURRENT_WORKSPACES, len(service.workspace_ids))
        # What the credential tried in vain is in the error that is raised, in fewer words.
        logging.getLogger("azure").addHandler(logging.NullHandler())
        for name in ("azure.core", "azure.identity"):  # they log each request, headers and all
            logging.getLogger(name).setLevel(logging.WARNING)
        self._settings = settings
        self._service = service
        self._closing = ExitStack()
        self._credential = self._closing.enter_context(
            Credential(authority=service.cloud.authority)
        )
        self._query = self._closing.enter_context(
            LogsQueryClient(
                self._credential, endpoint=service.query_endpoint, audience=service.cloud.query
            )
        )
        self._limits = Limits(
            deadline=deadline, rows_in_process=_ROWS_IN_PROCESS[service.correlate_in]
        ).shared(at_once)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def check_credential(self) -> None:
        """Ask for a token; raises SourceError if none is given."""
        try:
            self._credential.get_token_info(f"{self._service.cloud.query}/.default")
        except TokenUnavailable as error:
            raise SourceError(error.message) from error

    def source(self, workspace_id: str) -> WorkspaceSource:
        """Return the source that reads a workspace."""
        return WorkspaceSource(
            client=self._query,
            workspace_id=workspace_id,
            alias=self._service.watchlist_alias,
            exclusions_alias=self._service.exclusions_alias,
            rule=self._settings.rule,
            limits=self._limits,
        )

    def sink(self) -> IngestionSink:
        """Return the sink that delivers findings and run records; its settings must be there."""
        service = self._service
        client = LogsIngestionClient(
            service.ingestion_endpoint,
            self._credential,
            credential_scopes=[f"{service.cloud.ingestion}/.default"],
        )
        return IngestionSink(
            self._closing.enter_context(client),
            rule_id=service.ingestion_rule_id,
            findings_stream=service.findings_stream,
            runs_stream=service.runs_stream,
        )

    @cached_property
    def container(self) -> ContainerClient:
        """What states rest in; its settings must be there."""
        service = self._service
        emulated = service.state_account_url.endswith(EMULATOR)
        client: ContainerClient = ContainerClient(
            service.state_account_url,
            service.state_container,
            credential=EMULATOR_KEY if emulated else self._credential,
            **CLIENT_OPTIONS,
        )
        return self._closing.enter_context(client)

    def store(self, workspace_id: str) -> BlobStore:
        """Return the store that remembers a workspace's state; its settings must be there."""
        return BlobStore(container=self.container, workspace_id=workspace_id)

    def least_recent_first(self) -> list[str]:
        """Return the workspaces, the one first whose last turn is longest ago."""
        return least_recently_written(self.container, self._service.workspace_ids)

    def connector(self) -> Callable[[str], Connections]:
        """Return a function from a workspace's id to its parts.

        Where the settings to write or to remember are absent, nothing is written or remembered.
        """
        service = self._service
        writes = bool(service.ingestion_endpoint) and not service.dry_run
        sink: FindingSink = self.sink() if writes else NullSink()

        def connect(workspace_id: str) -> Connections:
            store: StateStore = (
                self.store(workspace_id) if service.state_account_url else ReadOnlyStore()
            )
            return Connections(
                self.source(workspace_id), sink, ReadOnlyStore(store) if service.dry_run else store
            )

        return connect
