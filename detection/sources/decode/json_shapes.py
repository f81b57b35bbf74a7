"""Finds the rows in JSON documents of other tools than the Log Analytics API and `az`.

Kusto's answers are described in learn.microsoft.com/kusto/api/rest/response-http (v1) and
/response-http-v2 (v2).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from detection.errors import SourceError
from detection.sources.decode.json_document import excerpt
from detection.sources.decode.json_lines import RECORDS
from detection.sources.decode.row_set import RowSet

# A member of each object that can be a row of a table here.
_ROW_MEMBERS: Final = (
    *("timegenerated", "eventtimestamp", "createddatetime", "time", "iporrange", "caller"),
    *("serviceprincipalid", "identity"),
)
_PAGE: Final = "only one page of an answer: fetch the page that nextLink names into another file"


def rows_of_shape(document: Any, where: str) -> RowSet | None:
    """Return the rows of a document, None if it has no known shape.

    Raises SourceError if the document says that it is incomplete, or is of a known shape that
    cannot be read.
    """
    if isinstance(document, list):
        is_v2 = bool(document) and isinstance(document[0], dict) and "FrameType" in document[0]
        return _kusto_v2(document, where) if is_v2 else None
    if not isinstance(document, dict) or document.get("error") or "tables" in document:
        return None
    return _query_result(document, where) or _other_object(document, where)


def _query_result(document: Mapping[str, Any], where: str) -> RowSet | None:
    if isinstance(document.get("Tables"), list):
        return _kusto_v1(document, where)
    return _powershell(document, where) if "Results" in document else None


def _other_object(document: Mapping[str, Any], where: str) -> RowSet | None:
    if isinstance(rows := document.get(RECORDS), list):
        return RowSet("messages of an event hub", None, [rows])
    if isinstance(rows := document.get("value"), list):
        next_page = document.get("nextLink") or document.get("@odata.nextLink")
        return RowSet("REST answer", None, [rows], f"{where}: is {_PAGE}" if next_page else "")
    if _is_pandas(document):
        raise SourceError(
            f"{where}: it seems to be written by pandas' to_json, column by column: write it with "
            'orient="records", lines=True'
        )
    names = {name.lower().partition(" [")[0] for name in document}
    return RowSet("JSON object, one row", None, [[document]]) if names & {*_ROW_MEMBERS} else None


def _powershell(document: Mapping[str, Any], where: str) -> RowSet:
    """Return the rows of the whole result of Invoke-AzOperationalInsightsQuery."""
    if document.get("Error"):
        raise SourceError(
            f"{where}: is the result of a query that failed or returned only some of its rows "
            f"({excerpt(document['Error'])}): query again"
        )
    rows = document["Results"]
    if isinstance(rows, dict) and isinstance(rows.get("value"), list):
        rows = rows["value"]  # Windows PowerShell's way to write an array with members
    if not isinstance(rows, list):  # one row, or none
        rows = [rows] if rows else []
    return RowSet("PowerShell result", None, [rows])


def _is_pandas(document: Mapping[str, Any]) -> bool:
    """Return True for to_json() with orient "columns", "index", "split" or "table"."""
    if document.keys() in ({"columns", "index", "data"}, {"schema", "data"}):
        return True
    members = list(document.values())
    return bool(members) and all(
        isinstance(each, dict) and (not each or "0" in each) for each in members
    )


def _kusto_v1(document: Mapping[str, Any], where: str) -> RowSet:
    """Return the rows of the only query result; the last table of several lists their kinds."""
    if document.get("Exceptions"):
        raise SourceError(_incomplete(where, document["Exceptions"]))
    tables = document["Tables"]
    if len(tables) > 1:
        names, contents = _names(tables[-1], where), tables[-1].get("Rows") or ()
        rows = [dict(zip(names, row, strict=False)) for row in contents]
        wanted = [row.get("Ordinal") for row in rows if row.get("Kind") == "QueryResult"]
        tables = [tables[each] for each in wanted if isinstance(each, int)]
    return _kusto("Azure Data Explorer answer (v1)", tables, where)


def _kusto_v2(frames: Sequence[Any], where: str) -> RowSet:
    """Return the rows of the only primary result, in one frame or in fragments."""
    frames = [frame for frame in frames if isinstance(frame, dict)]
    ends = [frame for frame in frames if frame.get("FrameType") == "DataSetCompletion"]
    if not ends or ends[0].get("HasErrors") or ends[0].get("Cancelled"):
        problem = ends[0].get("OneApiErrors") or "cancelled" if ends else "it has no end"
        raise SourceError(_incomplete(where, problem))
    kinds = {"DataTable", "TableHeader"}
    tables = [
        frame | {"Rows": list(frame.get("Rows") or ())}
        for frame in frames
        if frame.get("FrameType") in kinds and frame.get("TableKind") == "PrimaryResult"
    ]
    by_id = {table.get("TableId"): table["Rows"] for table in tables}
    for frame in frames:
        if frame.get("FrameType") == "TableFragment" and frame.get("TableId") in by_id:
            rows = by_id[frame["TableId"]]
            if frame.get("TableFragmentType") == "DataReplace":
                rows.clear()
            rows += frame.get("Rows") or ()
    return _kusto("Azure Data Explorer answer (v2)", tables, where)


def _kusto(form: str, tables: Sequence[Any], where: str) -> RowSet:
    if len(tables) != 1:
        raise SourceError(
            f"{where}: must hold exactly one query result, and has {len(tables)}: query one table"
        )
    rows = tables[0].get("Rows")
    if not isinstance(rows, list):
        raise SourceError(f'{where}: its query result has no "Rows" array')
    return RowSet(form, _names(tables[0], where), [rows])


def _names(table: Any, where: str) -> list[Any]:
    try:
        return [column["ColumnName"] for column in table["Columns"]]
    except (KeyError, TypeError):
        raise SourceError(f'{where}: its query result has no "Columns" with names') from None


def _incomplete(where: str, problem: object) -> str:
    return (
        f"{where}: is the answer to a query that failed or returned only some of its rows "
        f"({excerpt(problem)}): query again"
    )
