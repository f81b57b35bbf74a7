"""The README says nothing that is not so."""

import json
import re
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from detection.rule.log_rows import OPERATION_TABLE, SIGN_IN_TABLE
from detection.rule.ticks import from_datetime
from detection.settings import SETTINGS
from tests.support import run_cli
from tests.support.services.servers import Containers
from tests.support.services.world import one_finding, world_of

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.removeprefix(".venv/bin/python ")
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith(".venv/bin/python ")
]


def run(
    arguments: str, cwd: Path = ROOT, settings: Mapping[str, str] | None = None
) -> CompletedProcess[str]:
    """Run a command of the README with the Python of the tests."""
    assert arguments.startswith("-m detection ")
    return run_cli(*shlex.split(arguments)[2:], cwd=cwd, settings=settings)


def section(title: str) -> str:
    """Return the text between a heading and the next."""
    return re.split(r"\n#+ ", README.split(f" {title}\n", 1)[1])[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run(command: str, containers: Containers, tmp_path: Path) -> None:
    """Each command of the README ends with status 0, on a workspace where it needs one."""
    if command not in section("On a live workspace"):
        result = run(command)
    else:
        tables = one_finding(from_datetime(datetime.now(UTC)))
        with world_of(containers, tmp_path, tables) as world:
            result = run(command, tmp_path, world.environment)
    assert result.returncode == 0, result.stderr


def test_the_commands_of_a_newcomer_are_make_targets() -> None:
    """The targets that the README names are those of the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:`|\n)make ([a-z]+)", README))
    assert {"run", "test"} <= named
    assert all(f"\n{target}:" in makefile for target in named)


def test_sample_finding() -> None:
    """The sample finding is one that the demo prints, but for what the text says is left out."""
    sample = json.loads(re.findall(r"```json\n(.*?)```", README, re.DOTALL)[0])
    printed = [json.loads(line) for line in run("-m detection demo --json").stdout.splitlines()]
    for row in printed:
        del row["Entities"], row["Investigate"], row["Evidence"][1:]
    assert sample in printed


def test_scenarios() -> None:
    """The table lists each recorded scenario with its title and its number of findings."""
    rows = re.findall(r"\| \[(.+?)\]\(tests/recorded/(.+?)\) \| (.+) \| (\d+|none) \|", README)
    expected = []
    for folder in sorted((ROOT / "tests" / "recorded").iterdir()):
        answer = json.loads((folder / "expected.json").read_bytes())
        findings = str(len(answer["findings"]) or "none")
        expected.append((folder.name, folder.name, answer["title"], findings))
    assert rows == expected


def test_options() -> None:
    """The table of options and the help text name the same."""
    listed = set(re.findall(r"--[a-z][a-z-]+", section("Use it on your own logs")))
    helped = set(re.findall(r"(?<!\w)--[a-z][a-z-]+", run("-m detection run --help").stdout))
    assert listed == helped


def test_settings() -> None:
    """The tables of settings have each setting with its default."""
    rows = dict(re.findall(r"\| `([A-Z_]+)` \| `?([^|`]+?)`? \|", README))
    defaults = {name: setting.default or "none" for name, setting in SETTINGS.items()}
    assert rows == defaults | {"DETECTION_SCHEDULE": "none"}


def test_required_columns() -> None:
    """The columns that the README calls required are those that are."""
    text = section("Use it on your own logs")
    for shape in (SIGN_IN_TABLE, OPERATION_TABLE):
        assert ", ".join(f"`{c}`" for c in shape.columns[: shape.required]) in text.replace(
            "\n", " "
        )


def test_differences_have_tests() -> None:
    """Each difference of the table has a test named after it, and no test is without its row."""
    listed = set(re.findall(r"\n\| D(\d) \|", README))
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    tested = set(re.findall(r"\ndef test_d(\d)_", sources))
    assert listed == tested == set("123456789")


def test_symptoms() -> None:
    """Each message that the README explains is one that the program gives."""
    rows = re.findall(r"\n\| (.+?) \|", section("When something is wrong"))[2:]
    quoted = [part for row in rows for text in re.findall(r"`(.+?)`", row) for part in parts(text)]
    sources = " ".join(
        re.sub(r'"\s+f?"', "", path.read_text("utf-8"))
        for path in (ROOT / "detection").rglob("*.py")
    )
    assert len(quoted) > 10
    assert [part for part in quoted if part not in sources] == []


def parts(message: str) -> list[str]:
    """Return what a message always says, without table names and statuses."""
    fixed = re.split(
        r"\.\.\.|\(HTTP 403|answered 40\d|AADManagedIdentitySignInLogs|AzureActivity", message
    )
    return [part.strip(" ()") for part in fixed if len(part.strip(" ()")) > 3]


def test_links() -> None:
    """Each link to a file leads somewhere."""
    targets = re.findall(r"\]\(([^)#:]+)\)", README)
    assert targets
    assert all((ROOT / target).exists() for target in targets)
