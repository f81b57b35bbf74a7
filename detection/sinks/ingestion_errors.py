"""What the Logs Ingestion API, or something on the way to it, means when it does not take rows.

The messages say what was answered and what to do, never what was sent or said: an answer may
repeat the rows. Whether the rows are sent again is known to whoever keeps them, not here.
"""

import re

from azure.core import exceptions as azure

from detection.printable import shortened

_ENDPOINT = "check LOGS_INGESTION_ENDPOINT"
_TOO_LARGE = "the call has too many bytes: lower CALL_BYTES in sinks/ingestion.py"
_STREAM = (
    "check LOGS_INGESTION_RULE_ID (the rule's immutable id), the stream's name, and that "
    "LOGS_INGESTION_ENDPOINT belongs to the rule"
)
# What helps, by the service's own code or else by the status.
_REMEDIES: dict[str | int, str] = {
    "InvalidStream": _STREAM,
    "InvalidAudience": "the token is for another cloud: check AZURE_CLOUD",
    "ContentLengthLimitExceeded": _TOO_LARGE,
    400: "the stream's columns differ from the rows': deploy the infrastructure of this version",
    401: "the token was refused: check that the app's identity and LOGS_INGESTION_ENDPOINT are of "
    "the same tenant, and of the cloud that AZURE_CLOUD names; a new role assignment takes up to "
    "30 minutes",
    403: "give the app's identity the role Monitoring Metrics Publisher on the data collection "
    "rule; a new assignment takes up to 30 minutes",
    404: _STREAM,
    408: "the service is in trouble, which may pass",
    413: _TOO_LARGE,
    429: "the data collection rule is at its limit (2 GB or 12,000 calls a minute), and stayed so "
    "as long as it asked to wait",
}
_SERVER = _REMEDIES[408]
_NOT_TAKEN = f"only 204 means that rows were taken: {_ENDPOINT}"
_FOREIGN = (
    "and that was not the Logs Ingestion API, whose errors are JSON: look for a proxy, gateway or "
    f"firewall on the way, and {_ENDPOINT}"
)


def timeout_reason(patience: float) -> str:
    """Say that there was no answer in time."""
    return (
        f"no whole answer within {patience:g} s, so that nothing tells whether the rows were "
        f"taken: look for a proxy or firewall on the way, and {_ENDPOINT}"
    )


def refusal_reason(error: Exception, status: int | None) -> tuple[str, int]:
    """Say what was answered, or what became of the connection, and what to do.

    Returns the service's status with it, 0 where it was not the service that answered.
    """
    if isinstance(error, azure.ServiceRequestError):
        return (
            f"the endpoint cannot be reached ({_root(error)}): check LOGS_INGESTION_ENDPOINT "
            "(https), name resolution and firewall"
        ), 0
    if status is None or isinstance(error, azure.ServiceResponseError):
        return (
            f"the connection to LOGS_INGESTION_ENDPOINT broke before the answer ({_root(error)}), "
            "so that nothing tells whether the rows were taken"
        ), 0
    code = str(getattr(getattr(error, "error", None), "code", ""))
    named = f" ({code})" if re.fullmatch(r"[A-Za-z]{3,60}", code) else ""
    if not code and status in {400, 401, 403, 404, 405} and _says_something(error, status):
        return f"{status} was answered, {_FOREIGN}", 0
    remedy = _REMEDIES.get(code) or _REMEDIES.get(status)
    if remedy is None:
        remedy = _SERVER if status >= 500 else _ENDPOINT if named else _NOT_TAKEN
    return f"the service answered {status}{named}: {remedy}", status


def _says_something(error: Exception, status: int) -> bool:
    """Whether an answer has a body; the service's own refusals but 400 may come without one."""
    response = getattr(error, "response", None)
    return status == 400 or response is None or bool(response.content)


def _root(error: BaseException) -> str:
    """Name the innermost cause: in the system's words if it has any."""
    inner = getattr(error, "inner_exception", None) or error.__cause__ or error.__context__
    if inner is not None:
        return _root(inner)
    if (
        type(error) is OSError and not error.strerror
    ):  # of the client itself, about a file of its own
        return shortened(str(error), 300)
    return str(getattr(error, "strerror", None) or type(error).__name__)
