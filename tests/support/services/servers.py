"""Servers for tests, started on this machine when a test needs them."""

import contextlib
import uuid
from pathlib import Path
from typing import Any

import pytest
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import ContainerClient

from detection.state.blob import CLIENT_OPTIONS
from emulator.services.azurite import Azurite
from scripts.node import NotInstalled, node_modules
from tests.support.effort import IN_CI

# Client options of the product, without waits between attempts.
AT_ONCE = CLIENT_OPTIONS | {"initial_backoff": 0, "increment_base": 0, "random_jitter_range": 0}


def installed(folder: Path) -> Path:
    """Return the folder of the npm packages that `folder` pins, and install them if necessary.

    Skips the test if the registry is out of reach, unless this is CI; any other failure of npm is
    a failure of the test.
    """
    try:
        return node_modules(folder)
    except NotInstalled as error:
        if error.unreachable and not IN_CI:
            pytest.skip(f"the npm registry cannot be reached, so {folder.name} is not installed")
        pytest.fail(str(error), pytrace=False)


class Line(RequestsTransport):  # type: ignore[misc]
    """A transport to a server that closes all of its connections at the end.

    The SDK leaves some answers unread: those that it retries, and those about an empty blob.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._answers: list[Any] = []

    def send(self, request: Any, **options: Any) -> Any:
        """Send a request and return the answer."""
        answer = super().send(request, **options)
        self._answers.append(answer)
        return answer

    def close(self) -> None:
        """Close every connection, in use or not."""
        for answer in self._answers:
            answer.close()
        super().close()


class Containers:
    """Creates containers in an emulator, and clients that are closed at the end."""

    def __init__(self, server: Azurite, closing: contextlib.ExitStack) -> None:
        self.server = server
        self._closing = closing

    def new(self, **options: Any) -> ContainerClient:
        """Return a client for a new container; `options` override AT_ONCE."""
        name = f"test-{uuid.uuid4().hex}"
        client = self.client(name, **options)
        client.create_container()
        return client

    def client(self, name: str, **options: Any) -> ContainerClient:
        """Return a new client for a container that need not exist."""
        client: ContainerClient = ContainerClient.from_connection_string(
            self.server.connection_string, name, **({"transport": Line()} | AT_ONCE | options)
        )
        return self._closing.enter_context(client)
