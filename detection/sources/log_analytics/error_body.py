"""The errors of Log Analytics: its own words, read where they are known.

Errors lie inside one another; the innermost tells most. The wordings are those of Microsoft's
pages and of public threads, named beside each, as none of this was seen on a live service.
"""

import io
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import orjson

from detection.printable import shortened
from detection.rule.exclusions import EXCLUSIONS_TABLE
from detection.rule.log_rows import ALLOWLIST_TABLE, OPERATION_TABLE, SIGN_IN_TABLE, TableShape
from detection.sources.decode.json_stream import find_rows

MESSAGE_LENGTH: Final = 300
NO_REASON: Final = "no reason given"
WARNING: Final = 3  # the severity; what is smaller is a failure

# InvalidTokenError: github.com/Azure/azure-sdk-for-js/pull/15399. AuthorizationRequiredError:
# github.com/microsoft/vscode-ext-kusto/issues/80. AuthenticationFailed and the names that begin
# with InvalidAuthenticationToken: learn.microsoft.com/azure/azure-monitor/logs/api/errors.
_TOKEN: Final = re.compile(r"Token|Authentication|AuthorizationRequired")
# github.com/grafana/grafana/issues/89818 and github.com/Azure/azure-sdk-for-go/issues/24606 (the
# code), github.com/Azure/Azure-Sentinel/issues/12172 (a query of several tables).
_PLAN_CODE: Final = "UnsupportedApiQueryValidationError"
_PLAN: Final = re.compile(r"\b(Basic|Auxiliary)\b.* Logs table\b")
# learn.microsoft.com/kusto/concepts/query-limits (memory of operators, E_RUNAWAY_QUERY; result
# sets; the tree of relational operators), github.com/microsoft/fabric-toolbox/issues/31
# (E_LOW_MEMORY_CONDITION), github.com/Bert-JanP/Sentinel-Automation/issues/2 ("CRT0015: Query
# complexity exceeded", from Log Analytics, in a 400).
_TOO_MUCH: Final = re.compile(
    r"E_RUNAWAY_QUERY|E_LOW_MEMORY_CONDITION|E_QUERY_RESULT_SET_TOO_LARGE|CRT0015"
    r"|exceeded the memory budget|lacks memory resources|low memory condition"
    r"|complexity exceeded|exceed\w* [^.]{0,60}complexity|too complex"
    r"|operators tree exceed",
    re.IGNORECASE,
)
_WATCHLIST: Final = re.compile(r"\b(_GetWatchlist|Watchlist)\b")
_UNRESOLVED: Final = re.compile(r"^Semantic|^SEM\d|Semantic error|Failed to resolve|Unknown func")


class ApiError(NamedTuple):
    """The code and message of the innermost error, and the codes of all."""

    code: str = ""
    message: str = ""
    codes: tuple[str, ...] = ()

    @classmethod
    def by(cls, error: Any) -> "ApiError":
        """Read an error, whatever it is."""
        found = [(str(one.get("code") or ""), str(one.get("message") or "")) for one in _all(error)]
        told = [one for one in found if any(one)]
        code, message = told[-1] if told else ("", "")
        return cls(code, message, tuple(code for code, _ in told if code))

    def __str__(self) -> str:
        """Return the innermost code and message as one line, fit to be printed."""
        told = ": ".join(filter(None, (self.code, self.message)))
        return shortened(told, MESSAGE_LENGTH) or NO_REASON

    @property
    def is_about_the_token(self) -> bool:
        """True if the service did not take the token, rather than what its owner may do."""
        return any(map(_TOKEN.search, self.codes))

    @property
    def is_about_a_plan(self) -> bool:
        """True if a table is on a plan whose tables this API does not query."""
        return _PLAN_CODE in self.codes or _PLAN.search(self.message) is not None

    @property
    def is_too_much(self) -> bool:
        """True if the cluster found the query too complex, or was short of memory for it."""
        return any(map(_TOO_MUCH.search, (*self.codes, self.message)))

    def missing(self, shape: TableShape, query: str) -> str | None:
        """Return which table of a query is not there, None if that is not what is wrong.

        A watchlist is missing where the function that reads it is, as in a workspace without
        Microsoft Sentinel, whatever the words: Kusto says "Unknown function: '_GetWatchlist'"
        (SEM0260), Log Analytics has said "Failed to resolve tabular function named '...'".
        """
        if shape.name in {ALLOWLIST_TABLE.name, EXCLUSIONS_TABLE.name}:
            unresolved = any(map(_UNRESOLVED.search, (*self.codes, self.message)))
            return shape.name if unresolved and _WATCHLIST.search(self.message) else None
        if "SEM0100" not in self.codes:  # which is the code for a missing column too
            return None
        resolve = r"Failed to resolve table\b.*['\"`]{}['\"`]"
        names = tables_of(query)
        return next((n for n in names if re.search(resolve.format(n), self.message)), None)

    def blames(self, shape: TableShape, query: str) -> str:
        """Return the tables that the error is about, as far as it says."""
        names = tables_of(query)
        named = [name for name in names if name in self.message]
        unclear = names if self.is_about_a_plan else []
        return " or ".join(named or unclear) or shape.name


def tables_of(query: str) -> list[str]:
    """Return the names of the tables that a query reads."""
    return [shape.name for shape in (SIGN_IN_TABLE, OPERATION_TABLE) if shape.name in query]


def is_only_warnings(error: Any) -> bool:
    """Tell an error that stands beside all rows of an answer from one of an answer cut short.

    What is only warned of took no rows away:
    learn.microsoft.com/kusto/concepts/partial-query-failures. Seen in the threads
    github.com/Azure/azure-sdk-for-python/issues/25137 and
    github.com/Azure/Azure-Sentinel/issues/13874.
    """
    if not isinstance(error, dict) or error.get("code") != "PartialError":
        return False
    details = error.get("details")
    return isinstance(details, list) and bool(details) and all(map(_is_warning, details))


def _is_warning(detail: Any) -> bool:
    inner = detail.get("innererror") if isinstance(detail, dict) else None
    severity = inner.get("severity") if isinstance(inner, dict) else None
    return type(severity) is int and severity >= WARNING


def document_of(body: bytes) -> Any:
    """Return the parsed body, without its rows if they can be told; None for what is not JSON."""
    try:
        frame = find_rows(io.BytesIO(body))
        return orjson.loads(body) if frame is None else frame.document
    except ValueError:
        return None


def _all(error: Any) -> Iterator[dict[str, Any]]:
    """Yield an error and its causes; of several the first that is no mere warning."""
    while isinstance(error, dict):
        yield error
        details = error.get("details")
        several = details if isinstance(details, list) else []
        failures = [detail for detail in several if not _is_warning(detail)]
        error = error.get("innererror") or next(iter(failures or several), None)
