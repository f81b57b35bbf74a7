"""Servers that tests talk to, started on this machine for as long as they are needed."""

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

# The account of every storage emulator, published with it: there is nothing here to keep secret.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

# What clients are made with: as the product does, but without waiting between attempts.
AT_ONCE = CLIENT_OPTIONS | {"initial_backoff": 0, "increment_base": 0, "random_jitter_range": 0}


@dataclass(frozen=True)
class Azurite:
    """A storage emulator that runs."""

    url: str  # of the account

    @property
    def connection_string(self) -> str:
        """What a setting would hold."""
        return (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
            f"BlobEndpoint={self.url};"
        )


def installed(folder: Path) -> Path:
    """Return the folder of the npm packages that `folder` pins, installed if need be.

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
    """Run an emulator that holds nothing yet and forgets everything at the end.

    It takes clients of `any_version` of the service, or of those that it knows.

    Skips the test if it has to be installed and cannot be fetched; in CI that is a failure.
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
    """The way to a server, closed as a whole.

    The SDK drops some answers unread: those it tries again after, and those about an empty blob.
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
    """Makes containers in an emulator, and clients for them that are closed at the end."""

    def __init__(self, server: Azurite, closing: contextlib.ExitStack) -> None:
        self.server = server
        self._closing = closing

    def new(self, **options: Any) -> ContainerClient:
        """Return a client for a new container; `options` go over AT_ONCE."""
        name = f"test-{uuid.uuid4().hex}"
        client = self.client(name, **options)
        client.create_container()
        return client

    def client(self, name: str, **options: Any) -> ContainerClient:
        """Return a client of its own for a container that may or may not be there."""
        client: ContainerClient = ContainerClient.from_connection_string(
            self.server.connection_string, name, **({"transport": Line()} | AT_ONCE | options)
        )
        return self._closing.enter_context(client)


def _listens(process: subprocess.Popen[bytes], said: Path) -> str:
    """Wait until the server tells its address, which it does when it can be asked."""
    until = time.monotonic() + 300
    while time.monotonic() < until and process.poll() is None:
        if match := LISTENS.search(said.read_text("utf-8", "replace")):
            return match.group(1)
        time.sleep(0.02)
    raise RuntimeError(f"Azurite did not start: {said.read_text('utf-8', 'replace')[-2000:]}")
