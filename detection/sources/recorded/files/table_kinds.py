"""Tells the table of a file: by its name, by a column with the table's name, or by its columns."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from detection.rule.exclusions import EXCLUSIONS_TABLE
from detection.rule.log_rows import ALLOWLIST_TABLE, OPERATION_TABLE, SIGN_IN_TABLE
from detection.sources.decode.export_hints import hint_from_columns
from detection.sources.recorded.files.activity_log import SIGN_IN_CATEGORY
from detection.sources.recorded.files.columns import CATEGORY, KNOWN, TABLE

_INSTEAD: Final = f"export {SIGN_IN_TABLE.name} instead"
# Tables that people take for those that the rule reads.
OTHER_TABLES: Final = {
    "SigninLogs": f"sign-ins of users: {_INSTEAD}",
    "AADNonInteractiveUserSignInLogs": f"sign-ins of users: {_INSTEAD}",
    "AADServicePrincipalSignInLogs": f"sign-ins of applications with a secret: {_INSTEAD}",
    "AuditLogs": f"changes in Entra ID: export {OPERATION_TABLE.name} instead",
    "MicrosoftGraphActivityLogs": f"calls of Microsoft Graph: export {OPERATION_TABLE.name} "
    "instead",
}
_BY_LOWER_NAME: Final = {name.lower(): name for name in (*KNOWN, *OTHER_TABLES)}
# The columns by which a table is known.
_NEEDED: Final = {
    OPERATION_TABLE.name: OPERATION_TABLE.columns[: OPERATION_TABLE.required],
    SIGN_IN_TABLE.name: SIGN_IN_TABLE.columns[: SIGN_IN_TABLE.required],
    ALLOWLIST_TABLE.name: ALLOWLIST_TABLE.columns,
    EXCLUSIONS_TABLE.name: EXCLUSIONS_TABLE.columns,
}
_SHOWN: Final = 4  # columns of a file that is not recognised


def table_by_name(path: Path) -> str:
    """Return the table that the name of a file begins with; "" if there is none."""
    given = path.name.lower()
    for lower, name in _BY_LOWER_NAME.items():
        if given.startswith(lower) and not given[len(lower) : len(lower) + 1].isalpha():
            return name
    return ""


def table_by_content(names: Sequence[str], first: Mapping[str, Any]) -> str:
    """Return the table of rows with these columns, given the first row; "" if it is unknown."""
    values = {name.lower(): value for name, value in first.items()}
    if named := _BY_LOWER_NAME.get(str(values.get(TABLE.lower(), "")).lower()):
        return named
    columns = {name.lower().removesuffix(" [utc]") for name in names}
    fitting = (
        table
        for table, needed in _NEEDED.items()
        if columns.issuperset(name.lower() for name in needed)
    )
    table = next(fitting, "")
    if table == SIGN_IN_TABLE.name:
        if "userprincipalname" in columns:
            return "SigninLogs"
        if (values.get(CATEGORY.lower()) or SIGN_IN_CATEGORY) != SIGN_IN_CATEGORY:
            return "AADServicePrincipalSignInLogs"
    return table


def why_unknown(names: Sequence[str]) -> tuple[str, bool]:
    """Return the reason why the table of columns is unknown; True if they are of a sign-in log."""
    if hint := hint_from_columns(names):
        return hint, True
    if not names:
        return "it has no rows and no columns", False
    shown = ", ".join(names[:_SHOWN])
    more = ", ..." if len(names) > _SHOWN else ""
    return f"its columns ({shown}{more}) are of no table that the rule reads", False
