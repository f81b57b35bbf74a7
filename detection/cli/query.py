"""`query`: runs a query on a workspace, and prints the rows."""

import json
import os
import sys
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from detection.cli import console as terminal
from detection.cli.options import verbose_option
from detection.cli.shell.help import Command
from detection.cli.shell.settings_file import settings_option
from detection.errors import UsageError
from detection.printable import one_line
from detection.settings import read_settings
from detection.sinks.failures import standard_output_errors


@click.command(
    "query",
    cls=Command,
    short_help="Run a query on a workspace and print its rows.",
    examples=(
        "query 'ManagedIdentityImpact() | top 10 by RiskScore'",
        "query --json 'AzureActivity | where TimeGenerated > ago(1h)' >rows.jsonl",
        "query --settings .emulator/settings.json 'ManagedIdentityImpactRuns_CL'",
    ),
)
@click.argument("kql")
@click.option("--workspace", metavar="ID", help="The workspace to query, of several.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON Lines.")
@settings_option
@verbose_option
def query_command(*, kql: str, workspace: str | None, as_json: bool, verbose: bool) -> int:
    """Run a query on a workspace and print its rows.

    KQL is the text of the query; with - it is read from standard input. The query itself names the
    times of its rows. On a terminal the rows are a table; elsewhere a line each, with tabs between
    the values.

    Exit status: 0 if the query ran; 1 if it was refused; 2 if an option or a setting is wrong.
    """
    del verbose
    deployment = read_settings(os.environ, complete=False).deployment
    chosen = workspace or deployment.workspace_ids[0]
    if workspace is None and len(deployment.workspace_ids) > 1:
        raise UsageError(
            f"WORKSPACE_IDS has {len(deployment.workspace_ids)} workspaces: choose one with "
            "--workspace ID"
        )
    # Takes half a second to import, which --help need not wait.
    from detection.azure_clients import AzureClients  # noqa: PLC0415

    with AzureClients(deployment) as azure:
        result = azure.query(chosen, sys.stdin.read() if kql == "-" else kql)
    with standard_output_errors():
        if as_json:
            _print_json(result.columns, result.rows)
        elif sys.stdout.isatty():
            _print_table(result.columns, result.rows)
        else:
            _print_tabs(result.columns, result.rows)
        sys.stdout.flush()
    if result.warning:
        stderr = Console(stderr=True, highlight=False)
        terminal.print_line(stderr, f"The service warns: {result.warning}", "yellow")
    return 0


def _print_json(columns: list[str], rows: list[list[Any]]) -> None:
    for row in rows:
        print(json.dumps(dict(zip(columns, row, strict=True))))


def _print_tabs(columns: list[str], rows: list[list[Any]]) -> None:
    for cells in (columns, *rows):
        print("\t".join(map(_text, cells)))


def _print_table(columns: list[str], rows: list[list[Any]]) -> None:
    table = Table(*map(escape, columns))
    for row in rows:
        table.add_row(*(Text(_text(value)) for value in row))
    console = Console()
    console.print(table)
    console.print(f"{len(rows)} rows" if len(rows) != 1 else "1 row")


def _text(value: Any) -> str:
    """Return a value on one line; null is empty."""
    if value is None:
        return ""
    return one_line(value if isinstance(value, str) else json.dumps(value))
