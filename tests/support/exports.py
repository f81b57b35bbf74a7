"""Writes rows of tables as other tools export them. Each writer returns the bytes of a file.

Shapes: `az monitor activity-log list`, its REST API, and records in a storage account or an event
hub as in learn.microsoft.com/azure/azure-monitor/essentials/activity-log-schema; records of
sign-ins as in the tests of elastic/integrations (packages/azure/data_stream/signinlogs); answers of
Azure Data Explorer as in learn.microsoft.com/kusto/api/rest/response-http and response-http-v2; the
portal's CSV from public samples with a column `TimeGenerated [UTC]`. The rest is the documented
behaviour of the tools: ConvertTo-Json of PowerShell, to_json of pandas.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from detection.rule.ticks import SECOND, parse_time

Row = Mapping[str, Any]
Rows = Sequence[Row]
Writer = Callable[[Rows], bytes]
CLAIMS = "http://schemas.microsoft.com/identity/claims/"
# The statuses of AzureActivity, as the REST API spells them.
REST_STATUSES = {
    "Success": "Succeeded",
    "Start": "Started",
    "Accept": "Accepted",
    "Failure": "Failed",
}


def names_of(rows: Rows) -> list[str]:
    """Return the columns of rows, in the order of their first appearance."""
    return list(dict.fromkeys(name for row in rows for name in row))


def arrays_of(rows: Rows) -> list[list[Any]]:
    """Return the rows as arrays of values."""
    return [[row.get(name) for name in names_of(rows)] for row in rows]


def document(value: object) -> bytes:
    """Return a value as JSON."""
    return json.dumps(value, ensure_ascii=False).encode()


def json_array(rows: Rows) -> bytes:
    """Return `$r.Results | ConvertTo-Json` of PowerShell 7."""
    return json.dumps(list(rows), indent=2, ensure_ascii=False).encode()


def az_query(rows: Rows) -> bytes:
    """Return `az monitor log-analytics query -o json`, which writes all values as texts."""
    return json_array(
        [
            {name: cell(value) or "None" for name, value in row.items()}
            | {"TableName": "PrimaryResult"}
            for row in rows
        ]
    )


def response(rows: Rows) -> bytes:
    """Return an answer of the Log Analytics API."""
    columns = [{"name": name, "type": "string"} for name in names_of(rows)]
    table = {"name": "PrimaryResult", "columns": columns, "rows": arrays_of(rows)}
    return document({"tables": [table]})


def json_lines(rows: Rows) -> bytes:
    """Return a blob of a data export: one row a line."""
    return b"\n".join(map(document, rows)) + b"\n"


def cell(value: object) -> str:
    """Return a value as a cell of CSV."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def table_of_text(rows: Rows, delimiter: str, names: Sequence[str] | None = None) -> bytes:
    """Return CSV with a header; `names` replace the names of the columns."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(names or names_of(rows))
    writer.writerows([[cell(value) for value in row] for row in arrays_of(rows)])
    return text.getvalue().encode()


def iso_csv(rows: Rows) -> bytes:
    """Return CSV with ISO 8601 times."""
    return table_of_text(rows, ",")


def iso_tsv(rows: Rows) -> bytes:
    """Return TSV with ISO 8601 times."""
    return table_of_text(rows, "\t")


def portal_csv(rows: Rows) -> bytes:
    """Return the portal's CSV in English (United States), with a byte order mark."""
    names = [f"{name} [UTC]" if name == "TimeGenerated" else name for name in names_of(rows)]
    dated = [row | {"TimeGenerated": us_time(str(row["TimeGenerated"]))} for row in map(dict, rows)]
    return b"\xef\xbb\xbf" + table_of_text(dated, ",", names)


def us_time(text: str) -> str:
    """Return 3/14/2026, 8:33:04.115 AM for 2026-03-14T08:33:04.1150000Z."""
    match = re.match(r"(\d+)-(\d+)-(\d+)T(\d+):(\d+:\d+)(\.\d{3})?", text)
    assert match
    year, month, day, hour, rest, fraction = match.groups()
    half = "PM" if int(hour) >= 12 else "AM"
    hour = int(hour) % 12 or 12
    return f"{int(month)}/{int(day)}/{year}, {hour}:{rest}{fraction or '.000'} {half}"


