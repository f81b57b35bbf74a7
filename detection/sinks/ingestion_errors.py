"""Explains refusals and lost connections of the Logs Ingestion API, and of proxies before it.

The messages give the status and the remedy. They never repeat the request or the answer's text:
both may hold rows. They do not say whether the rows are sent again: only the caller knows.
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
# Remedies by the service's error code, or else by the status.
_REMEDIES: dict[str | int, str] = {
    "InvalidStream": _STREAM,
    "InvalidAudience": "the token is for another cloud: check AZURE_CLOUD",
    "ContentLengthLimitExceeded": _TOO_LARGE,
    400: "the stream's columns differ from the rows': deploy the infrastructure of this version",
    401: "the token was refused: check that the app's identity and LOGS_INGESTION_ENDPOINT belong "
    "to the same tenant, and to the cloud in AZURE_CLOUD; a new role assignment takes up to "
    "30 minutes",
    403: "give the app's identity the role Monitoring Metrics Publisher on the data collection "
    "rule; a new assignment takes up to 30 minutes",
    404: _STREAM,
    408: "the service has a problem, which may be temporary: try again later",
    413: _TOO_LARGE,
    429: "the data collection rule is over its limit (2 GB or 12,000 calls a minute), also after "
    "the retries: try again later",
}
_SERVICE_TROUBLE = _REMEDIES[408]
_NOT_204 = f"only 204 means that the rows were accepted: {_ENDPOINT}"
_NOT_THE_API = (
    "but the sender was not the Logs Ingestion API, whose errors are JSON: look for a proxy, "
    f"gateway or firewall in between, and {_ENDPOINT}"
)


def timeout_reason(timeout: float) -> str:
    """Explain that no complete answer came in time."""
    return (
        f"no complete answer within {timeout:g} s, so it is unknown whether the rows were "
        f"accepted: look for a proxy or firewall in between, and {_ENDPOINT}"
    )


def refusal_reason(error: Exception, status: int | None) -> tuple[str, int]:
    """Return the reason and remedy of a failure, and the service's status.

    The status is 0 if the service itself did not answer.
    """
    if isinstance(error, azure.ServiceRequestError):
        return (
            f"the endpoint cannot be reached ({_innermost_cause(error)}): check "
            "LOGS_INGESTION_ENDPOINT (https), name resolution and firewall"
        ), 0
    if status is None or isinstance(error, azure.ServiceResponseError):
        return (
            "the connection to LOGS_INGESTION_ENDPOINT broke before the answer "
            f"({_innermost_cause(error)}), so it is unknown whether the rows were accepted"
        ), 0
    code = str(getattr(getattr(error, "error", None), "code", ""))
    shown_code = f" ({code})" if re.fullmatch(r"[A-Za-z]{3,60}", code) else ""
    if not code and status in {400, 401, 403, 404, 405} and _has_body(error, status):
        return f"the answer was {status}, {_NOT_THE_API}", 0
    remedy = _REMEDIES.get(code) or _REMEDIES.get(status)
    if remedy is None:
        remedy = _SERVICE_TROUBLE if status >= 500 else _ENDPOINT if shown_code else _NOT_204
    return f"the service answered {status}{shown_code}: {remedy}", status


def _has_body(error: Exception, status: int) -> bool:
    """Return True if an answer has a body, or is a 400, which the service never sends without."""
    response = getattr(error, "response", None)
    return status == 400 or response is None or bool(response.content)


def _innermost_cause(error: BaseException) -> str:
    """Return the innermost cause, in the operating system's words if there are any."""
    inner = getattr(error, "inner_exception", None) or error.__cause__ or error.__context__
    if inner is not None:
        return _innermost_cause(inner)
    # The client itself raises such an error about one of its own files.
    if type(error) is OSError and not error.strerror:
        return shortened(str(error), 300)
    return str(getattr(error, "strerror", None) or type(error).__name__)
