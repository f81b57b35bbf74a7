"""Servers for tests, started on this machine when a test needs them."""

import contextlib
import re
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import ContainerClient

from detection.state.blob import CLIENT_OPTIONS
from scripts.node import NODE, NotInstalled, node_modules
from tests.support.effort import IN_CI

PINNED = Path(__file__).parents[1] / "node" / "azurite"
LISTENS = re.compile(r"listens on (http://[0-9.]+:[0-9]+)\s")

# The published account of every storage emulator, which is no secret.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

# Client options of the product, without waits between attempts.
AT_ONCE = CLIENT_OPTIONS | {"initial_backoff": 0, "increment_base": 0, "random_jitter_range": 0}


@dataclass(frozen=True)
class Azurite:
    """A running storage emulator."""

    url: str  # of the account

    @property
    def connection_string(self) -> str:
        """Return the connection string of the emulator's account."""
        return (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
            f"BlobEndpoint={self.url};"
        )


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


@contextlib.contextmanager
def azurite(*, any_version: bool = True) -> Iterator[Azurite]:
    """Run an emulator that starts empty and is deleted at the end.

    With `any_version` it accepts clients of any service version, else only those that it knows.

    Skips the test if the emulator cannot be downloaded; in CI that is a failure.
    """
    main = installed(PINNED) / "azurite" / "dist" / "src" / "blob" / "main.js"
    quiet = ["--inMemoryPersistence", "--silent", "--disableTelemetry"]
    quiet += ["--skipApiVersionCheck"] if any_version else []
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder, "said")
        with (
            said.open("wb") as out,
            subprocess.Popen(
                [NODE, main, *quiet, "--blobHost", "127.0.0.1", "--blobPort", "0"],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            ) as process,
        ):
            try:
                yield Azurite(f"{_listens(process, said)}/{ACCOUNT}")
            finally:
                process.kill()


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


def _listens(process: subprocess.Popen[bytes], said: Path) -> str:
    """Wait until the server prints its address, which means that it is ready."""
    until = time.monotonic() + 300
    while time.monotonic() < until and process.poll() is None:
        if match := LISTENS.search(said.read_text("utf-8", "replace")):
            return match.group(1)
        time.sleep(0.02)
    raise RuntimeError(f"Azurite did not start: {said.read_text('utf-8', 'replace')[-2000:]}")
