"""One request to Log Analytics and its whole answer, in a time that no slow answer can stretch.

A socket's timeout begins anew with every byte. So a request runs in a thread of its own, and who
asked waits for it no longer than he may.
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
    """An answer of any status."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def exchange(
    client: "LogsQueryClient", request: "HttpRequest", seconds: float, where: str
) -> HttpResponse:
    """Send a request and read the whole answer, both within so many seconds.

    Raises MayPass for an answer that is late or breaks off or for whatever else goes wrong on the
    way, and SourceError for want of a token, about what is asked: `where`.
    """
    begun: list[Any] = []  # the answer, once its headers are there

    def whole() -> HttpResponse:
        response = client.send_request(
            request,
            stream=True,  # else the SDK decodes the body as well
            read_timeout=seconds,
            retry_total=0,  # or a query that takes ten minutes takes them four times
            permit_redirects=False,  # whoever answers elsewhere is not the workspace
            logging_enable=False,  # or the log would hold the token and the query
            hooks={"response": lambda answer, *_, **__: begun.append(answer.raw)},
        )
        return HttpResponse(response.status_code, response.headers, response.read())

    late = TransientError(
        f"no whole answer within {seconds:.0f} s: query a shorter time (LOOKBACK, MAX_CATCH_UP)"
    )
    try:
        return run_with_timeout(seconds, whole)
    except TimeoutError:
        for answer in begun:
            # It may have ended this very moment.
            with contextlib.suppress(OSError, RuntimeError, ValueError):
                answer.shutdown()
        raise late from None
    except ServiceResponseTimeoutError:
        raise late from None
    except ClientAuthenticationError as error:
        raise SourceError(f"{where}: {explain_token_failure(error)}") from None
    except ServiceRequestError as error:
        raise TransientError(
            f"Log Analytics cannot be reached ({shortened(str(error), MESSAGE_LENGTH)}): check "
            "network, DNS and proxy"
        ) from None
    except AttributeError:
        # The SDK forgets its token when one query is refused, while others are about to use it.
        raise TransientError("the token was refused to another query at the same time") from None
    except AzureError as error:
        raise TransientError(
            f"the connection broke before the whole answer was there ({type(error).__name__})"
        ) from None
    except Exception as error:  # noqa: BLE001 - the transport lets through those of its own parts
        said = shortened(f"{type(error).__name__}: {error}", MESSAGE_LENGTH)
        raise TransientError(
            f"the request failed in an unforeseen way ({said}): check LOGS_QUERY_ENDPOINT, the "
            "certificates to trust, and for a proxy on the way"
        ) from None
