"""The environment of a process that uses stand-ins as if they were Azure.

Environment variables alone do it: `REQUESTS_CA_BUNDLE` for the certificates, `IDENTITY_ENDPOINT`
and `IDENTITY_HEADER` for tokens.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from azure.storage.blob import ContainerClient

from emulator.services.identity import IdentityEndpoint
from emulator.services.ingestion import RULE_ID
from emulator.services.tls import Authority
from tests.support.services.ingestion import IngestionService
from tests.support.services.log_analytics import WORKSPACE, LogAnalyticsService


@contextlib.contextmanager
def stand_in_environment(
    folder: Path, logs: LogAnalyticsService, ingestion: IngestionService, container: ContainerClient
) -> Iterator[dict[str, str]]:
    """Yield the environment of a process that uses the stand-ins; certificates go to `folder`."""
    authority = Authority(folder)
    with (
        IdentityEndpoint() as identity,
        authority.in_front_of(logs.endpoint) as query_endpoint,
        authority.in_front_of(ingestion.endpoint) as ingestion_endpoint,
    ):
        yield {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            **identity.environment,
            "REQUESTS_CA_BUNDLE": str(authority.bundle),
            "WORKSPACE_IDS": WORKSPACE,
            "LOGS_QUERY_ENDPOINT": query_endpoint,
            "LOGS_INGESTION_ENDPOINT": ingestion_endpoint,
            "LOGS_INGESTION_RULE_ID": RULE_ID,
            "STATE_ACCOUNT_URL": container.url.removesuffix(f"/{container.container_name}"),
            "STATE_CONTAINER": container.container_name,
        }
