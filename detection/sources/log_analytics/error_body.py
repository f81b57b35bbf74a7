"""Reads the error bodies of Log Analytics, whose codes and messages decide what an error means.

Errors are nested, and the innermost says most. The wordings come from Microsoft's documentation
and from public threads, which are cited beside each; none was seen on a live service.
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
WARNING_SEVERITY: Final = 3  # a smaller severity is a failure

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
_UNRESOLVED_NAME: Final = re.compile(
    r"^Semantic|^SEM\d|Semantic error|Failed to resolve|Unknown func"
)


class ApiError(NamedTuple):
    """The code and message of the innermost error, and the codes of all, the outermost first."""

    code: str = ""
    message: str = ""
    codes: tuple[str, ...] = ()

    @classmethod
    def parse(cls, error: Any) -> "ApiError":
        """Parse the `error` value of a body, of any type; unknown forms give an empty ApiError."""
        pairs = [
            (str(cause.get("code") or ""), str(cause.get("message") or ""))
            for cause in _error_chain(error)
        ]
        informative = [pair for pair in pairs if any(pair)]
        code, message = informative[-1] if informative else ("", "")
        return cls(code, message, tuple(code for code, _ in informative if code))

    def __str__(self) -> str:
        """Return the innermost code and message as one printable line of bounded length."""
        text = ": ".join(filter(None, (self.code, self.message)))
        return shortened(text, MESSAGE_LENGTH) or NO_REASON

    @property
    def is_about_the_token(self) -> bool:
        """True if the service rejected the token itself, and not the permissions of its owner."""
        return any(map(_TOKEN.search, self.codes))

    @property
    def is_about_a_plan(self) -> bool:
        """True if a table is on a plan that this API cannot query."""
        return _PLAN_CODE in self.codes or _PLAN.search(self.message) is not None

    @property
    def is_too_much(self) -> bool:
        """True if the query was too complex or too large for the cluster, or its answer was."""
        return any(map(_TOO_MUCH.search, (*self.codes, self.message)))

    def missing_table(self, shape: TableShape, query: str) -> str | None:
        """Return the name of the query's table that does not exist; None if the error is another.

        A watchlist counts as missing if the function that reads it does not exist, as in a
        workspace without Microsoft Sentinel. Kusto says "Unknown function: '_GetWatchlist'"
        (SEM0260), Log Analytics has said "Failed to resolve tabular function named '...'".
        """
        if shape.name in {ALLOWLIST_TABLE.name, EXCLUSIONS_TABLE.name}:
            unresolved = any(map(_UNRESOLVED_NAME.search, (*self.codes, self.message)))
            return shape.name if unresolved and _WATCHLIST.search(self.message) else None
        if "SEM0100" not in self.codes:  # also the code of a missing column
            return None
        resolve = r"Failed to resolve table\b.*['\"`]{}['\"`]"
        names = tables_of(query)
        return next((n for n in names if re.search(resolve.format(n), self.message)), None)

    def tables_named(self, shape: TableShape, query: str) -> str:
        """Return the tables that the error is about, joined by "or"; `shape` if it names none."""
        names = tables_of(query)
        named = [name for name in names if name in self.message]
        suspects = names if self.is_about_a_plan else []  # any table of the query
        return " or ".join(named or suspects) or shape.name


def tables_of(query: str) -> list[str]:
    """Return the names of the log tables that a query reads."""
    return [shape.name for shape in (SIGN_IN_TABLE, OPERATION_TABLE) if shape.name in query]


def is_only_warnings(error: Any) -> bool:
    """Return True if the error of an answer holds only warnings, so that no row is lacking.

    See learn.microsoft.com/kusto/concepts/partial-query-failures, and the threads
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
    return type(severity) is int and severity >= WARNING_SEVERITY


def parse_document(body: bytes) -> Any:
    """Return the parsed body, without its rows if they can be found; None if it is not JSON."""
    try:
        envelope = find_rows(io.BytesIO(body))
        return orjson.loads(body) if envelope is None else envelope.document
    except ValueError:
        return None


def _error_chain(error: Any) -> Iterator[dict[str, Any]]:
    """Yield an error and its nested causes; of several details, the first that is a failure."""
    while isinstance(error, dict):
        yield error
        details = error.get("details")
        listed = details if isinstance(details, list) else []
        failures = [detail for detail in listed if not _is_warning(detail)]
        error = error.get("innererror") or next(iter(failures or listed), None)
