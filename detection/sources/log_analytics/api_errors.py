"""Answers of Log Analytics that give no rows, told in words that say what to do."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, NoReturn

from detection.errors import SourceError
from detection.rule.log_rows import TableShape
from detection.sources.log_analytics.error_body import ApiError, document_of

RETRY_WAIT_S: Final = 1.0  # seconds before a second try, where the service names no time
THROTTLED_WAIT_S: Final = 10.0  # and where it says that it is asked too often
STATUSES_WITH_OWN_MEANING: Final = {
    401,
    403,
    404,
    408,
    429,
    504,
}  # statuses that say more than their words
EMPTY_ANSWER: Final = (
    "the answer is empty, as that of a workspace is which never took in a row: check WORKSPACE_IDS"
)


class TableMissing(Exception):
    """The workspace has no such table, or no watchlists at all; `table` is the one it lacks."""

    def __init__(self, message: str, table: str) -> None:
        super().__init__(message)
        self.table = table


class UnsupportedTablePlan(SourceError):
    """A table is on a plan whose tables are not queried so; of several it is not known which."""


class PartialResult(Exception):
    """The service gave only part of the rows, or none as they were too much; it says why."""


class TransientError(Exception):
    """A failure that may be over soon: `tries` tries are made in all, `pause` seconds apart."""

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
    called: Callable[[str], str],
) -> NoReturn:
    """Raise what a status other than 200 means for a query about a table.

    `called` gives the words for a table of the workspace, which may be another one of the query.
    """
    document = document_of(body)
    said = ApiError.by(document.get("error") if isinstance(document, dict) else None)
    text = f"HTTP {status}: {said}"
    where = called(said.blames(shape, query))
    if status == 400 and (missing := said.missing(shape, query)):
        raise TableMissing(str(said), missing)
    if status == 400 and said.is_about_a_plan:
        raise UnsupportedTablePlan(
            f"{where}: is on a plan that this API cannot query (HTTP 400 {said.code}): set "
            "the table's plan to Analytics"
        )
    if status >= 400 and status not in STATUSES_WITH_OWN_MEANING and said.is_too_much:
        raise PartialResult(text)
    if status in {401, 403}:
        raise SourceError(f"{where}: may not be read ({text}): {_remedy(status, said)}")
    if 300 <= status < 400:
        raise SourceError(
            f"{where}: the answer is a redirect (HTTP {status}), which is not followed: check "
            "LOGS_QUERY_ENDPOINT, and for a proxy or sign-in page on the way"
        )
    if status == 404:
        raise SourceError(
            f"{where}: there is no such workspace ({text}): check WORKSPACE_IDS, which takes "
            "the Workspace ID that the portal's overview shows, and the endpoint's cloud"
        )
    _try_again(status, headers, text)
    raise SourceError(f"{where}: the query was refused ({text})")


def _remedy(status: int, said: ApiError) -> str:
    """Return what to do where reading is not allowed."""
    if said.is_about_the_token or (status == 401 and not said.codes):
        return (
            "the token is of another tenant or cloud than the workspace, or has expired: check "
            "with `az account show`, and AZURE_CLOUD or LOGS_QUERY_ENDPOINT"
        )
    return (
        "give the identity the role Log Analytics Data Reader or Reader on that workspace; a new "
        "role takes up to 30 minutes to work"
    )


def _try_again(status: int, headers: Mapping[str, str], text: str) -> None:
    """Raise MayPass for what may be over soon."""
    if status == 429:
        pause = _retry_after(headers) or THROTTLED_WAIT_S
        raise TransientError(
            f"asked too often ({text}), to be asked again after {pause:.0f} s: run fewer "
            "queries against the workspace at that time",
            pause=pause,
            tries=3,
        )
    if status == 504:
        raise TransientError(
            f"the query took too long ({text}): query a shorter time (LOOKBACK, MAX_CATCH_UP)"
        )
    if status >= 500 or status == 408:
        raise TransientError(
            f"Log Analytics failed ({text})", pause=_retry_after(headers) or RETRY_WAIT_S
        )
    if status == 204:
        raise TransientError(EMPTY_ANSWER)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the service asks to wait, None where it names none."""
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value, re.ASCII):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (moment - datetime.now(UTC)).total_seconds()) if moment.tzinfo else None
