"""The environment of a process that uses stand-ins as if they were Azure."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from azure.storage.blob import ContainerClient

from emulator.services.azure import settings_of
from tests.support.services.ingestion import IngestionService
from tests.support.services.log_analytics import WORKSPACE, LogAnalyticsService


@contextlib.contextmanager
def stand_in_environment(
    folder: Path, logs: LogAnalyticsService, ingestion: IngestionService, container: ContainerClient
) -> Iterator[dict[str, str]]:
    """Yield the environment of a process that uses the stand-ins; certificates go to `folder`."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with settings_of(folder, logs.endpoint, ingestion.endpoint, container) as settings:
        yield {**kept, **settings, "WORKSPACE_IDS": WORKSPACE}
