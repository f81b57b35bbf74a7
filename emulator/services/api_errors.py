"""The error documents of Log Analytics.

A comment beside each names the page or public thread that shows it.
"""

from typing import Any, Final

_FAILED: Final = "Something went wrong processing your query on the server."

Document = dict[str, Any]


def too_many_rows() -> Document:
    """Return the error beside the rows of an answer that was cut.

    github.com/Azure/azure-sdk-for-python/issues/25137 shows the form.
    """
    message = "Query result set has exceeded the internal record count limit"
    return partial_error(
        {
            "code": "-2133196797",
            "message": f"{message} (E_QUERY_RESULT_SET_TOO_LARGE)",
            "severity": 2,
            "severityName": "Error",
        }
    )


def partial_error(*errors: Document) -> Document:
    """Return an error beside rows."""
    return {
        "code": "PartialError",
        "message": "There were some errors when processing your query.",
        "details": [
            {"code": "EngineError", "message": _FAILED, "innererror": error} for error in errors
        ],
    }


def left_out(*messages: str, severity: object = 3) -> Document:
    """Return the error beside the rows of a fuzzy union that left something out.

    github.com/Azure/azure-sdk-for-python/issues/25137 shows the whole body; 3 is "Warning", 2 and
    1 are failures (learn.microsoft.com/kusto/concepts/partial-query-failures).
    """
    return partial_error(
        *(
            {
                "code": "-2133196790",
                "message": message,
                "severity": severity,
                "severityName": "Warning",
            }
            for message in messages
        )
    )


def unresolved(table: str) -> str:
    """Return the message about a missing table.

    github.com/Azure/Azure-Sentinel/issues/2138 shows the words, azure-sdk-for-python/issues/25137
    too.
    """
    return f"'where' operator: Failed to resolve table or column expression named '{table}'"


def semantic_error(code: str, message: str) -> Document:
    """Return the error of a query that names something unknown."""
    return api_error("BadArgumentError", "SemanticError", (code, message))


def api_error(*codes: str | tuple[str, str]) -> Document:
    """Return an error document, with each error inside the one before."""
    document: Document = {}
    for code in reversed(codes):
        name, message = code if isinstance(code, tuple) else (code, f"{code} happened.")
        inner = {"innererror": document} if document else {}
        document = {"code": name, "message": message} | inner
    return {"error": document | {"correlationId": "f3b2c1d0-0000-4000-8000-000000000000"}}