def milliseconds(text: str) -> int:
    """Return a time as milliseconds since 1970."""
    return parse_time(text) * 1000 // SECOND


def epoch_array(rows: Rows) -> bytes:
    """Return rows with times in milliseconds, as to_json(orient="records") of pandas."""
    return json_array(
        [{**row, "TimeGenerated": milliseconds(str(row["TimeGenerated"]))} for row in rows]
    )


def windows_powershell(rows: Rows) -> bytes:
    """Return `$r.Results | ConvertTo-Json >file` of Windows PowerShell 5: dates, and UTF-16."""
    dated = [
        {**row, "TimeGenerated": f"/Date({milliseconds(str(row['TimeGenerated']))})/"}
        for row in rows
    ]
    shown = dated[0] if len(dated) == 1 else dated
    return ("\ufeff" + json.dumps(shown).replace("/Date", r"\/Date")).encode("utf-16-le")


def powershell_result(rows: Rows) -> bytes:
    """Return `Invoke-AzOperationalInsightsQuery ... | ConvertTo-Json -Depth 9`."""
    return document({"Results": list(rows), "Render": None, "Statistics": None, "Error": None})


def kusto_v1(rows: Rows) -> bytes:
    """Return an answer of Azure Data Explorer, version 1: the last table lists the others."""
    columns = [{"ColumnName": name, "DataType": "String"} for name in names_of(rows)]
    contents = [
        {"ColumnName": name, "DataType": "String"}
        for name in ("Ordinal", "Kind", "Name", "Id", "PrettyName")
    ]
    listed = [
        [0, "QueryResult", "PrimaryResult", "a", ""],
        [1, "QueryStatus", "QueryStatus", "b", ""],
    ]
    return document(
        {
            "Tables": [
                {"TableName": "Table_0", "Columns": columns, "Rows": arrays_of(rows)},
                {"TableName": "Table_1", "Columns": contents[:1], "Rows": [[1]]},
                {"TableName": "Table_2", "Columns": contents, "Rows": listed},
            ]
        }
    )


def kusto_v2(rows: Rows, *, fragments: bool = False) -> bytes:
    """Return an answer of Azure Data Explorer, version 2, with its table whole or in fragments."""
    columns = [{"ColumnName": name, "ColumnType": "string"} for name in names_of(rows)]
    table = {"TableId": 1, "TableKind": "PrimaryResult", "TableName": "R", "Columns": columns}
    body: list[dict[str, Any]] = [{"FrameType": "DataTable", **table, "Rows": arrays_of(rows)}]
    if fragments:
        half, values = len(rows) // 2, arrays_of(rows)
        parts = (
            *(("DataAppend", values[:1]), ("DataReplace", values[:half])),
            ("DataAppend", values[half:]),
        )
        body = [
            {"FrameType": "TableHeader", **table},
            *(
                {
                    "FrameType": "TableFragment",
                    "TableId": 1,
                    "TableFragmentType": kind,
                    "Rows": part,
                }
                for kind, part in parts
            ),
            {"FrameType": "TableCompletion", "TableId": 1, "RowCount": len(rows)},
        ]
    properties = {"FrameType": "DataTable", "TableId": 0, "TableKind": "QueryProperties"}
    frames = [
        {"FrameType": "DataSetHeader", "IsProgressive": fragments, "Version": "v2.0"},
        {**properties, "TableName": "P", "Columns": [], "Rows": []},
        *body,
        {"FrameType": "DataSetCompletion", "HasErrors": False, "Cancelled": False},
    ]
    return document(frames)


def kusto_v2_fragments(rows: Rows) -> bytes:
    """Return an answer of Azure Data Explorer, version 2, in fragments."""
    return kusto_v2(rows, fragments=True)


def parsed(row: Row, name: str) -> dict[str, Any]:
    """Return an object that AzureActivity holds as text, or beside it as an object."""
    value = row.get(f"{name}_d") or row.get(name) or {}
    found: dict[str, Any] = json.loads(value) if isinstance(value, str) else value
    return found


