"""Runs a query that a person wrote, and returns the answer as the service gives it."""

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from detection.errors import SourceError
from detection.sources.log_analytics.api_errors import TransientError
from detection.sources.log_analytics.client import READ_TIMEOUT_S, query_request
from detection.sources.log_analytics.error_body import ApiError
from detection.sources.log_analytics.http_exchange import exchange

if TYPE_CHECKING:
    from azure.monitor.query import LogsQueryClient


class QueryResult(NamedTuple):
    """The names of the columns, the rows with values of JSON, and what the service warns of."""

    columns: list[str]
    rows: list[list[Any]]
    warning: str


def run_free_query(client: "LogsQueryClient", workspace_id: str, text: str) -> QueryResult:
    """Run a query on a workspace, over the times that the query itself names.

    Raises SourceError if the query is refused or the answer cannot be read.
    """
    where = f"workspace {workspace_id}"
    try:
        status, _, body = exchange(client, query_request(workspace_id, text), READ_TIMEOUT_S, where)
    except TransientError as error:
        raise SourceError(f"{where}: {error}") from None
    try:
        document: Any = json.loads(body.decode("utf-8-sig"))
    except ValueError:
        document = None
    problem = document.get("error") if isinstance(document, dict) else None
    if status != 200:
        raise SourceError(f"{where}: HTTP {status}: {ApiError.parse(problem)}")
    try:
        table = document["tables"][0]
        names = [column["name"] for column in table["columns"]]
        return QueryResult(names, table["rows"], str(ApiError.parse(problem)) if problem else "")
    except (TypeError, KeyError, IndexError):
        raise SourceError(f"{where}: the answer is no table: look for a proxy on the way") from None
