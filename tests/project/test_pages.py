"""Every page leads somewhere, names what exists, and says nothing twice."""

import json
import re
import shlex
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import pytest

from detection.rule.ticks import from_datetime
from tests.support import DEMO, ROOT, run_cli
from tests.support.pages import PAGES, blocks, prose, section
from tests.support.services.servers import Containers
from tests.support.services.world import one_finding, world_of

PYTHON = ".venv/bin/python -m detection "
LIVE = "export WORKSPACE_IDS="  # begins a block whose commands are for a workspace
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
TARGETS = set(re.findall(r"^([a-z]+):.*## ", MAKEFILE, re.MULTILINE))
# How commands begin that no test here runs, and why.
ELSEWHERE = {
    "make": "a target of the Makefile, as another test checks; the workflow runs them",
    "export": "a setting that the test gives in its own way",
    "mkdir": "the test makes the folder itself, with the tables that az would write",
    "az": "needs Azure; tests/infra/test_docs.py checks the names of parameters and outputs",
    "azd": "needs Azure; tests/infra/test_docs.py checks the names of variables",
    "func": "needs Azure",
    "python3": "tests/infra/test_portal_form.py runs it, tests/project/test_publish.py the other",
    "output()": "a function of the shell for the lines after it, which need Azure",
    "}": "the end of that function",
    "for": "a loop of the shell over a line that needs Azure",
    "done": "the end of that loop",
}


def commands(block: str) -> list[str]:
    """Return the commands of a block, each as one line."""
    return [line.strip() for line in re.sub(r"\\\n\s*", "", block).splitlines()]


EMULATED = ".emulator/settings.json"  # of an emulator that runs
COMMANDS = [
    (page, block.startswith(LIVE) or EMULATED in block, command)
    for page in PAGES
    for block in blocks(page, "sh")
    for command in commands(block)
]


@pytest.mark.parametrize(
    ("live", "command"),
    [(live, command) for _, live, command in COMMANDS if command.startswith(PYTHON)],
)
def test_commands_run(live: bool, command: str, containers: Containers, tmp_path: Path) -> None:
    """Each command of a page ends with status 0, on a workspace if its block is for one."""
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    shutil.copytree(DEMO, tmp_path / "my-logs")
    tables = one_finding(from_datetime(datetime.now(UTC)))
    surroundings = world_of(containers, tmp_path, tables) if live else nullcontext()
    with surroundings as world:
        settings = world.environment if world else None
        if EMULATED in command:
            (tmp_path / EMULATED).parent.mkdir()
            (tmp_path / EMULATED).write_text(json.dumps({"Values": settings}), "utf-8")
        arguments = shlex.split(command.removeprefix(PYTHON))
        result = run_cli(*arguments, cwd=tmp_path, settings=settings)
    assert result.returncode == 0, result.stderr


def test_no_command_goes_untested() -> None:
    """Every command of a page is run by a test, or begins with a word that has a reason."""
    words = {command.split()[0] for _, _, command in COMMANDS if not command.startswith(PYTHON)}
    assert words == ELSEWHERE.keys()


def test_targets_exist() -> None:
    """Each make target that a page names is one of the Makefile's."""
    named = {name for text in PAGES.values() for name in re.findall(r"(?:`|\n)make ([a-z]+)", text)}
    assert {"run", "test", "lint"} <= named <= TARGETS


def test_contributing_lists_every_target() -> None:
    """The table of targets has each that `make` lists, but the list itself."""
    rows = re.findall(r"\n\| `make ([a-z]+)` \|", PAGES["CONTRIBUTING.md"])
    assert len(rows) == len(set(rows))
    assert set(rows) == TARGETS - {"help"}


def anchors(page: str) -> set[str]:
    """Return what the headings of a page can be linked by."""
    headings = re.findall(r"^#+ (.+)$", PAGES[page], re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """Each link to a file leads to one, and each link to a heading to one of that page."""
    for target, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([\w-]+))?\)", PAGES[page]):
        path = ((ROOT / page).parent / target).resolve() if target else ROOT / page
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(path.relative_to(ROOT).as_posix()), (target, anchor)


@pytest.mark.parametrize("page", PAGES)
def test_named_files_exist(page: str) -> None:
    """Each path that a page names in code, from the root or from detection/, is there."""
    roots = dict.fromkeys(("bench", "detection", "docs", "infra", "scripts", "tests"), ROOT)
    parts = (path for path in (ROOT / "detection").iterdir() if path.is_dir())
    roots |= dict.fromkeys((path.name for path in parts), ROOT / "detection")
    for top, rest in re.findall(r"`([\w-]+)/([\w./-]*)`", PAGES[page]):
        if top in roots:
            assert (roots[top] / top / rest).exists(), f"{top}/{rest}"


def test_architecture_names_files_to_open() -> None:
    """Each row of the table of changes names a file to open first, which exists."""
    rows = re.findall(
        r"^\| ([^|]+) \| ([^|]+) \|",
        section("ARCHITECTURE.md", "To change X, open Y"),
        re.MULTILINE,
    )[1:]
    assert len(rows) >= 10
    for change, first in rows:
        assert re.search(r"`(detection|emulator|infra)/[\w/.-]+`", first), change


def sayings(page: str) -> Iterator[str]:
    """Yield the sentences, and the cells of tables, that have eight or more words."""
    text = re.sub(r"\]\([^)]*\)", "]", prose(page))
    text = re.sub(r"\n(?=\s*([-|#>]|\d+\.) ?)", "\n\n", text)
    for paragraph in text.split("\n\n"):
        for cell in paragraph.split("|"):
            for sentence in re.split(r"(?<=[.:;!?])\s", cell):
                words = re.findall(r"[\w'/.-]+", sentence.lower())
                if len(words) >= 8:
                    yield " ".join(words).rstrip(".")


def test_nothing_is_said_twice() -> None:
    """No sentence and no cell of a table with eight or more words is on two pages."""
    counted = Counter(said for page in PAGES for said in set(sayings(page)))
    assert len(counted) > 500
    assert [said for said, times in counted.items() if times > 1] == []
