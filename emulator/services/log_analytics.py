"""The query API of Log Analytics: `POST /v1/workspaces/{id}/query` over an emulated workspace."""

import json
import re
from functools import partial
from typing import Any, Final

from emulator.kusto.workspace import Answer, QueryRefused, Workspace
from emulator.services.api_errors import (
    Document,
    api_error,
    left_out,
    semantic_error,
    too_many_rows,
    unresolved,
)
from emulator.services.clock import Clock
from emulator.services.http_server import LoopbackServer, QuietHandler

ROW_LIMIT: Final = 500_000  # learn.microsoft.com/azure/azure-monitor/fundamentals/service-limits


class LogAnalytics(LoopbackServer):
    """Answers queries about one workspace to clients that have the token."""

    def __init__(self, workspace: Workspace, workspace_id: str, token: str, clock: Clock) -> None:
        super().__init__(partial(_Handler, self))
        self._workspace = workspace
        self._path = f"/v1/workspaces/{workspace_id}/query"
        self._token = token
        self._clock = clock

    def respond(self, path: str, authorization: str, body: bytes) -> tuple[int, Document]:
        """Return status and document of the answer to a request."""
        # learn.microsoft.com/azure/azure-monitor/logs/api/errors has these codes.
        if authorization != f"Bearer {self._token}":
            return 401, api_error(
                ("AuthorizationRequiredError", "Valid authentication was not provided")
            )
        if path.partition("?")[0] != self._path:
            return 404, api_error(("WorkspaceNotFoundError", "The requested path does not exist"))
        try:
            query = json.loads(body)["query"]
            if not isinstance(query, str):
                raise TypeError
        except (ValueError, KeyError, TypeError):
            return 400, api_error(("BadArgumentError", "The request had some invalid properties"))
        try:
            return 200, respond_with_rows(self._workspace.ask(query, self._clock.now()))
        except QueryRefused as refusal:
            return 400, refused(refusal)


def respond_with_rows(answer: Answer) -> Document:
    """Return the document with the rows of an answer, up to the limit of rows."""
    columns = [{"name": name, "type": kind} for name, kind in answer.columns]
    table = {"name": "PrimaryResult", "columns": columns, "rows": answer.rows[:ROW_LIMIT]}
    document: Document = {"tables": [table]}
    if len(answer.rows) > ROW_LIMIT:
        document["error"] = too_many_rows()
    elif answer.left_out:
        document["error"] = left_out(*map(unresolved, answer.left_out))
    return document


def refused(refusal: QueryRefused) -> Document:
    """Return the error of a query that was refused.

    A workspace without Microsoft Sentinel has no function for watchlists. These are Kusto's words
    from learn.microsoft.com/kusto, and the words of Log Analytics about another unknown function
    (in the warnings of a fuzzy union, github.com/Azure/Azure-Sentinel/issues/13874). No public
    source shows the error code for an unknown function in a query of its own.
    """
    if refusal.missing.startswith("_"):
        return semantic_error("SEM0260", str(refusal))
    if refusal.missing:
        return semantic_error("SEM0100", unresolved(refusal.missing))
    kind = "SyntaxError" if re.search(r"could not parse", str(refusal)) else "SemanticError"
    return api_error("BadArgumentError", (kind, str(refusal)))


class _Handler(QuietHandler):
    def __init__(self, service: LogAnalytics, *arguments: Any) -> None:
        self._service = service
        super().__init__(*arguments)

    def do_POST(self) -> None:
        """Answer a query."""
        authorization = self.headers.get("Authorization", "")
        status, document = self._service.respond(self.path, authorization, self.body())
        if "include-statistics=true" in self.headers.get("Prefer", ""):
            document |= {"statistics": {"query": {"executionTime": 0.01}}}
        self.answer(status, document)
