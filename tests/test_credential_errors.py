"""Errors about a missing token, from the real credential and its tools and endpoints."""

import base64
import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError

from detection.credential_errors import TokenUnavailable, credential_attempts, explain_token_failure
from tests.support import ROOT, run_cli

WORKSPACE = "00000000-0000-0000-0000-000000000001"
SCOPE = "https://api.loganalytics.io/.default"
TOKEN = "eyJhbGciOiJub25lIn0.c3RhbmQtaW4.c2VjcmV0"  # noqa: S105 - belongs to nobody
# The output of az after a sign-in has expired.
EXPIRED = f"""\
ERROR: AADSTS700082: The refresh token has expired due to inactivity. The token was issued on \
2026-01-01T00:00:00.0000000Z and was inactive for 90.00:00:00. Trace ID: 1 Correlation ID: 2 \
Timestamp: 2026-03-14 10:00:00Z
Interactive authentication is needed. Please run:
az login --scope {SCOPE}
"""
ASK = """\
import sys
from detection.azure_clients import Credential
from detection.credential_errors import TokenUnavailable
try:
    Credential().get_token_info(sys.argv[1], options={"claims": sys.argv[2]} if sys.argv[2] else {})
except TokenUnavailable as error:
    assert error.status_code is None
    print(error.message)
"""
SERVICE_PRINCIPAL = {
    "AZURE_TENANT_ID": "6f1b0a5c-0000-4000-8000-00000000000a",
    "AZURE_CLIENT_ID": "6f1b0a5c-0000-4000-8000-00000000000b",
    "AZURE_CLIENT_SECRET": "ring-of-the-nibelung",
}


def az(folder: Path, said: str, status: int = 1) -> dict[str, str]:
    """Put an az that prints this and fails into a folder; return the environment with it."""
    (folder / "said").write_text(said, "utf-8")
    tool = folder / "az"
    stream = 2 if status else 1
    tool.write_text(f"#!/bin/sh\n/bin/cat {folder}/said >&{stream}\nexit {status}\n", "utf-8")
    tool.chmod(0o755)
    return {"PATH": str(folder)}


@contextmanager
def identity_that_refuses(status: int) -> Iterator[dict[str, str]]:
    """Answer like App Service without an assigned identity; yield the environment."""

    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"statusCode": status, "message": "No such identity here."}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.005,))
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_address[1]}/msi/token"
            yield {"IDENTITY_ENDPOINT": address, "IDENTITY_HEADER": "h"}
        finally:
            server.shutdown()
            thread.join()


