"""The reason why no token was obtained, in one line.

DefaultAzureCredential tries several credentials in turn, and its error lists all of them. Only one
is of interest: the one that the environment configures, or else the first that could have given a
token on this machine. Its message is never cut, because it ends with the command to run.
"""

import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping

from azure.core.exceptions import AzureError, ClientAuthenticationError

from detection.printable import one_line

_ATTEMPT = re.compile(
    r"^\t(\w+Credential)(?:: |$)(.*?)(?=^\t\w+Credential(?:: |$)|\Z)", re.MULTILINE | re.DOTALL
)
_LAST_LINE = re.compile(r"\nTo mitigate this issue, [^\n]*\Z")
_TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*", re.ASCII)
_COMMAND = re.compile(r"\baz login\b|\bazd auth login\b|\bConnect-AzAccount\b")
# Messages of credentials that do not exist on this machine: they do not explain the failure.
_NOT_AVAILABLE = re.compile(
    r"not fully configured|No accounts were found|not found on path|is not installed"
    r"|could not be found|azure-identity-broker|only supported on Windows"
    r"|authentication unavailable\. Error:"  # Docker answered in place of the metadata service
    r"|(unavailable|unavailable, no response from the IMDS endpoint)\.?$"
)
_OTHER_CLOUD = re.compile(r"AADSTS(500011|900382)\b")
_ADVICE = {
    "EnvironmentCredential": "Check AZURE_TENANT_ID, AZURE_CLIENT_ID and its secret or certificate",
    "WorkloadIdentityCredential": "Check AZURE_TENANT_ID, AZURE_CLIENT_ID and "
    "AZURE_FEDERATED_TOKEN_FILE",
    "ManagedIdentityCredential": "Check that the app has this identity, and that AZURE_CLIENT_ID, "
    "if set, is its client id",
    "AzureCliCredential": "Run `az account get-access-token` to see the cause",
}
_DEFAULT_ADVICE = "Check the identity of this process, or sign in with `az login`"
_NO_CREDENTIAL = (
    "no token was obtained, because no credential is available: sign in with `az login`, or "
    "give the app a managed identity"
)


class TokenUnavailable(ClientAuthenticationError):
    """No token was obtained; the message gives the reason. Never raised for a service's refusal."""


def explain_token_failure(error: AzureError, environment: Mapping[str, str] = os.environ) -> str:
    """Return the credential that should have given a token, why it did not, and the remedy."""
    message = str(error.message)
    if isinstance(error, TokenUnavailable):
        return message
    attempts = list(credential_attempts(message))
    if not attempts:
        return f"no token was obtained: {_with_advice('', _redacted(message))}"
    configured = [name for name in _configured_credentials(environment) if name in dict(attempts)]
    if configured:
        name = configured[0]
    elif len(attempts) > 1 and all(_NOT_AVAILABLE.search(text) for _, text in attempts):
        return _NO_CREDENTIAL
    else:
        name = min(attempts, key=lambda attempt: _rank_attempt(attempt[1]))[0]
    return f"no token was obtained: {name}: {_with_advice(name, dict(attempts)[name])}"


def credential_attempts(message: str) -> Iterator[tuple[str, str]]:
    """Yield (credential, its result in one line) for each attempt that a message lists."""
    for name, text in _ATTEMPT.findall(_LAST_LINE.sub("", message)):
        yield name, _redacted(text)


class AttemptLog(logging.Handler):
    """Prints every attempt to get a token on stderr, for `--verbose`: one per line, once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._logged: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Print the attempts in a warning of the credential, unless they were printed before."""
        lines = "".join(
            f"  {name}: {text}\n" for name, text in credential_attempts(record.getMessage())
        )
        if lines and lines not in self._logged:
            self._logged.add(lines)
            sys.stderr.write(f"Attempts to get a token:\n{lines}")


def _redacted(text: str) -> str:
    """Return the text as one line, without any token that a tool may have printed."""
    return _TOKEN.sub("(a token)", one_line(text))


def _configured_credentials(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the credentials that the environment configures, in DefaultAzureCredential's order."""

    def has(*names: str) -> bool:
        return all(environment.get(name) for name in names)

    if has("AZURE_TENANT_ID", "AZURE_CLIENT_ID") and (
        has("AZURE_CLIENT_SECRET") or has("AZURE_CLIENT_CERTIFICATE_PATH")
    ):
        yield "EnvironmentCredential"
    if has("AZURE_FEDERATED_TOKEN_FILE"):
        yield "WorkloadIdentityCredential"
    if has("IDENTITY_ENDPOINT") or has("MSI_ENDPOINT"):
        yield "ManagedIdentityCredential"


def _rank_attempt(text: str) -> int:
    """Return the rank of an attempt: 0 explains the failure best."""
    if _NOT_AVAILABLE.search(text):
        return 3
    if text.startswith("Please run"):  # an installed tool that nobody signed in to
        return 2
    # Every Azure machine without an identity says so, also where the developer uses `az login`.
    return 1 if "No identity has been assigned" in text else 0


def _with_advice(name: str, text: str) -> str:
    """Append the remedy, unless the message has one."""
    if _COMMAND.search(text):
        return text
    if _OTHER_CLOUD.search(text):
        advice = "Check that AZURE_CLOUD is the cloud of this tenant"
    else:
        advice = _ADVICE.get(name, _DEFAULT_ADVICE)
    return f"{text.rstrip('.')}. {advice}"
