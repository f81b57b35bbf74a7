"""The terminal shows text of logs, watchlists and answers without control characters."""

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from detection.cli.console import Messages, print_line, report_outcome
from detection.cli.options import describe_error
from detection.pipeline.invocation import Outcome
from tests.support import (
    EXCLUSIONS,
    OPERATIONS,
    environment,
    json_lines,
    response_of,
    run_cli,
    write_logs,
    write_table,
)
from tests.support.strategies import END, operation, sign_in, written

NOW = written(END)
# Clears the screen, sets the title, moves the cursor, reverses text, starts a line.
HOSTILE = "x\x1b[2J\x1b]0;owned\x07\x9b31m\u202e\u2066\u200b\r\nerror: forged"


def control_characters(text: str) -> list[str]:
    """Return the characters that a terminal obeys or that a reader cannot see."""
    return [c for c in text if c != "\n" and not c.isprintable()]


@pytest.fixture
def console() -> Console:
    """Return a console that writes into memory, like a terminal without colours."""
    return Console(file=io.StringIO(), width=100, color_system=None, highlight=False, emoji=False)


def text_of(console: Console) -> str:
    """Return the text that a console has written."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_watchlists_are_printed_without_control_characters(tmp_path: Path) -> None:
    """Owners, reasons and ids of both watchlists, and names in logs, are printed escaped."""
    name = {"ServicePrincipalName": HOSTILE, "ServicePrincipalId": f"id-{HOSTILE}"}
    changed = operation(Caller=f"id-{HOSTILE}", ResourceGroup=HOSTILE, ResourceId=HOSTILE)
    write_logs(tmp_path, [sign_in(**name)], [changed], [HOSTILE])
    row = {"ServicePrincipalId": HOSTILE, "ResourceGroup": HOSTILE, "Owner": HOSTILE}
    excluded = {"ServicePrincipalId": sign_in()["ServicePrincipalId"], "ResourceGroup": "rg"}
    exclusions: list[dict[str, Any]] = [
        row | {"Reason": HOSTILE, "Expires": "2001-01-01"},
        row | {"Reason": HOSTILE, "Expires": HOSTILE},
        excluded | {"Owner": HOSTILE, "Reason": HOSTILE, "Expires": "2999-01-01"},
    ]
    write_table(tmp_path, EXCLUSIONS, response_of(exclusions))
    done = run_cli("run", "--recorded", tmp_path, "--now", NOW)
    assert done.returncode == 0
    assert "expired exclusion" in done.stderr
    assert "invalid exclusion" in done.stderr
    assert "without effect, because unreadable" in done.stderr
    details = run_cli("run", "--recorded", tmp_path, "--now", NOW, "--details")
    assert not control_characters(done.stdout.replace("\t", "") + details.stdout + done.stderr)
    assert not [line for line in done.stderr.splitlines() if line.startswith("error:")]


@pytest.mark.parametrize("verbose", [[], ["--verbose"]], ids=["plain", "verbose"])
def test_an_error_in_a_file_is_printed_without_control_characters(
    tmp_path: Path, verbose: list[str]
) -> None:
    """The text of a recorded query failure is one line, even with a traceback."""
    write_logs(tmp_path, [sign_in()], [operation()])
    document = response_of([operation()]) | {"error": {"code": HOSTILE, "message": HOSTILE}}
    write_table(tmp_path, OPERATIONS, document)
    done = run_cli("run", "--recorded", tmp_path, "--now", NOW, *verbose)
    assert done.returncode == 1
    assert "forged" in done.stderr
    assert not control_characters(done.stderr)
    assert not [line for line in done.stderr.splitlines() if line.startswith("error: forged")]


def test_paths_are_printed_without_control_characters(tmp_path: Path) -> None:
    """A path of the command line is escaped, as it may come from a script."""
    done = run_cli("run", "--recorded", tmp_path / HOSTILE.replace("\n", ""), "--now", NOW)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert not control_characters(done.stderr)


def test_failures_and_run_lines_are_printed_without_control_characters(console: Console) -> None:
    """The error and the reason of a record are one line each, without control characters."""
    record: dict[str, Any] = {
        "Status": "Failure",
        "WindowStart": NOW,
        "WindowEnd": NOW,
        "FindingsNew": 0,
        "Error": HOSTILE,
        "Reason": "",
        "FindingsUpdated": 0,
        "NearMisses": 0,
    }
    counts = dict.fromkeys(
        (
            *("SignInsMatched", "SignInsRead", "OperationsMatched", "OperationsRead"),
            *("FindingsUnchanged", "FindingsUpdated", "FindingsNew"),
        ),
        0,
    )
    warned = record | counts | {"Status": "Warning", "Error": "", "Reason": HOSTILE}
    outcome = Outcome()
    outcome.records += [record, warned]  # type: ignore[list-item]
    report_outcome(outcome, Messages(console, console))
    print_line(console, f"[red]error: {HOSTILE}[/]")
    text = text_of(console)
    assert text.count("forged") == 3
    assert "[red]error:" in text
    assert not control_characters(text)
    assert not [line for line in text.splitlines() if line.startswith("error: forged")]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize("form", [[], ["--details"], ["--format", "markdown"]], ids=str)
def test_characters_outside_the_terminal_s_encoding_are_escaped(
    tmp_path: Path, encoding: str, form: list[str]
) -> None:
    """If the output is not UTF-8, characters that it lacks do not end the run."""
    write_logs(tmp_path, [sign_in(ServicePrincipalName="\u65e5\u672c")], [operation()])
    settings = {"PYTHONUTF8": "0", "PYTHONIOENCODING": encoding, "LC_ALL": "C"}
    done = run_cli("run", "--recorded", tmp_path, "--now", NOW, *form, settings=settings)
    assert done.returncode == 0, done.stderr
    assert "\\u65e5\\u672c" in done.stdout


# A bug in the program.

BROKEN = """
import sys
import click
from detection.cli.main import cli, main

@click.command("broken")
@click.option("--verbose", is_flag=True)
def broken(verbose):
    raise LookupError("no such\\n\\x1b[31mthing")

cli.add_command(broken)
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("verbose", [False, True])
def test_a_mistake_in_the_program_is_one_line(*, verbose: bool) -> None:
    """One line says that it is a mistake and what to do; the traceback needs --verbose."""
    command = [sys.executable, "-c", BROKEN, "broken", *(["--verbose"] if verbose else [])]
    done = subprocess.run(
        command, env=environment(), capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 1
    *before, line = done.stderr.splitlines()
    assert line.startswith("error: LookupError: no such")
    assert line.endswith("this is a bug in the program, please run with --verbose and report it")
    assert bool(before) == verbose
    assert ("Traceback" in done.stderr) == verbose
    assert not control_characters(done.stderr)


def test_a_system_error_is_not_a_mistake_in_the_program() -> None:
    """A system error says to free space or to give access."""
    assert "free space or give access" in describe_error(OSError(28, "No space left on device"))


def test_a_closed_stderr_does_not_write_to_stdout(tmp_path: Path) -> None:
    """If stderr is closed, its text does not go to stdout."""
    write_logs(tmp_path, [sign_in()], [operation()])
    line = f'"{sys.executable}" -m detection run --recorded "{tmp_path}" --now {NOW} --json 2>&-'
    refused = f'"{sys.executable}" -m detection run --recorded nowhere --now {NOW} 2>&-'
    for each, status, rows in ((line, 0, 1), (refused, 2, 0)):
        done = subprocess.run(
            ["/bin/sh", "-c", each],
            env=environment(),
            stdout=subprocess.PIPE,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == status
        assert len(json_lines(done.stdout)) == rows
