"""What Log Analytics means when it does not give the rows, in words that say what to do.

Its errors lie inside one another; the innermost is the one that tells.
"""

import io
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, NoReturn

import orjson

from detection.errors import SourceError
from detection.rule.exclusions import EXCLUSIONS_TABLE
from detection.rule.rows import ALLOWLIST_TABLE, TableShape
from detection.sources.batches import find_frame

PAUSE: Final = 1.0  # seconds before a second try, where the service names no time
BUSY_PAUSE: Final = 10.0  # and where it says that it is asked too often
MESSAGE_LENGTH: Final = 300
EMPTY: Final = (
    "the answer is empty, as that of a workspace is which never took in a row: check WORKSPACE_IDS"
)


class NotThere(Exception):
    """The workspace has no such table, or no watchlists at all."""


class CutShort(Exception):
    """The service gave only part of the rows; the message says why."""


class MayPass(Exception):
    """A failure that may be over soon: `tries` tries are made in all, `pause` seconds apart."""

    def __init__(self, message: str, *, pause: float = PAUSE, tries: int = 2) -> None:
        super().__init__(message)
        self.pause = pause
        self.tries = tries


def refuse(
    status: int, headers: Mapping[str, str], body: bytes, shape: TableShape, where: str
) -> NoReturn:
    """Raise what a status other than 200 means."""
    document = document_of(body)
    said = document.get("error") if isinstance(document, dict) else None
    message = innermost(said) if said else "no reason given"
    text = f"HTTP {status}: {message}"
    if status == 400 and _is_missing(said, shape):
        raise NotThere(message)
    if status in {401, 403}:
        raise SourceError(
            f"{where}: may not be read ({text}): give the identity the role Log Analytics "
            "Data Reader or Reader on that workspace; a new role takes up to 30 minutes to work"
        )
    if status == 404:
        raise SourceError(
            f"{where}: there is no such workspace ({text}): check WORKSPACE_IDS, which takes "
            "the Workspace ID that the portal's overview shows, and the endpoint's cloud"
        )
    if status == 429:
        pause = _retry_after(headers) or BUSY_PAUSE
        raise MayPass(
            f"asked too often ({text}), to be asked again after {pause:.0f} s: run fewer "
            "queries against the workspace at that time",
            pause=pause,
            tries=3,
        )
    if status == 504:
        raise MayPass(
            f"the query took too long ({text}): query a shorter time (LOOKBACK, MAX_CATCH_UP)"
        )
    if status >= 500 or status == 408:
        raise MayPass(f"Log Analytics failed ({text})", pause=_retry_after(headers) or PAUSE)
    if status == 204:
        raise MayPass(EMPTY)
    raise SourceError(f"{where}: the query was refused ({text})")


def document_of(body: bytes) -> Any:
    """Return the parsed body, without its rows if they can be told; None for what is not JSON."""
    try:
        frame = find_frame(io.BytesIO(body))
        return orjson.loads(body) if frame is None else frame.document
    except ValueError:
        return None


def _inner(error: Any) -> Any:
    """Return the error that caused another, None for the first cause."""
    details = error.get("details")
    first = details[0] if isinstance(details, list) and details else None
    return error.get("innererror") or first


def _cause(error: Any) -> dict[str, Any]:
    """Return the innermost of errors inside one another."""
    found: dict[str, Any] = {}
    while isinstance(error, dict):
        found = error if error.get("message") or error.get("code") else found
        error = _inner(error)
    return found


def innermost(error: Any) -> str:
    """Return what the innermost error says, in one line."""
    cause = _cause(error)
    parts = (cause.get("code"), cause.get("message"))
    return one_line(": ".join(str(part) for part in parts if part)) or "no reason given"


def _is_missing(error: Any, shape: TableShape) -> bool:
    """Whether an error says that the table is not there, or for a watchlist that none are.

    SEM0100 is the code for a missing column too.
    """
    cause = _cause(error)
    code, message = cause.get("code"), str(cause.get("message"))
    if shape.name not in {ALLOWLIST_TABLE.name, EXCLUSIONS_TABLE.name}:
        table = re.compile(rf"Failed to resolve table\b.*['\"`]{re.escape(shape.name)}['\"`]")
        return code == "SEM0100" and table.search(message) is not None
    unknown = re.compile(r"Unknown function\b.*\b_GetWatchlist\b")
    return code == "SEM0260" and unknown.search(message) is not None


def one_line(text: str) -> str:
    """Return a text as one short line."""
    visible = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(visible.split())[:MESSAGE_LENGTH]


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
