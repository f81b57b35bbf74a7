"""Turns answers without rows into errors: some name the remedy, others make the caller retry."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, NoReturn

from detection.errors import SourceError
from detection.rule.log_rows import TableShape
from detection.sources.log_analytics.error_body import ApiError, parse_document

RETRY_WAIT_S: Final = 1.0  # if the service sends no Retry-After
THROTTLED_WAIT_S: Final = 10.0  # the same for HTTP 429
# Statuses that decide the meaning of an error, whatever its message says.
STATUSES_WITH_OWN_MEANING: Final = frozenset({401, 403, 404, 408, 429, 504})
EMPTY_ANSWER: Final = (
    "the answer is empty, as for a workspace that never received a row: check WORKSPACE_IDS"
)


class TableMissing(Exception):
    """The workspace has no table or watchlist named `table`."""

    def __init__(self, message: str, table: str) -> None:
        super().__init__(message)
        self.table = table


class UnsupportedTablePlan(SourceError):
    """A table of the query, perhaps an unnamed one, is on a plan that this API cannot query."""


class PartialResult(Exception):
    """The service returned only part of the rows, or refused a query that needs too much."""


class TransientError(Exception):
    """A failure that may pass: make at most `tries` tries in all, `pause` seconds apart."""

    def __init__(self, message: str, *, pause: float = RETRY_WAIT_S, tries: int = 2) -> None:
        super().__init__(message)
        self.pause = pause
        self.tries = tries


def raise_for_response(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    shape: TableShape,
    query: str,
    describe_table: Callable[[str], str],
) -> NoReturn:
    """Raise the error that an answer with a status other than 200 means.

    `shape` is the table that `query` reads. `describe_table` returns the words for a table by its
    name, since the error may be about another table of the query.

    Raises TableMissing, PartialResult, TransientError, or SourceError for all else.
    """
    document = parse_document(body)
    api_error = ApiError.parse(document.get("error") if isinstance(document, dict) else None)
    text = f"HTTP {status}: {api_error}"
    where = describe_table(api_error.tables_named(shape, query))
    if status == 400 and (missing := api_error.missing_table(shape, query)):
        raise TableMissing(str(api_error), missing)
    if status == 400 and api_error.is_about_a_plan:
        raise UnsupportedTablePlan(
            f"{where}: is on a plan that this API cannot query (HTTP 400 {api_error.code}): set "
            "the table's plan to Analytics"
        )
    if status >= 400 and status not in STATUSES_WITH_OWN_MEANING and api_error.is_too_much:
        raise PartialResult(text)
    if status in {401, 403}:
        raise SourceError(
            f"{where}: access is denied ({text}): {_access_advice(status, api_error)}"
        )
    if 300 <= status < 400:
        raise SourceError(
            f"{where}: the answer is a redirect (HTTP {status}), which is not followed: check "
            "LOGS_QUERY_ENDPOINT, and look for a proxy or a sign-in page on the way"
        )
    if status == 404:
        raise SourceError(
            f"{where}: the workspace does not exist ({text}): check WORKSPACE_IDS, which takes the "
            "Workspace ID from the portal's overview page, and check the cloud of the endpoint"
        )
    _raise_if_transient(status, headers, text)
    raise SourceError(f"{where}: the query was refused ({text})")


def _access_advice(status: int, api_error: ApiError) -> str:
    """Return the advice for a status 401 or 403."""
    if api_error.is_about_the_token or (status == 401 and not api_error.codes):
        return (
            "the token belongs to another tenant or cloud than the workspace, or has expired: "
            "check `az account show`, and AZURE_CLOUD or LOGS_QUERY_ENDPOINT"
        )
    return (
        "give the identity the role Log Analytics Data Reader or Reader on that workspace; a new "
        "role takes up to 30 minutes to work"
    )


def _raise_if_transient(status: int, headers: Mapping[str, str], text: str) -> None:
    """Raise TransientError for a status of a failure that may pass."""
    if status == 429:
        pause = _retry_after(headers) or THROTTLED_WAIT_S
        raise TransientError(
            f"Log Analytics throttled the query ({text}) and allows a retry after {pause:.0f} s: "
            "run fewer queries against the workspace at the same time",
            pause=pause,
            tries=3,
        )
    if status == 504:
        raise TransientError(
            f"the query took too long ({text}): query a shorter time range (LOOKBACK, MAX_CATCH_UP)"
        )
    if status >= 500 or status == 408:
        raise TransientError(
            f"Log Analytics failed ({text})", pause=_retry_after(headers) or RETRY_WAIT_S
        )
    if status == 204:
        raise TransientError(EMPTY_ANSWER)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the service asks to wait; None if it does not say."""
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value, re.ASCII):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (moment - datetime.now(UTC)).total_seconds()) if moment.tzinfo else None
