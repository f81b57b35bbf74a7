"""Helpers for tests of several folders: recorded logs, the command line as a process, a sink."""

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from detection.outbox import Outbox, Row
from detection.ranking.baseline import PastChange
from detection.ranking.identity_details import DetailRow
from detection.ranking.near_misses import LateChanges
from detection.rule.allowlist import Allowlist
from detection.rule.correlate import Group
from detection.rule.exclusions import ExclusionRow
from detection.rule.filters import RuleSettings
from detection.rule.log_rows import OPERATION_TABLE, SIGN_IN_TABLE, Logs, Operation
from detection.window import Seen, Window

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "tests" / "recorded"
DEMO = RECORDED / "stolen-workload-deletes-backups-and-vaults"
NOW = "2026-03-14T10:00:00Z"  # the end of every recorded scenario's window

SIGN_INS = "AADManagedIdentitySignInLogs"
OPERATIONS = "AzureActivity"
ALLOWLIST = "NetworkAllowlist"
EXCLUSIONS = "ManagedIdentityExclusions"


class Collected:
    """A sink that keeps every row."""

    def __init__(self) -> None:
        self.findings: list[Row] = []
        self.runs: list[Row] = []

    def deliver(self, outbox: Outbox) -> None:
        """Keep every row."""
        self.findings.extend(outbox.findings)
        self.runs.extend(outbox.runs)


class NoContext:
    """A ContextSource without any context."""

    portal = "https://portal.azure.com"

    def exclusions(self) -> list[ExclusionRow]:
        """Return no exclusion."""
        return []

    def actions(
        self, identities: Collection[str], window: Window, now: int, settings: RuleSettings
    ) -> list[Operation]:
        """Return no action."""
        del identities, window, now, settings
        return []

    def identity_details(
        self, identities: Collection[str], window: Window, now: int
    ) -> list[DetailRow]:
        """Return no detail."""
        del identities, window, now
        return []

    def past_changes(self, start: int, end: int, settings: RuleSettings) -> list[PastChange]:
        """Return no change."""
        del start, end, settings
        return []

    def late_changes(
        self, window: Window, seen: Seen, now: int, settings: RuleSettings, allowlist: Allowlist
    ) -> list[LateChanges]:
        """Return no change."""
        del window, seen, now, settings, allowlist
        return []


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file."""
    content: dict[str, Any] = YAML(typ="safe", pure=True).load(path)
    return content


def values_of(group: Group) -> dict[str, Any]:
    """Return the values of a group by name, without its function for pairs."""
    return {name: getattr(group, name) for name in Group.__annotations__}


def response(columns: Sequence[str], rows: Sequence[object]) -> dict[str, Any]:
    """Return a Log Analytics API response with one table."""
    described = [{"name": name, "type": "string"} for name in columns]
    return {"tables": [{"name": "PrimaryResult", "columns": described, "rows": rows}]}


def response_of(rows: Sequence[Mapping[str, object]]) -> dict[str, Any]:
    """Return row objects as an API response; a missing column becomes null."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return response(columns, [[row.get(name) for name in columns] for row in rows])


def write_table(folder: Path, table: str, document: object) -> Path:
    """Write one table of a recorded folder and return its file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{table}.json"
    path.write_text(json.dumps(document), "utf-8")
    return path


def write_logs(
    folder: Path,
    sign_ins: Sequence[Mapping[str, object]],
    operations: Sequence[Mapping[str, object]],
    allowlist: Sequence[str] = (),
) -> Path:
    """Write a recorded folder and return it."""
    write_table(folder, SIGN_INS, response_of(sign_ins) if sign_ins else [])
    write_table(folder, OPERATIONS, response_of(operations) if operations else [])
    write_table(folder, ALLOWLIST, response(["IPOrRange"], [[entry] for entry in allowlist]))
    return folder


def read_sign_ins(logs: Logs) -> list[dict[str, Any]]:
    """Return the sign-ins of logs as objects; `TimeGenerated` is in ticks."""
    return [dict(zip(SIGN_IN_TABLE.columns, row, strict=True)) for row in logs.sign_ins]


def read_operations(logs: Logs) -> list[dict[str, Any]]:
    """Return the operations of logs as objects; `TimeGenerated` is in ticks."""
    return [dict(zip(OPERATION_TABLE.columns, row, strict=True)) for row in logs.operations]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return a child process's environment: the project importable, no settings, no colour."""
    kept = ("PATH", "HOME", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "VIRTUAL_ENV", "PYTHONHASHSEED")
    inherited = {name: os.environ[name] for name in kept if name in os.environ}
    ours = {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "COLUMNS": "80"}
    return inherited | ours | dict(extra or {})


def command(*arguments: str | Path) -> list[str]:
    """Return the command line that starts the product with these arguments."""
    return [sys.executable, "-m", "detection", *map(str, arguments)]


def run_cli(
    *arguments: str | Path, cwd: Path = ROOT, settings: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(
        command(*arguments),
        cwd=cwd,
        env=environment(settings),
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )


def run_on_terminal(
    *arguments: str | Path, columns: int = 80, settings: Mapping[str, str] | None = None
) -> tuple[str, int]:
    """Run the command line with its output on a terminal of this width.

    Return the text that it prints there, without colours, and its exit status.
    """
    terminal, end_of_program = pty.openpty()
    plain = {"NO_COLOR": "1", "TERM": "xterm", "COLUMNS": str(columns)}
    with subprocess.Popen(
        command(*arguments),
        cwd=ROOT,
        env=environment(plain | dict(settings or {})),
        stdout=end_of_program,
        stderr=end_of_program,
    ) as process:
        os.close(end_of_program)
        printed = b""
        with contextlib.suppress(OSError):  # the terminal ends with the process
            while piece := os.read(terminal, 65_536):
                printed += piece
        os.close(terminal)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", printed.decode())  # bold, and cursor movements
    return text.replace("\r\n", "\n"), process.returncode


def json_lines(text: str) -> list[dict[str, Any]]:
    """Read JSON Lines; every line must be an object."""
    rows = [json.loads(line) for line in text.splitlines()]
    assert all(isinstance(row, dict) for row in rows)
    return rows


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Return every path below `folder` with its content, None for a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def pick(row: Mapping[str, object], names: Iterable[str]) -> dict[str, object]:
    """Return the named values of a row."""
    return {name: row[name] for name in names}
