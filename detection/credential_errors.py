"""Why no token was given, in one line.

The credential that is used everywhere tries one way after another, and its error lists them all,
the many that nobody meant first. What tells is the one that was meant: by the environment, or as
the first that could have given a token here. Its message is never cut, since the command to run
is at its end.
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
# The words of a way that does not exist here, and so says nothing about why there is no token.
_ABSENT = re.compile(
    r"not fully configured|No accounts were found|not found on path|is not installed"
    r"|could not be found|azure-identity-broker|only supported on Windows"
    r"|authentication unavailable\. Error:"  # Docker's answer in place of the machine's
    r"|(unavailable|unavailable, no response from the IMDS endpoint)\.?$"
)
_OTHER_CLOUD = re.compile(r"AADSTS(500011|900382)\b")
_ADVICE = {
    "EnvironmentCredential": "Check AZURE_TENANT_ID, AZURE_CLIENT_ID and its secret or certificate",
    "WorkloadIdentityCredential": "Check AZURE_TENANT_ID, AZURE_CLIENT_ID and "
    "AZURE_FEDERATED_TOKEN_FILE",
    "ManagedIdentityCredential": "Check that the app has this identity, and that AZURE_CLIENT_ID, "
    "if set, is its client id",
    "AzureCliCredential": "See what `az account get-access-token` says",
}
_ANY = "Check the identity that this runs as, or sign in with `az login`"
_NOTHING = (
    "no token could be had, because nothing here gives one: sign in with `az login`, or give the "
    "app a managed identity"
)


class TokenUnavailable(ClientAuthenticationError):
    """No token was given; the message says why. A service's refusal is never one of these."""


def explain_token_failure(error: AzureError, environment: Mapping[str, str] = os.environ) -> str:
    """Say which credential was meant to give a token, why it did not, and what to do."""
    message = str(error.message)
    if isinstance(error, TokenUnavailable):
        return message
    tried = list(credential_attempts(message))
    if not tried:
        return f"no token could be had: {_with_advice('', _safe(message))}"
    meant = [name for name in _meant(environment) if name in dict(tried)]
    if meant:
        name = meant[0]
    elif len(tried) > 1 and all(_ABSENT.search(text) for _, text in tried):
        return _NOTHING
    else:
        name = min(tried, key=lambda attempt: _rank(attempt[1]))[0]
    return f"no token could be had: {name}: {_with_advice(name, dict(tried)[name])}"


def credential_attempts(message: str) -> Iterator[tuple[str, str]]:
    """Yield each credential that a message says was tried, and what became of it, in one line."""
    for name, text in _ATTEMPT.findall(_LAST_LINE.sub("", message)):
        yield name, _safe(text)


class AttemptLog(logging.Handler):
    """Tells on stderr, for `--verbose`, all that was tried for a token: each on a line, once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._told: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Tell what a warning of the credential holds, unless it was told before."""
        lines = "".join(
            f"  {name}: {text}\n" for name, text in credential_attempts(record.getMessage())
        )
        if lines and lines not in self._told:
            self._told.add(lines)
            sys.stderr.write(f"Tried for a token:\n{lines}")


def _safe(text: str) -> str:
    """Return a text as one line, whole but for a token that a tool may have printed."""
    return _TOKEN.sub("(a token)", one_line(text))


def _meant(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the credentials that the environment is set up for, as they come in the chain."""

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


def _rank(text: str) -> int:
    """Return how little an attempt says about why there is no token, from 0."""
    if _ABSENT.search(text):
        return 3
    if text.startswith("Please run"):  # a tool that is there and was never signed in
        return 2
    return 1 if "No identity has been assigned" in text else 0  # a machine in Azure like any other


def _with_advice(name: str, text: str) -> str:
    """Add what to do, unless the message says it."""
    if _COMMAND.search(text):
        return text
    if _OTHER_CLOUD.search(text):
        advice = "Check that AZURE_CLOUD is the cloud of this tenant"
    else:
        advice = _ADVICE.get(name, _ANY)
    return f"{text.rstrip('.')}. {advice}"
