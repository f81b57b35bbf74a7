"""Prints infra/product.bicep: the facts of the product that the deployment uses.

detection/ declares the custom tables with their columns, the log tables, and the settings with
their defaults; `make infra` copies them to the Bicep file.
"""

import sys

from detection.rule.log_rows import OPERATION_TABLE, SIGN_IN_TABLE
from detection.schema import Finding, RunRecord, columns
from detection.settings import SETTINGS

# Settings whose values the deployment itself creates; they cannot be chosen.
MADE = ("DEPLOYMENT_NAME", "AZURE_CLOUD", "FINDINGS_STREAM", "RUNS_STREAM", "STATE_CONTAINER")
# A setting without a fixed default that can be chosen: its default depends on the cloud.
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
        *(f"  {name}: {_type(name)}?" for name in choices),
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
    """Return the members of a tableDefinition; its name is the stream's without "Custom-"."""
    return [
        f"  name: {_text(SETTINGS[setting].default.removeprefix('Custom-'))}",
        "  columns: [",
        *(f"    {{ name: {_text(name)}, type: {_text(kind)} }}" for name, kind in columns(row)),
        "  ]",
    ]


def _type(name: str) -> str:
    """Return the Bicep type of a setting: its values, if the pattern lists them, or a string."""
    values = SETTINGS[name].pattern.removeprefix("(?i:").removesuffix(")").split("|")
    return f"({' | '.join(map(_text, values))})" if all(map(str.isalpha, values)) else "string"


def _text(value: str) -> str:
    """Return the value as a Bicep literal."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("${", "\\${")
    return f"'{escaped}'"


if __name__ == "__main__":
    sys.stdout.write(product())