def claims(row: Row) -> dict[str, Any]:
    """Return the claims of a row, with the object id of its caller."""
    return {f"{CLAIMS}objectidentifier": row["Caller"], **parsed(row, "Claims")}


def event(row: Row) -> dict[str, Any]:
    """Return a row of AzureActivity as an event of the Activity Log's REST API."""

    def localized(value: object) -> dict[str, object]:
        return {"value": value, "localizedValue": f"{value} (localized)"}

    status = row["ActivityStatusValue"]
    return {
        "eventTimestamp": row["TimeGenerated"],
        "caller": row["Caller"],
        "claims": claims(row),
        "authorization": parsed(row, "Authorization"),
        "operationName": localized(row["OperationNameValue"]),
        "status": localized(REST_STATUSES.get(status, status)),
        "subStatus": localized(""),
        "category": localized("Administrative"),
        "resourceGroupName": row["ResourceGroup"],
        "resourceId": row["ResourceId"] or row.get("_ResourceId"),
        "subscriptionId": row["SubscriptionId"],
        "httpRequest": {"clientIpAddress": row.get("CallerIpAddress"), "method": "PUT"},
        "eventDataId": row["EventDataId"],
        "correlationId": row.get("CorrelationId"),
        "properties": parsed(row, "Properties"),
        "relatedEvents": [],
    }


def record(row: Row) -> dict[str, Any]:
    """Return a row of AzureActivity as a record of a diagnostic setting, which has no event id."""
    resource = str(row["ResourceId"] or row.get("_ResourceId"))
    return {
        "time": row["TimeGenerated"],
        "resourceId": resource.upper(),
        "operationName": row["OperationNameValue"],
        "category": "Administrative",
        "resultType": row["ActivityStatusValue"],
        "resultSignature": "Succeeded.OK",
        "durationMs": "0",
        "callerIpAddress": row.get("CallerIpAddress"),
        "correlationId": row.get("CorrelationId"),
        "identity": {
            "authorization": parsed(row, "Authorization"),
            "claims": claims(row),
        },
        "level": "Information",
        "properties": parsed(row, "Properties") | {"eventCategory": "Administrative"},
    }


def sign_in_record(row: Row) -> dict[str, Any]:
    """Return a row of AADManagedIdentitySignInLogs as a record of a diagnostic setting."""
    return {
        "time": row["TimeGenerated"],
        "resourceId": "/tenants/00000000-0000-0000-0000-000000000001/providers/Microsoft.aadiam",
        "operationName": "Sign-in activity",
        "category": "ManagedIdentitySignInLogs",
        "tenantId": "00000000-0000-0000-0000-000000000001",
        "resultType": row["ResultType"],
        "correlationId": row.get("CorrelationId"),
        "Level": 4,
        "properties": {
            "id": row["Id"],
            "createdDateTime": row["TimeGenerated"],
            "ipAddress": row["IPAddress"],
            "resourceDisplayName": row["ResourceDisplayName"],
            "resourceId": row.get("ResourceIdentity"),
            "servicePrincipalName": row["ServicePrincipalName"],
            "servicePrincipalId": row["ServicePrincipalId"],
        },
    }


# Every format of a table, by the name of a test.
TABLE_FORMATS: dict[str, tuple[str, Writer]] = {
    "json-array": ("json", json_array),
    "az-query": ("json", az_query),
    "api-response": ("json", response),
    "json-lines": ("json", json_lines),
    "csv": ("csv", iso_csv),
    "tsv": ("tsv", iso_tsv),
    "powershell-result": ("json", powershell_result),
    "kusto-v1": ("json", kusto_v1),
    "kusto-v2": ("json", kusto_v2),
    "kusto-v2-fragments": ("json", kusto_v2_fragments),
}
# Formats whose times have no more than three fraction digits.
COARSE_FORMATS: dict[str, tuple[str, Writer]] = {
    "portal-csv": ("csv", portal_csv),
    "windows-powershell": ("json", windows_powershell),
    "epoch-milliseconds": ("json", epoch_array),
}
