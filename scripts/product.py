"""Prints infra/product.bicep: what the deployment has to know of the product.

The tables with their columns, the tables that are read, and the settings with their defaults are
declared in detection/; `make infra` carries them over.
"""

import sys

from detection.rule.log_rows import OPERATION_TABLE, SIGN_IN_TABLE
from detection.schema import Finding, RunRecord, columns
from detection.settings import SETTINGS

# Settings that name what the deployment itself makes; nobody can choose them apart from it.
MADE = ("AZURE_CLOUD", "FINDINGS_STREAM", "RUNS_STREAM", "STATE_CONTAINER")
# And one that can be chosen though the cloud that is deployed to has one of its own.
CHOICES = ("LOGS_QUERY_ENDPOINT",)
WATCHLISTS = "Watchlist"  # the table behind _GetWatchlist


def product() -> str:
    """Return the text of infra/product.bicep."""
    defaults = {name: each.default for name, each in SETTINGS.items() if each.default}
    choices = [name for name in (*defaults, *CHOICES) if name not in MADE]
    tables = {
        "findings": _table("FINDINGS_STREAM", Finding),
        "runs": _table("RUNS_STREAM", RunRecord),
    }
    lines = [
        "// Made by `make infra` from detection/schema.py and detection/settings.py: change those.",
        "",
        "@export()",
        "@description('A custom table.')",
        "type tableDefinition = {",
        "  name: string",
        "  columns: {",
        "    name: string",
        "    type: 'boolean' | 'datetime' | 'dynamic' | 'int' | 'long' | 'string'",
        "  }[]",
        "}",
        "",
        "@export()",
        "@description('Settings of the product that may differ from their defaults.')",
        "@sealed()",
        "type productSettings = {",
        *(f"  {name}: string?" for name in choices),
        "}",
        "",
        "@export()",
        "@description('Every setting that has a default.')",
        "var defaults = {",
        *(f"  {name}: {_text(value)}" for name, value in defaults.items()),
        "}",
        "",
        "@export()",
        "@description('The tables that are read.')",
        "var sources = [",
        *(f"  {_text(name)}" for name in (SIGN_IN_TABLE.name, OPERATION_TABLE.name, WATCHLISTS)),
        "]",
    ]
    for name, table in tables.items():
        lines += ["", "@export()", f"@description('The table of {name}.')", f"var {name} = {{"]
        lines += [*table, "}"]
    return "\n".join([*lines, ""])


def _table(setting: str, row: type) -> list[str]:
    """Return the members of a tableDefinition: the table that a stream's default ends in."""
    return [
        f"  name: {_text(SETTINGS[setting].default.removeprefix('Custom-'))}",
        "  columns: [",
        *(f"    {{ name: {_text(name)}, type: {_text(kind)} }}" for name, kind in columns(row)),
        "  ]",
    ]


def _text(value: str) -> str:
    """Return a literal of Bicep."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("${", "\\${")
    return f"'{escaped}'"


if __name__ == "__main__":
    sys.stdout.write(product())
