"""Recognises files that are not tables of logs, and says how to export the logs instead.

Each function returns a phrase that continues an error message, or "" if it recognises nothing.
"""

import re
from collections.abc import Collection
from typing import Final

EXPORT: Final = "export the table with `az monitor log-analytics query -o json`"
DUCKDB: Final = (
    "`duckdb -c \"COPY (FROM 'FILE.parquet') TO 'TABLE.json'\"` converts it, where TABLE is the "
    "name of the table"
)

_SIGN_INS: Final = "AADManagedIdentitySignInLogs"
_FROM_GRAPH: Final = (
    f"a sign-in log exported from Entra or Microsoft Graph: query the workspace's table {_SIGN_INS}"
)
_OTHER_CATEGORY: Final = (
    "the output of a diagnostic setting, of another category than the Activity Log's and "
    "ManagedIdentitySignInLogs: export one of these"
)
# Logs that lack the columns of the rule's tables.
_KNOWN_COLUMNS: Final = (
    ({"createdDateTime"}, _FROM_GRAPH),
    ({"time", "category"}, _OTHER_CATEGORY),
)
_MAGIC_BYTES: Final = (
    (
        b"PK\x03\x04",
        "is a zip file or an Excel workbook: unpack it, or save the sheet as CSV UTF-8",
    ),
    (b"PAR1", f"is a Parquet file: {DUCKDB}"),
    (b"<", f"seems to be HTML or XML, such as a proxy's or a sign-in page: {EXPORT}"),
)
_SHOWN: Final = 40  # characters of a file that is not recognised


def hint_from_columns(names: Collection[str]) -> str:
    """Recognise a table without required columns by the `names` of those it has."""
    for known, phrase in _KNOWN_COLUMNS:
        if known <= set(names):
            return f"it seems to be {phrase}"
    return ""


def hint_from_bytes(head: bytes) -> str:
    """Recognise a file that is neither JSON nor CSV by its first bytes; "" for JSON and text."""
    head = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not head.strip(b"\0"):
        return "is empty: export the table again, or remove the file if the table does not exist"
    for magic, phrase in _MAGIC_BYTES:
        if head.startswith(magic):
            return phrase
    if b"\0" in head[:100]:
        return "seems to be UTF-16 without a byte order mark, or no text: save it as UTF-8"
    lines = head.splitlines()
    if len(lines) > 1 and re.fullmatch(rb"[-+| ]{10,}", lines[1]):
        return f"seems to be a table laid out as text: {EXPORT}"
    if re.match(rb"(- )?\w+: ", head):
        return f"seems to be YAML or an error message ({begins(head)}): {EXPORT}"
    return ""


def hint_from_text(head: bytes) -> str:
    """Recognise text that is not the JSON or CSV that it was taken for."""
    head = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith((b"{", b"[")):
        return "it seems to be damaged or cut short: export the table again"
    return f"it seems to be something other than a table ({begins(head)}): {EXPORT}"


def begins(head: bytes) -> str:
    """Return the first characters of a file, for a message."""
    text = head[: 4 * _SHOWN].decode("utf-8", "replace")
    return f"it begins with {text[:_SHOWN]!r}"
