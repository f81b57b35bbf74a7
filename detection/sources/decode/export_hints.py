"""Recognises files that are not recorded tables, and says how to export the logs instead.

People export logs in many ways, and only two of them can be read. Each function returns a phrase
that continues an error message, or "" if it recognises nothing.
"""

import re
from collections.abc import Collection
from typing import Any, Final

import orjson

EXPORT_AS_JSON: Final = "export the table with `az monitor log-analytics query -o json`"
HEAD_BYTES: Final = 65_536  # of a file, enough to recognise its format

_QUERY_INSTEAD: Final = "query the workspace's table instead"
_KNOWN_COLUMNS = (
    ({"eventTimestamp", "caller"}, "the output of `az monitor activity-log list`"),
    ({"createdDateTime"}, "a sign-in log exported from Entra or Microsoft Graph"),
    (
        {"time", "category"},
        "the output of a diagnostic setting to a storage account or an event hub",
    ),
)
_MAGIC_BYTES = (
    (b"\x1f\x8b", "it is compressed with gzip: unpack it"),
    (b"PK\x03\x04", f"it is a zip file or an Excel workbook: unpack it, or {EXPORT_AS_JSON}"),
    (b"PAR1", f"it is a Parquet file: {EXPORT_AS_JSON}"),
    (b"<", f"it seems to be HTML or XML, such as a proxy's or a sign-in page: {EXPORT_AS_JSON}"),
)


def hint_from_columns(names: Collection[str], wanted: Collection[str]) -> str:
    """Recognise a table, which lacks the `wanted` columns, by the `names` of those it has."""
    for known, phrase in _KNOWN_COLUMNS:
        if known <= set(names):
            return f"it seems to be {phrase}: {_QUERY_INSTEAD}"
    for column in wanted:
        for name in names:
            if name.startswith(f"{column} ["):  # the portal adds the time zone
                return f"it seems to be an export from the portal, with {name!r}: {EXPORT_AS_JSON}"
            if name != column and name.lower() == column.lower():
                return f"it has {name!r}, but column names are case-sensitive: use {column}"
    return ""


def hint_from_document(document: dict[str, Any], wanted: Collection[str]) -> str:
    """Recognise a JSON object without tables, which may be a row with a `wanted` column."""
    if isinstance(document.get("value"), list):
        return (
            "it seems to be an answer from Microsoft Graph or from Azure's management API, not "
            f"from Log Analytics: {EXPORT_AS_JSON}"
        )
    if isinstance(document.get("Results"), list):
        return "it seems to be the result of a query in PowerShell: save only its Results as JSON"
    if any(column in document for column in wanted):
        return "it seems to be a single row: put it into an array"
    return ""


def hint_from_bytes(head: bytes) -> str:
    """Recognise a file that is not JSON by its first bytes."""
    head = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not head.strip(b"\0"):
        return "it is empty: export the table again, or remove the file if the table does not exist"
    for magic, phrase in _MAGIC_BYTES:
        if head.startswith(magic):
            return phrase
    return _hint_from_text(head)


def _hint_from_text(head: bytes) -> str:
    first, *others = head.splitlines()
    phrase = f"something other than a table: {EXPORT_AS_JSON}"
    if b"\0" in head[:100]:
        phrase = "UTF-16, as some shells write it: save it as UTF-8"
    elif head.startswith(b"{") and others and _is_object(first):
        phrase = "JSON Lines, one row per line: put the rows into one array, as `jq -s .` does"
    elif head.startswith((b"{", b"[")):
        phrase = "damaged or cut short: export the table again"
    elif others and re.fullmatch(rb"[-+| ]{10,}", others[0]):
        phrase = f"a table laid out as text: {EXPORT_AS_JSON}"
    elif re.match(rb"(- )?\w+: ", head):
        phrase = f"YAML or an error message: {EXPORT_AS_JSON}"
    elif any(separator in first for separator in (b",", b";", b"\t")):
        phrase = f"CSV, as exported from the portal, but only JSON is read: {EXPORT_AS_JSON}"
    return f"it seems to be {phrase}"


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except ValueError:
        return False
