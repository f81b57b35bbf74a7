"""Each cloud has its own addresses, and gives its own tokens for its own services."""

import socketserver
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from azure.core.exceptions import ServiceRequestError
from azure.identity import AzureAuthorityHosts
from azure.storage.blob import ContainerClient

from detection.clouds import CLOUDS, cloud_of
from tests.support import ROOT, run_cli
from tests.support.services.client import FakeCredential
from tests.support.services.servers import AT_ONCE

# What the clients must ask tokens for, and the addresses of the services.
AUDIENCES = {
    "AzureCloud": {"https://api.loganalytics.io", "https://monitor.azure.com"},
    "AzureUSGovernment": {"https://api.loganalytics.us", "https://monitor.azure.us"},
    "AzureChinaCloud": {"https://api.loganalytics.azure.cn", "https://monitor.azure.cn"},
}
AUTHORITIES = {
    "AzureCloud": AzureAuthorityHosts.AZURE_PUBLIC_CLOUD,
    "AzureUSGovernment": AzureAuthorityHosts.AZURE_GOVERNMENT,
    "AzureChinaCloud": AzureAuthorityHosts.AZURE_CHINA,
}
SETTINGS = {
    "WORKSPACE_IDS": "00000000-0000-0000-0000-000000000001",
    "LOGS_INGESTION_ENDPOINT": "https://ingestion.invalid",
    "LOGS_INGESTION_RULE_ID": "dcr-" + "0" * 32,
}
SIGN_IN = """\
import os
from detection.azure_clients import AzureClients
from detection.errors import SourceError
from detection.settings import read_settings
settings = read_settings(os.environ, complete=False)
with AzureClients(settings.deployment) as azure:
    try:
        azure.check_credential()
    except SourceError as error:
        print(error)
"""


@pytest.mark.parametrize(
    ("cloud", "endpoint"), [*dict.fromkeys(CLOUDS, "").items(), ("AzureCloud", "https://a.invalid")]
)
def test_tokens_are_asked_for_the_services_of_the_cloud(
    tmp_path: Path, cloud: str, endpoint: str
) -> None:
    """Query and ingestion each ask for their own, wherever the query's address leads."""
    tool = tmp_path / "az"
    tool.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\necho no >&2\nexit 1\n', "utf-8")
    tool.chmod(0o755)
    chosen = {"AZURE_CLOUD": cloud, "LOGS_QUERY_ENDPOINT": endpoint, "PATH": str(tmp_path)}
    chosen["AZURE_TOKEN_CREDENTIALS"] = "AzureCliCredential"  # noqa: S105 - what else there is takes seconds
    assert run_cli("check", settings=SETTINGS | chosen).returncode == 1
    asked = (tmp_path / "asked").read_text("utf-8").split()
    resources = {asked[at + 1] for at, word in enumerate(asked) if word == "--resource"}
    assert resources == AUDIENCES[cloud]


def test_storage_takes_one_audience_in_every_cloud() -> None:
    """The client of the state asks for storage in general, whatever the account's domain."""
    credential = FakeCredential()
    url = "https://127.0.0.1:9"
    with (
        ContainerClient(url, "c", credential=credential, **AT_ONCE) as container,
        pytest.raises(ServiceRequestError),
    ):
        container.get_container_properties()
    assert set(credential.scopes) == {"https://storage.azure.com/.default"}


@pytest.mark.parametrize("cloud", CLOUDS)
def test_tokens_are_asked_of_the_authority_of_the_cloud(cloud: str) -> None:
    """A service principal signs in where its cloud is."""
    hosts = []

    class Proxy(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            """Take note of the host that is asked for, and refuse."""
            hosts.append(self.rfile.readline().decode().split()[1])
            self.wfile.write(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            done = subprocess.run(
                [sys.executable, "-c", SIGN_IN],
                cwd=ROOT,
                env=SETTINGS
                | {
                    "AZURE_CLOUD": cloud,
                    "AZURE_TENANT_ID": "6f1b0a5c-0000-4000-8000-00000000000a",
                    "AZURE_CLIENT_ID": "6f1b0a5c-0000-4000-8000-00000000000b",
                    "AZURE_CLIENT_SECRET": "ring-of-the-nibelung",
                    "HTTPS_PROXY": f"http://127.0.0.1:{server.server_address[1]}",
                },
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        finally:
            server.shutdown()
            thread.join()
    assert "EnvironmentCredential" in done.stdout, done.stderr
    assert set(hosts) == {f"{AUTHORITIES[cloud]}:443"}


@pytest.mark.parametrize(
    ("address", "cloud"),
    [
        ("https://a.westeurope-1.ingest.monitor.azure.com/", "AzureCloud"),
        ("https://api.loganalytics.azure.com", "AzureCloud"),
        ("https://a.blob.core.windows.net", "AzureCloud"),
        ("login.microsoftonline.us", "AzureUSGovernment"),
        ("https://A.Blob.Core.UsGovCloudApi.Net", "AzureUSGovernment"),
        ("https://login.partner.microsoftonline.cn/", "AzureChinaCloud"),
        ("https://a.ingest.monitor.azure.cn", "AzureChinaCloud"),
        ("http://127.0.0.1:10000/devstoreaccount1", ""),
        ("https://notazure.us", ""),
        ("https://monitor.azure.us.example", ""),
        ("https://[", ""),
        ("", ""),
    ],
)
def test_an_address_tells_its_cloud(address: str, cloud: str) -> None:
    """By the end of its host, and never by a name that only looks like it."""
    assert cloud_of(address) == cloud
