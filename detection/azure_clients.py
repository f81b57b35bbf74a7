"""Builds the Azure clients from the settings, and from them the source, sink and state store."""

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
from detection.settings import DeploymentSettings
from detection.sinks import FindingSink, NullSink
from detection.sinks.ingestion import IngestionSink
from detection.sources.log_analytics.client import MAX_ROWS_IN_PROCESS, Limits
from detection.sources.log_analytics.free_query import QueryResult, run_free_query
from detection.sources.workspace.source import WorkspaceSource
from detection.state import ReadOnlyStore, StateStore
from detection.state.blob import CLIENT_OPTIONS, BlobStore, least_recently_written

# The account key of every storage emulator, published with it.
EMULATOR = "/devstoreaccount1"
EMULATOR_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

# The most rows of a window that this process correlates, by CORRELATE_IN.
_ROWS_IN_PROCESS = {"auto": MAX_ROWS_IN_PROCESS, "python": inf, "workspace": -1}


class Credential(DefaultAzureCredential):
    """A DefaultAzureCredential whose error is one line, without the HTTP status of a service."""

    def get_token_info(
        self, *scopes: str, options: TokenRequestOptions | None = None
    ) -> AccessTokenInfo:
        """Return a token; raises TokenUnavailable."""
        try:
            return super().get_token_info(*scopes, options=options)
        except AzureError as error:
            raise TokenUnavailable(explain_token_failure(error)) from error


class AzureClients:
    """The clients for one deployment; constructing them sends no request.

    All workspaces and threads share the clients and one credential: a managed identity in Azure,
    elsewhere the credential of the environment or of a signed-in tool. The end of the `with` block
    closes the clients.
    """

    def __init__(self, settings: DeploymentSettings, *, deadline: float = inf) -> None:
        """`deadline`: the time (time.monotonic, seconds) after which no workspace is queried.

        Workspaces that are read at the same time share the limits of queries and memory.
        """
        at_once = min(CONCURRENT_WORKSPACES, len(settings.workspace_ids))
        # Keeps the warnings of the SDK off stderr: the error that is raised is shorter.
        logging.getLogger("azure").addHandler(logging.NullHandler())
        for name in ("azure.core", "azure.identity"):  # they log each request, headers and all
            logging.getLogger(name).setLevel(logging.WARNING)
        self._settings = settings
        self._closing = ExitStack()
        self._credential = self._closing.enter_context(
            Credential(authority=settings.cloud.authority)
        )
        self._query = self._closing.enter_context(
            LogsQueryClient(
                self._credential, endpoint=settings.query_endpoint, audience=settings.cloud.query
            )
        )
        self._limits = Limits(
            deadline=deadline, rows_in_process=_ROWS_IN_PROCESS[settings.correlate_in]
        ).shared(at_once)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def check_credential(self) -> None:
        """Request a token for each service in use; raises SourceError if one is not given."""
        cloud, problem = self._settings.cloud, None
        for audience in (
            cloud.query,
            *([cloud.ingestion] if self._settings.ingestion_endpoint else []),
        ):
            try:
                self._credential.get_token_info(f"{audience}/.default")
            except TokenUnavailable as error:
                problem = problem or error
        if problem is not None:
            raise SourceError(problem.message) from problem

    def source(self, workspace_id: str) -> WorkspaceSource:
        """Return the source that reads a workspace."""
        source = WorkspaceSource(
            client=self._query,
            workspace_id=workspace_id,
            alias=self._settings.watchlist_alias,
            exclusions_alias=self._settings.exclusions_alias,
            limits=self._limits,
        )
        source.context.portal = self._settings.cloud.portal
        return source

    def query(self, workspace_id: str, text: str) -> QueryResult:
        """Run a query that a person wrote on a workspace; raises SourceError."""
        return run_free_query(self._query, workspace_id, text)

    def sink(self) -> IngestionSink:
        """Return the sink for ingestion; its settings must be set."""
        settings = self._settings
        client = LogsIngestionClient(
            settings.ingestion_endpoint,
            self._credential,
            credential_scopes=[f"{settings.cloud.ingestion}/.default"],
        )
        return IngestionSink(
            self._closing.enter_context(client),
            rule_id=settings.ingestion_rule_id,
            findings_stream=settings.findings_stream,
            runs_stream=settings.runs_stream,
        )

    @cached_property
    def container(self) -> ContainerClient:
        """The client of the container with the states; its settings must be set."""
        settings = self._settings
        emulated = settings.state_account_url.endswith(EMULATOR)
        client: ContainerClient = ContainerClient(
            settings.state_account_url,
            settings.state_container,
            credential=EMULATOR_KEY if emulated else self._credential,
            **CLIENT_OPTIONS,
        )
        return self._closing.enter_context(client)

    def store(self, workspace_id: str) -> BlobStore:
        """Return the store of a workspace's state; its settings must be set."""
        return BlobStore(container=self.container, workspace_id=workspace_id)

    def least_recent_first(self) -> list[str]:
        """Return the workspaces, least recently examined first."""
        return least_recently_written(self.container, self._settings.workspace_ids)

    def connector(self) -> Callable[[str], Connections]:
        """Return a function that connects the workspace with an id.

        Without the settings for ingestion no row is sent; without those for the state no state is
        saved.
        """
        settings = self._settings
        writes = bool(settings.ingestion_endpoint) and not settings.dry_run
        sink: FindingSink = self.sink() if writes else NullSink()

        def connect(workspace_id: str) -> Connections:
            store: StateStore = (
                self.store(workspace_id) if settings.state_account_url else ReadOnlyStore()
            )
            return Connections(
                self.source(workspace_id), sink, ReadOnlyStore(store) if settings.dry_run else store
            )

        return connect
