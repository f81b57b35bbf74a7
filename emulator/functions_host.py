"""Runs the app in the Azure Functions host (`func`), with Azurite as storage.

Settings come from local.settings.json, which is copied from the sample if it does not exist.
Azurite's data stays in .azurite/.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import ContainerClient

from detection.azure_clients import EMULATOR, EMULATOR_KEY
from emulator.services.azurite import PINNED
from scripts.node import NODE, node_modules

ROOT = Path(__file__).parent.parent
SETTINGS = Path("local.settings.json")
NO_FUNC = """\
error: the Azure Functions Core Tools (func) are not installed; they contain the host.
  Install version 4: https://learn.microsoft.com/azure/azure-functions/functions-run-local
  (npm install -g azure-functions-core-tools@4, or brew, winget, apt), then run `make start` again.
  Without them: `make start ARGS=--azurite` runs Azurite alone, for `python -m detection run`.
"""


def run_in_host(*, only_azurite: bool) -> int:
    """Start Azurite, and the host unless `only_azurite`; wait, and return the exit status.

    Raises NotInstalled, RuntimeError or AzureError if Azurite cannot be used.
    """
    values = _settings()
    func = shutil.which("func")
    if func is None and not only_azurite:
        sys.stderr.write(NO_FUNC)
        return 1
    url = values.get("STATE_ACCOUNT_URL", "")
    if not url.rstrip("/").endswith(EMULATOR):
        _print(f"{SETTINGS}: STATE_ACCOUNT_URL is not Azurite's, so Azurite is not started")
        return _run_host([str(func), "start"]) if func and not only_azurite else 2
    with _azurite(url):
        _create_container(url, values.get("STATE_CONTAINER", ""))
        _print(f"Azurite listens on {url}")
        return _run_host([str(func), "start"]) if func and not only_azurite else _sleep()


def _settings() -> dict[str, str]:
    """Return the settings; copy them from the sample if there are none yet."""
    if not SETTINGS.exists():
        shutil.copy(ROOT / "local.settings.sample.json", SETTINGS)
        _print(f"{SETTINGS} was copied from the sample: enter your workspace and endpoints there")
    values: dict[str, str] = json.loads(SETTINGS.read_bytes())["Values"]
    return values


@contextlib.contextmanager
def _azurite(url: str) -> Iterator[None]:
    """Run Azurite with its blobs at `url`, unless the port is in use already."""
    port = urlsplit(url).port or 10000
    if _listens(port):
        _print(f"Port {port} is in use already: assuming that Azurite listens there")
        yield
        return
    _print("Starting Azurite; the first start installs it")
    main = node_modules(PINNED) / "azurite" / "dist" / "src" / "azurite.js"
    ports = [("blob", port), ("queue", port + 1), ("table", port + 2)]
    options = [part for kind, n in ports for part in (f"--{kind}Port", str(n))]
    quiet = ["--silent", "--skipApiVersionCheck", "--disableTelemetry", "--location", ".azurite"]
    with subprocess.Popen(
        [NODE, main, *options, *quiet], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as process:
        try:
            until = time.monotonic() + 300
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(
                        f"Azurite did not start on ports {port} to {port + 2}: check that they are "
                        "free, or set another port in STATE_ACCOUNT_URL"
                    )
                time.sleep(0.1)
            yield
        finally:
            process.terminate()


def _create_container(url: str, name: str) -> None:
    with (
        contextlib.suppress(ResourceExistsError),
        ContainerClient(url, name, credential=EMULATOR_KEY) as container,
    ):
        container.create_container()


def _run_host(command: list[str]) -> int:
    """Run the Functions host with this environment's Python until it ends."""
    scripts = Path(sys.executable).parent
    path = os.pathsep.join([str(scripts), os.environ.get("PATH", os.defpath)])
    environment = os.environ | {"VIRTUAL_ENV": str(scripts.parent), "PATH": path}
    with subprocess.Popen(command, env=environment) as process:
        while True:
            # Ctrl-C reaches the host too: wait until it has ended.
            with contextlib.suppress(KeyboardInterrupt):
                return process.wait()


def _sleep() -> int:
    while True:
        time.sleep(3600)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _print(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
