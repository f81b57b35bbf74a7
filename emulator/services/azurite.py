"""Azurite, the emulator of Azure Storage, on a free port of the loopback interface."""

import contextlib
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from detection.azure_clients import EMULATOR, EMULATOR_KEY
from scripts.node import NODE, node_modules

PINNED: Final = Path(__file__).parents[2] / "tests" / "support" / "node" / "azurite"
_LISTENS: Final = re.compile(r"listens on (http://[0-9.]+:[0-9]+)\s")


@dataclass(frozen=True)
class Azurite:
    """A running storage emulator."""

    url: str  # of the account

    @property
    def connection_string(self) -> str:
        """Return the connection string of the emulator's account."""
        return (
            f"DefaultEndpointsProtocol=http;AccountName={EMULATOR[1:]};AccountKey={EMULATOR_KEY};"
            f"BlobEndpoint={self.url};"
        )


@contextlib.contextmanager
def azurite(*, any_version: bool = True) -> Iterator[Azurite]:
    """Run an emulator that starts empty and is deleted at the end.

    With `any_version` it accepts clients of any service version, else only those that it knows.

    Raises NotInstalled if it cannot be downloaded, and RuntimeError if it does not start.
    """
    main = node_modules(PINNED) / "azurite" / "dist" / "src" / "blob" / "main.js"
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
                yield Azurite(f"{_listens(process, said)}{EMULATOR}")
            finally:
                process.kill()


def _listens(process: subprocess.Popen[bytes], said: Path) -> str:
    """Wait until the server prints its address, which means that it is ready."""
    until = time.monotonic() + 300
    while time.monotonic() < until and process.poll() is None:
        if match := _LISTENS.search(said.read_text("utf-8", "replace")):
            return match.group(1)
        time.sleep(0.02)
    raise RuntimeError(f"Azurite did not start: {said.read_text('utf-8', 'replace')[-2000:]}")
