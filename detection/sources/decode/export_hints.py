"""What something that is no recorded table seems to be, and what to do with it.

People export logs in many ways, of which two are read. Each function returns a phrase that goes
on with an error message, or "" where nothing is recognised.
"""

import re
from collections.abc import Collection
from typing import Any, Final

import orjson

AS_JSON: Final = "export the table with `az monitor log-analytics query -o json`"
BYTES_LOOKED_AT: Final = 65_536  # bytes of a file's beginning

_QUERY: Final = "query the workspace's table instead"
_COLUMNS = (
    ({"eventTimestamp", "caller"}, "what `az monitor activity-log list` prints"),
    ({"createdDateTime"}, "the sign-in log as Entra and Microsoft Graph export it"),
    ({"time", "category"}, "what a diagnostic setting writes to a storage account or event hub"),
)
_MAGIC = (
    (b"\x1f\x8b", "it is compressed with gzip: unpack it"),
    (b"PK\x03\x04", f"it is a zip file or an Excel workbook: unpack it, or {AS_JSON}"),
    (b"PAR1", f"it is a Parquet file: {AS_JSON}"),
    (b"<", f"it seems to be HTML or XML, as a proxy or a page to sign in answers: {AS_JSON}"),
)


def hint_from_columns(names: Collection[str], wanted: Collection[str]) -> str:
    """Recognise a table by the names of its columns, which lack a wanted one."""
    for known, phrase in _COLUMNS:
        if known <= set(names):
            return f"it seems to be {phrase}: {_QUERY}"
    for column in wanted:
        for name in names:
            if name.startswith(f"{column} ["):  # the portal adds the time zone
                return f"it seems to be the portal's export, which has {name!r}: {AS_JSON}"
            if name != column and name.lower() == column.lower():
                return f"it has {name!r}, and case counts: spell it {column}"
    return ""


def hint_from_document(document: dict[str, Any], wanted: Collection[str]) -> str:
    """Recognise a JSON object that holds no tables."""
    if isinstance(document.get("value"), list):
        return (
            "it seems to be an answer of Microsoft Graph or of Azure's management API, not of Log "
            f"Analytics: {AS_JSON}"
        )
    if isinstance(document.get("Results"), list):
        return "it seems to be what PowerShell's query returns: save its Results alone, as JSON"
    if any(column in document for column in wanted):
        return "it seems to be a single row: put it into an array"
    return ""


def hint_from_bytes(head: bytes) -> str:
    """Recognise what is not JSON by its beginning."""
    head = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not head.strip(b"\0"):
        return "it is empty: export the table again, or remove the file if there is no such table"
    for magic, phrase in _MAGIC:
        if head.startswith(magic):
            return phrase
    return _of_text(head)


def _of_text(head: bytes) -> str:
    first, *others = head.splitlines()
    phrase = f"no table at all: {AS_JSON}"
    if b"\0" in head[:100]:
        phrase = "UTF-16, as some shells write it: save it as UTF-8"
    elif head.startswith(b"{") and others and _is_object(first):
        phrase = "JSON Lines, a row in each: put the rows into one array, as `jq -s .` does"
    elif head.startswith((b"{", b"[")):
        phrase = "damaged or cut short: export the table again"
    elif others and re.fullmatch(rb"[-+| ]{10,}", others[0]):
        phrase = f"a table for people: {AS_JSON}"
    elif re.match(rb"(- )?\w+: ", head):
        phrase = f"YAML or a message: {AS_JSON}"
    elif any(separator in first for separator in (b",", b";", b"\t")):
        phrase = f"CSV, as the portal exports it, and only JSON is read: {AS_JSON}"
    return f"it seems to be {phrase}"


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except ValueError:
        return False