def token_error(environment: dict[str, str], claims: str = "") -> str:
    """Run the product's credential in a process of its own; return the error."""
    done = subprocess.run(
        [sys.executable, "-c", ASK, SCOPE, claims],
        cwd=ROOT,
        env={"PATH": "/nowhere", "HOME": "/nowhere"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith("no token was obtained")
    return line


def test_the_message_of_an_available_tool_is_quoted_whole(tmp_path: Path) -> None:
    """The error quotes az's message about an expired sign-in with its command, and nothing else."""
    said = " ".join(EXPIRED.split())
    assert (
        token_error(az(tmp_path, EXPIRED)) == f"no token was obtained: AzureCliCredential: {said}"
    )


def test_the_advice_of_an_unused_tool_is_quoted(tmp_path: Path) -> None:
    """If az was never used, its own advice is quoted once."""
    line = token_error(az(tmp_path, "ERROR: Please run 'az login' to setup account."))
    assert "AzureCliCredential: Please run 'az login' to set up an account" in line
    assert line.count("az login") == 1


def test_a_command_is_never_shortened(tmp_path: Path) -> None:
    """The command that answers a claims challenge is whole, however long the claims are."""
    claims = json.dumps({"access_token": {"acrs": {"value": "c1" * 400}}})
    encoded = base64.b64encode(claims.encode()).decode()
    line = token_error(az(tmp_path, EXPIRED), claims)
    assert line.endswith(f"az login --claims-challenge {encoded} --scope {SCOPE}")


def test_a_token_in_a_tool_s_output_is_not_repeated(tmp_path: Path) -> None:
    """Output of az that the client cannot parse is quoted without the token in it."""
    line = token_error(
        az(tmp_path, json.dumps({"accessToken": TOKEN}, separators=(",", ":")), status=0)
    )
    assert "Unexpected output from Azure CLI" in line
    assert TOKEN not in line
    assert "(a token)" in line


@pytest.mark.parametrize("status", [400, 403])
def test_with_an_identity_endpoint_the_managed_identity_is_named(
    tmp_path: Path, status: int
) -> None:
    """In an app the identity's refusal is reported, even if a tool is installed."""
    with identity_that_refuses(status) as environment:
        line = token_error(environment | az(tmp_path, EXPIRED))
    assert "ManagedIdentityCredential: " in line
    assert "No such identity here. Check that the app has this identity" in line
    assert "az login" not in line


def test_with_a_service_principal_it_is_named() -> None:
    """Its failure is reported without its secret, with the settings to check."""
    line = token_error(SERVICE_PRINCIPAL | {"HTTPS_PROXY": "http://127.0.0.1:9"})
    assert "EnvironmentCredential: " in line
    assert "Check AZURE_TENANT_ID, AZURE_CLIENT_ID and its secret or certificate" in line
    assert SERVICE_PRINCIPAL["AZURE_CLIENT_SECRET"] not in line


def test_without_any_credential_one_remedy_is_named() -> None:
    """Without tool, identity or secret, the error does not list all that is missing."""
    assert token_error({}) == (
        "no token was obtained, because no credential is available: sign in with `az login`, or "
        "give the app a managed identity"
    )


def test_the_error_is_said_once_and_verbose_has_every_attempt(tmp_path: Path) -> None:
    """The credential's check quotes the tool, the parts after it are not tried without a token."""
    settings = az(tmp_path, EXPIRED) | {
        "WORKSPACE_IDS": WORKSPACE,
        "LOGS_INGESTION_ENDPOINT": "https://127.0.0.1:9",
        "LOGS_INGESTION_RULE_ID": "dcr-" + "0" * 32,
    }
    done = run_cli("check", "--verbose", settings=settings)
    failed = [line for line in done.stdout.splitlines() if line.startswith("failed")]
    message_part = f"AzureCliCredential: {' '.join(EXPIRED.split())}"
    (credential, *others) = failed
    assert "credential" in credential
    assert credential.endswith(message_part)
    assert [each.split()[1].removesuffix(":") for each in others] == [WORKSPACE, "ingestion"]
    assert all(each.endswith("not tried, because there is no token") for each in others)
    tried = [line.split(":")[0].strip() for line in done.stderr.splitlines()]
    assert tried.count("AzureCliCredential") == tried.count("EnvironmentCredential") == 1


CHAIN = """\
DefaultAzureCredential failed to retrieve a token from the included credentials.
Attempted credentials:
\tEnvironmentCredential: EnvironmentCredential authentication unavailable. Environment variables \
are not fully configured.
Visit https://aka.ms/x to troubleshoot this issue.
\tManagedIdentityCredential: {identity}
\tAzureCliCredential: {az}
\tAzurePowerShellCredential: PowerShell is not installed
To mitigate this issue, please refer to the troubleshooting guidelines here at https://aka.ms/y."""
NO_IDENTITY = "ManagedIdentityCredential authentication unavailable. No identity has been assigned \
to this resource. Error: identity not found"
NO_ENDPOINT = (
    "ManagedIdentityCredential authentication unavailable, no response from the IMDS endpoint."
)
DOCKER = "ManagedIdentityCredential authentication unavailable. Error: unreachable network"


@pytest.mark.parametrize(
    ("identity", "tool", "message_part"),
    [
        (NO_ENDPOINT, "Azure CLI not found on path", "no credential is available"),
        (NO_ENDPOINT, "ERROR: AADSTS50076: MFA", "AzureCliCredential: ERROR: AADSTS50076"),
        (DOCKER, "ERROR: AADSTS50076: MFA", "AzureCliCredential: ERROR: AADSTS50076"),
        (NO_IDENTITY, "ERROR: AADSTS50076: MFA", "AzureCliCredential: ERROR: AADSTS50076"),
        (NO_IDENTITY, "Azure CLI not found on path", "No identity has been assigned"),
        (
            NO_IDENTITY,
            "Please run 'az login' to set up an account",
            "No identity has been assigned",
        ),
        (NO_ENDPOINT, "ERROR: AADSTS500011: The resource principal", "Check that AZURE_CLOUD"),
    ],
)
def test_the_most_likely_credential_is_reported(
    identity: str, tool: str, message_part: str
) -> None:
    """A credential that was configured comes before one that was never used or does not exist."""
    error = ClientAuthenticationError(CHAIN.format(identity=identity, az=tool))
    assert message_part in explain_token_failure(error, {})
    assert "troubleshooting guidelines" not in explain_token_failure(error, {})


def test_the_message_of_a_single_credential_is_unchanged() -> None:
    """After a credential gave a token it is used alone, and its error is no list."""
    error = ServiceRequestError("The identity\nis \x1b[2J gone.")
    assert explain_token_failure(error, {}).startswith(
        "no token was obtained: The identity is \ufffd[2J gone. Check"
    )
    assert explain_token_failure(TokenUnavailable("said before"), {}) == "said before"
    assert list(credential_attempts("nothing of the kind")) == []
