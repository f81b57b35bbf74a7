"""The lines that a run of the emulated app prints: the run, and each row that it delivered."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from detection.cli.console import matched_text
from detection.printable import counted, one_line
from detection.rule.ticks import format_time
from detection.schema import FINDINGS_TABLE
from emulator.kusto.workspace import Answer

Delivered = Sequence[tuple[str, Mapping[str, Any]]]  # tables and rows, in the order of arrival


def describe_run(at: int, outcome: Mapping[str, Any], delivered: Delivered) -> Iterator[str]:
    """Yield a line about a run at a time (ticks), one for each row, and those of its errors."""
    findings = [row for table, row in delivered if table == FINDINGS_TABLE]
    records = [row for table, row in delivered if table != FINDINGS_TABLE]
    new = sum(row["Revision"] == 1 for row in findings)
    late = sum(row["LateRows"] for row in records)
    parts = [
        counted(new, "new finding"),
        *([f"{len(findings) - new} updated"] if len(findings) > new else []),
        counted(len(records), "run record"),
        *([counted(late, "late row")] if late else []),
    ]
    yield f"{format_time(at)}  {', '.join(parts)}"
    for table, row in delivered:
        words = _finding(row) if table == FINDINGS_TABLE else _record(row)
        yield f"    {table}: {one_line(' '.join(words))}"
    if outcome["failure"]:
        yield f"    The run failed: {one_line(outcome['failure'])}"


def describe_findings(answer: Answer) -> Iterator[str]:
    """Yield a line for each row that ManagedIdentityImpact() returns, after one with their number.

    The answer's columns are severity, score, identity, resource group and title.
    """
    yield f"ManagedIdentityImpact() returns {counted(len(answer.rows), 'row')}."
    for severity, score, identity, group, title in answer.rows:
        where = group or "no resource group"
        yield f"    {severity} {score}, {one_line(f'{identity} in {where}: {title}')}"


def _finding(row: Mapping[str, Any]) -> Iterable[str]:
    yield f"{row['SuggestedSeverity']} {row['RiskScore']}, {row['ServicePrincipalName']}"
    yield f"in {row['ResourceGroup'] or 'no resource group'},"
    yield f"{counted(row['NewOperations'], 'new operation')}, {row['FindingId']}"
    yield f"revision {row['Revision']}"


def _record(row: Mapping[str, Any]) -> Iterable[str]:
    yield f"{row['Status']}, {row['Mode']}, {row['WindowStart']} to {row['WindowEnd']},"
    yield f"{matched_text('sign-in', row['SignInsMatched'], row['SignInsRead'])} and"
    yield f"{matched_text('operation', row['OperationsMatched'], row['OperationsRead'])} matched"
    if problem := row["Error"] or row["Reason"]:
        yield f"({problem})"
