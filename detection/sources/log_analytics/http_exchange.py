"""Sends one request to Log Analytics and reads the complete answer within a time limit.

A socket's timeout starts again with every byte, so a slow answer could last for ever. The request
runs in its own thread instead, and the caller waits for it no longer than the limit.
"""

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    ServiceRequestError,
    ServiceResponseTimeoutError,
)

from detection.credential_errors import explain_token_failure
from detection.errors import SourceError
from detection.printable import shortened
from detection.sources.log_analytics.api_errors import TransientError
from detection.sources.log_analytics.error_body import MESSAGE_LENGTH
from detection.threads import run_with_timeout

if TYPE_CHECKING:
    from azure.core.rest import HttpRequest
    from azure.monitor.query import LogsQueryClient


class HttpResponse(NamedTuple):
    """An answer of any status, with its complete body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def exchange(
    client: "LogsQueryClient", request: "HttpRequest", seconds: float, where: str
) -> HttpResponse:
    """Send a request and read the complete answer, both within `seconds`.

    Raises TransientError if the answer is late or breaks off, or if the request fails in any other
    way; SourceError, about the table or watchlist described by `where`, if there is no token.
    """
    raw_answers: list[Any] = []  # holds the answer once its headers have arrived

    def send_and_read() -> HttpResponse:
        response = client.send_request(
            request,
            stream=True,  # otherwise the SDK decodes the body as well
            read_timeout=seconds,
            retry_total=0,  # otherwise a query of ten minutes may be sent four times
            permit_redirects=False,  # another address is not the workspace
            logging_enable=False,  # otherwise the log would hold the token and the query
            hooks={"response": lambda answer, *_, **__: raw_answers.append(answer.raw)},
        )
        return HttpResponse(response.status_code, response.headers, response.read())

    timed_out = TransientError(
        f"no complete answer within {seconds:.0f} s: query a shorter time range (LOOKBACK, "
        "MAX_CATCH_UP)"
    )
    try:
        return run_with_timeout(seconds, send_and_read)
    except TimeoutError:
        for answer in raw_answers:
            # The answer may have ended at this moment, and then it cannot be shut down.
            with contextlib.suppress(OSError, RuntimeError, ValueError):
                answer.shutdown()
        raise timed_out from None
    except ServiceResponseTimeoutError:
        raise timed_out from None
    except ClientAuthenticationError as error:
        raise SourceError(f"{where}: {explain_token_failure(error)}") from None
    except ServiceRequestError as error:
        raise TransientError(
            f"Log Analytics cannot be reached ({shortened(str(error), MESSAGE_LENGTH)}): check "
            "network, DNS and proxy"
        ) from None
    except AttributeError:
        # The SDK drops its token when one query gets HTTP 401, while others are about to use it.
        raise TransientError("the token was dropped, since another query got HTTP 401") from None
    except AzureError as error:
        raise TransientError(
            f"the connection broke before the answer was complete ({type(error).__name__})"
        ) from None
    except Exception as error:  # noqa: BLE001 - the transport does not wrap all errors of its parts
        reason = shortened(f"{type(error).__name__}: {error}", MESSAGE_LENGTH)
        raise TransientError(
            f"the request failed unexpectedly ({reason}): check LOGS_QUERY_ENDPOINT and the "
            "trusted certificates, and look for a proxy on the way"
        ) from None
