"""The command line and its surroundings: help, completion, stops, and a file of settings."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from detection.cli.main import cli
from detection.cli.shell.completion import VARIABLE
from detection.cli.shell.program import SCRIPT
from tests.support import (
    DEMO,
    NOW,
    RECORDED,
    ROOT,
    command,
    environment,
    json_lines,
    run_cli,
)
from tests.support.effort import IN_CI

COMMANDS = sorted(cli.commands)
SPELLING = RECORDED / "succeeded-spelling-is-ignored-but-counted"


def run_script(
    folder: Path, *arguments: str, settings: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the product by the name of its script, which an installation would make."""
    script = folder / SCRIPT
    script.write_text(
        f"#!{sys.executable}\nfrom detection.__main__ import run_program\nrun_program()\n", "utf-8"
    )
    script.chmod(0o755)
    return subprocess.run(
        [script, *arguments],
        env=environment(settings),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


# Help.


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_with_examples(name: str) -> None:
    """The help of every command ends with examples of it, which name options that it has."""
    text = run_cli(name, "--help").stdout
    before, _, after = text.partition("\nExamples:\n")
    examples = [line.strip() for line in after.splitlines()]
    assert examples
    for example in examples:
        assert example.startswith(f"python -m detection {name}")
        for option in re.findall(r"(?<!\S)--?[a-z-]+", example.partition("  #")[0]):
            assert re.search(rf"(?<![\w-]){option}\b", before), option


@pytest.mark.parametrize("columns", ["60", "80", "120"])
def test_no_description_is_cut(columns: str) -> None:
    """The list of commands has each description as a whole, however narrow the terminal is."""
    text = run_cli("--help", settings={"COLUMNS": columns}).stdout
    listed = " ".join(text.partition("Commands:")[2].partition("Examples:")[0].split())
    assert "..." not in listed
    for name, each in cli.commands.items():
        assert f"{name} {each.short_help}" in listed


def test_the_program_has_the_name_that_was_typed(tmp_path: Path) -> None:
    """Usage lines, examples and hints name the script, or else `python -m detection`."""
    done = run_script(tmp_path, "run", "--help")
    assert done.stdout.startswith(f"Usage: {SCRIPT} run [OPTIONS]\n")
    assert f"\n  {SCRIPT} run --recorded my-logs" in done.stdout
    assert "python -m" not in done.stdout
    assert run_cli("run", "--help").stdout.startswith("Usage: python -m detection run [OPTIONS]\n")


# Completion.


def completed(folder: Path, line: str) -> list[str]:
    """Return what bash would offer at the end of a line, with the script of `completion bash`."""
    if shutil.which("bash") is None:
        if IN_CI:
            pytest.fail("bash is not installed")
        pytest.skip("bash is not installed")
    script = run_script(folder, "completion", "bash")
    assert (script.returncode, script.stderr) == (0, "")
    words = line.split(" ")
    source = folder / "completion.bash"
    source.write_text(
        script.stdout
        + f"COMP_WORDS=({' '.join(words[:-1])} '{words[-1]}')\n"
        + f"COMP_CWORD={len(words) - 1}\n"
        + f'function=$(complete -p {SCRIPT} | sed "s/.*-F \\([^ ]*\\) .*/\\1/")\n'
        + f"$function {SCRIPT}\n"
        + 'printf "%s\\n" "${COMPREPLY[@]}"\n',
        "utf-8",
    )
    search = {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "--norc", source],  # noqa: S607 - the shell of the PATH is the one to try
        env=environment(search),
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("managed-identity-impact re", ["record"]),
        ("managed-identity-impact run --fo", ["--format"]),
        ("managed-identity-impact run --format ", ["table", "json", "jsonl", "csv", "markdown"]),
        ("managed-identity-impact run --fail-on h", ["high"]),
        ("managed-identity-impact completion f", ["fish"]),
    ],
)
def test_bash_completes(tmp_path: Path, line: str, offered: Sequence[str]) -> None:
    """Bash offers commands, options and the values of options."""
    assert completed(tmp_path, line) == list(offered)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(shell: str) -> None:
    """The script is printed for each shell, asks the product and names its command."""
    done = run_cli("completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{VARIABLE}={shell}_complete" in done.stdout
    assert SCRIPT in done.stdout


def test_an_unknown_shell_is_refused() -> None:
    """Another shell is bad usage."""
    assert run_cli("completion", "cmd").returncode == 2


# Stops.

WAITING = """
import time
import click
from detection.cli.main import cli
from detection.__main__ import run_program

@click.command("wait")
@click.option("--verbose", is_flag=True)
def wait(verbose):
    print("ready", flush=True)
    time.sleep(60)

cli.add_command(wait)
run_program()
"""


@pytest.mark.parametrize(
    ("number", "status", "cause"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_any_command_says_that_it_was_stopped(
    number: signal.Signals, status: int, cause: str
) -> None:
    """A stopped command has the status of its signal, and prints one line."""
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING, "wait"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, message = process.communicate(timeout=30)
    assert process.returncode == status
    assert message == f"error: {cause}: the command has not ended, and nothing more is done\n"


@pytest.mark.parametrize("remembers", [True, False])
def test_a_stopped_backfill_completes_its_output(tmp_path: Path, *, remembers: bool) -> None:
    """After Ctrl-C the findings until then are a whole array, and one line says what is kept."""
    runs = tmp_path / "runs.jsonl"
    arguments = ("run", "--recorded", DEMO, "--since", "9000h", "--now", "2026-03-14T12:00:00Z")
    state = ("--state-dir", tmp_path / "state") if remembers else ()
    process = subprocess.Popen(
        command(*arguments, "--format", "json", "--runs", runs, *state),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    until = time.monotonic() + 60
    while not (runs.exists() and runs.stat().st_size) and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    shown, message = process.communicate(timeout=30)
    assert process.returncode == 130, message
    assert json.loads(shown) == []
    kept = "the windows examined so far are remembered" if remembers else "nothing is remembered"
    assert message.startswith(f"error: interrupted: {kept}")


# A file of settings.


def settings_file(folder: Path, **values: object) -> Path:
    """Write a file like local.settings.json."""
    path = folder / "local.settings.json"
    path.write_text(json.dumps({"IsEncrypted": False, "Values": values}), "utf-8-sig")
    return path


def test_settings_come_from_a_file(tmp_path: Path) -> None:
    """A value of the file takes effect, as it would for the Functions host."""
    path = settings_file(tmp_path, SUCCESS_STATUSES="Success,Succeeded", FUNCTIONS_X="python")
    arguments = ("run", "--json", "--recorded", SPELLING, "--now", NOW)
    assert not json_lines(run_cli(*arguments).stdout)
    assert json_lines(run_cli(*arguments, "--settings", path).stdout)


@pytest.mark.parametrize(("given", "found"), [("Success", False), ("", True)])
def test_the_environment_comes_first(tmp_path: Path, given: str, *, found: bool) -> None:
    """A variable that is set keeps its value, as with func; an empty one counts as not set."""
    path = settings_file(tmp_path, SUCCESS_STATUSES="Success,Succeeded")
    arguments = ("run", "--json", "--recorded", SPELLING, "--now", NOW, "--settings", path)
    done = run_cli(*arguments, settings={"SUCCESS_STATUSES": given})
    assert bool(json_lines(done.stdout)) == found


def test_numbers_and_booleans_are_texts(tmp_path: Path) -> None:
    """A value without quotation marks is read as it is written, and null is none."""
    path = settings_file(tmp_path, NOVELTY=False, LOOKBACK=None, MAX_CATCH_UP=5)
    done = run_cli("run", "--recorded", DEMO, "--now", NOW, "--settings", path)
    assert done.returncode == 2
    assert "MAX_CATCH_UP is not a duration" in done.stderr
    assert "NOVELTY" not in done.stderr
    assert "LOOKBACK" not in done.stderr


def test_a_misspelt_setting_in_a_file_is_named(tmp_path: Path) -> None:
    """A name in the file that resembles a setting is a warning, and does not end the run."""
    path = settings_file(tmp_path, WORKSPACE_ID="x")
    done = run_cli("run", "--recorded", DEMO, "--now", NOW, "--settings", path)
    assert done.returncode == 0
    warning = "warning: WORKSPACE_ID is not a setting: did you mean WORKSPACE_IDS?\n"
    assert done.stderr.startswith(warning)


@pytest.mark.parametrize("name", ["check", "run", "record"])
def test_each_command_reads_the_file(tmp_path: Path, name: str) -> None:
    """`run`, `check` and `record` take the workspaces from the file, and name its mistakes."""
    path = settings_file(tmp_path, WORKSPACE_IDS="none", LOOKBCK="PT2H")
    options = ("--out", tmp_path / "out") if name == "record" else ()
    done = run_cli(name, "--settings", path, *options)
    assert done.returncode == 2
    assert "WORKSPACE_IDS: number 1 of 1 is not a workspace id" in done.stderr
    assert "LOOKBCK is not a setting: did you mean LOOKBACK?" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            '{"IsEncrypted": true, "Values": {"A": "x"}}',
            "is encrypted: run `func settings decrypt`",
        ),
        ("WORKSPACE_IDS=x", "is not JSON"),
        ("[]", 'has no object "Values"'),
        ('{"LOOKBACK": "PT2H"}', 'has no object "Values"'),
        ('{"Values": {"LOOKBACK": ["PT2H"]}}', "the value of LOOKBACK is not a text"),
        (None, "cannot be read: No such file"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: str | None, problem: str) -> None:
    """One line says what is wrong with the file, without its values."""
    path = tmp_path / "local.settings.json"
    if content is not None:
        path.write_text(content, "utf-8")
    done = run_cli("run", "--recorded", DEMO, "--now", NOW, "--settings", path)
    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr
    assert done.stderr.count("\n") == 1
    assert "PT2H" not in done.stderr


def test_the_sample_is_such_a_file() -> None:
    """local.settings.sample.json is read, and holds no misspelt name."""
    sample = ROOT / "local.settings.sample.json"
    done = run_cli("run", "--recorded", DEMO, "--now", NOW, "--settings", sample)
    assert done.returncode == 0
    assert "warning:" not in done.stderr
