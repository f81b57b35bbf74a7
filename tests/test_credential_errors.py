"""Why no token is given: the real credential, and the tools and endpoints that it asks."""

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
from tests.support import OPERATIONS, ROOT, SIGN_INS, run_cli

WORKSPACE = "00000000-0000-0000-0000-000000000001"
SCOPE = "https://api.loganalytics.io/.default"
TOKEN = "eyJhbGciOiJub25lIn0.c3RhbmQtaW4.c2VjcmV0"  # noqa: S105 - of nobody
# What az prints where a sign-in is too old.
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
    """Put an az that says this and fails into a folder; return the environment with it."""
    (folder / "said").write_text(said, "utf-8")
    tool = folder / "az"
    stream = 2 if status else 1
    tool.write_text(f"#!/bin/sh\n/bin/cat {folder}/said >&{stream}\nexit {status}\n", "utf-8")
    tool.chmod(0o755)
    return {"PATH": str(folder)}


@contextmanager
def identity_that_refuses(status: int) -> Iterator[dict[str, str]]:
    """Answer as App Service does where the identity is not assigned; yields the environment."""

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


def asked(environment: dict[str, str], claims: str = "") -> str:
    """Ask the product's credential in a process of its own; return why it gives no token."""
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


def test_the_tool_that_is_there_is_quoted_whole(tmp_path: Path) -> None:
    """An expired sign-in of az is told with its code and the command to run, and nothing else."""
    said = " ".join(EXPIRED.split())
    assert asked(az(tmp_path, EXPIRED)) == f"no token was obtained: AzureCliCredential: {said}"


def test_a_tool_that_was_never_signed_in_says_so(tmp_path: Path) -> None:
    """Where az was never used, its own advice is told once."""
    line = asked(az(tmp_path, "ERROR: Please run 'az login' to setup account."))
    assert "AzureCliCredential: Please run 'az login' to set up an account" in line
    assert line.count("az login") == 1


def test_a_command_is_never_cut(tmp_path: Path) -> None:
    """However long the claims of a challenge, the command that answers it is there to its end."""
    claims = json.dumps({"access_token": {"acrs": {"value": "c1" * 400}}})
    encoded = base64.b64encode(claims.encode()).decode()
    line = asked(az(tmp_path, EXPIRED), claims)
    assert line.endswith(f"az login --claims-challenge {encoded} --scope {SCOPE}")


def test_a_token_that_a_tool_prints_is_not_repeated(tmp_path: Path) -> None:
    """An answer of az that the client cannot read is quoted, but for the token in it."""
    line = asked(az(tmp_path, json.dumps({"accessToken": TOKEN}, separators=(",", ":")), status=0))
    assert "Unexpected output from Azure CLI" in line
    assert TOKEN not in line
    assert "(a token)" in line


@pytest.mark.parametrize("status", [400, 403])
def test_the_managed_identity_is_meant_where_there_is_an_endpoint(
    tmp_path: Path, status: int
) -> None:
    """In an app its identity's refusal is told, whatever tool is there as well."""
    with identity_that_refuses(status) as environment:
        line = asked(environment | az(tmp_path, EXPIRED))
    assert "ManagedIdentityCredential: " in line
    assert "No such identity here. Check that the app has this identity" in line
    assert "az login" not in line


def test_a_service_principal_is_meant_where_it_is_set() -> None:
    """Its failure is told, without its secret, and which settings to check."""
    line = asked(SERVICE_PRINCIPAL | {"HTTPS_PROXY": "http://127.0.0.1:9"})
    assert "EnvironmentCredential: " in line
    assert "Check AZURE_TENANT_ID, AZURE_CLIENT_ID and its secret or certificate" in line
    assert SERVICE_PRINCIPAL["AZURE_CLIENT_SECRET"] not in line


def test_where_nothing_gives_tokens_there_is_one_thing_to_do() -> None:
    """Without tool, identity or secret the many that are absent are not listed."""
    assert asked({}) == (
        "no token was obtained, because no credential is available: sign in with `az login`, or "
        "give the app a managed identity"
    )


def test_every_part_says_the_same_and_verbose_all_that_was_tried(tmp_path: Path) -> None:
    """Query and ingestion quote the tool, and --verbose tells each attempt on a line."""
    settings = az(tmp_path, EXPIRED) | {
        "WORKSPACE_IDS": WORKSPACE,
        "LOGS_INGESTION_ENDPOINT": "https://127.0.0.1:9",
        "LOGS_INGESTION_RULE_ID": "dcr-" + "0" * 32,
    }
    done = run_cli("check", "--verbose", settings=settings)
    failed = [line for line in done.stdout.splitlines() if line.startswith("failed")]
    told = f"AzureCliCredential: {' '.join(EXPIRED.split())}"
    for part in ("credential", SIGN_INS, OPERATIONS, "ingestion"):
        assert any(part in line and line.endswith(told) for line in failed), part
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
    ("identity", "tool", "told"),
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
def test_the_first_that_could_have_given_one_is_told(identity: str, tool: str, told: str) -> None:
    """Ways that do not exist here come last, and before them those that were never signed in."""
    error = ClientAuthenticationError(CHAIN.format(identity=identity, az=tool))
    assert told in explain_token_failure(error, {})
    assert "troubleshooting guidelines" not in explain_token_failure(error, {})


def test_a_message_of_one_credential_is_told_as_it_is() -> None:
    """Once a credential has given a token it is asked alone, and its error is no list."""
    error = ServiceRequestError("The identity\nis \x1b[2J gone.")
    assert explain_token_failure(error, {}).startswith(
        "no token was obtained: The identity is \ufffd[2J gone. Check"
    )
    assert explain_token_failure(TokenUnavailable("said before"), {}) == "said before"
    assert list(credential_attempts("nothing of the kind")) == []
