"""`make explore` finds false properties, and `make test` always draws the same examples."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support import environment

# Generated tests with the Hypothesis settings of this project.
CONFTEST = 'pytest_plugins = ["tests.conftest"]\n'
PROPERTIES = """\
import pytest
from hypothesis import given
from hypothesis import strategies as st

@pytest.mark.parametrize("limit", ["no limit", "some limit"])
@given(st.integers(0, 10**6))
def test_property(limit, number):
    assert limit == "no limit" or number < 1000

@pytest.mark.seeded
def test_history(first_seed):
    assert not first_seed, f"history({first_seed}) went wrong"

def test_nothing_is_drawn():
    raise AssertionError
"""
HISTORY = "test_history"
FALSE = ["test_made_up.py::test_property[some limit]", f"test_made_up.py::{HISTORY}"]
DRAWN = """\
import {module}
from hypothesis import given
from hypothesis import strategies as st

@given(st.text(), st.lists(st.integers(), min_size=20), st.sampled_from(["a", "b", "c"]))
def test_drawn(text, numbers, letter):
    print(ascii(text), numbers, letter)
"""


def run(folder: Path, command: Sequence[str], **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, without the environment of these tests."""
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(variables),
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )


def explore(
    folder: Path, *arguments: str, minutes: float = 0.001
) -> subprocess.CompletedProcess[str]:
    """Explore for at least one round, in one test process."""
    command = [sys.executable, "-m", "scripts.explore", f"--minutes={minutes}", *arguments]
    return run(folder, command, PYTEST_XDIST_AUTO_NUM_WORKERS="1")


def folder_with_tests(folder: Path, text: str) -> Path:
    """Return a folder with these tests in it."""
    (folder / "conftest.py").write_text(CONFTEST, "utf-8")
    (folder / "test_made_up.py").write_text(text, "utf-8")
    return folder


def test_a_false_property_is_found_and_can_be_repeated(tmp_path: Path) -> None:
    """Tests that a new example or seed makes fail are listed, with commands that repeat them."""
    found = explore(folder_with_tests(tmp_path, PROPERTIES), "test_made_up.py")
    assert found.returncode == 1, found.stdout + found.stderr
    assert sorted(re.findall(r"^FAILED (.+)$", found.stdout, re.MULTILINE)) == sorted(FALSE)
    assert "3 tests" in found.stdout
    seed = re.findall(r"^round 1, seed (\d+): ", found.stdout, re.MULTILINE)[0]
    assert f"history({seed}) went wrong" in found.stdout
    assert "number=1000," in found.stdout
    commands = re.findall(r"^To repeat it:\n  (.+)$", found.stdout, re.MULTILINE)
    assert len(commands) == len(FALSE)
    for command in commands:
        again = run(tmp_path, ["/bin/sh", "-c", command])
        assert again.returncode == pytest.ExitCode.TESTS_FAILED
        assert "1 failed" in again.stdout
        assert "number=1000," in again.stdout or f"history({seed}) went wrong" in again.stdout


def test_exploring_ends_when_every_test_has_failed(tmp_path: Path) -> None:
    """A test that failed is left out, and without remaining tests the exploration ends."""
    explored = explore(
        folder_with_tests(tmp_path, PROPERTIES), f"test_made_up.py::{HISTORY}", minutes=60
    )
    assert explored.returncode == 1, explored.stderr
    assert f"no test is left; 2 rounds, 1 test: 1 failure: test_made_up.py::{HISTORY}" in (
        explored.stdout
    )


def test_without_failures_nothing_is_found(tmp_path: Path) -> None:
    """A round without a failing test succeeds."""
    explored = explore(
        folder_with_tests(tmp_path, PROPERTIES), "test_made_up.py::test_property[no limit]"
    )
    assert (explored.returncode, explored.stderr) == (0, "")
    assert "1 round, 1 test: no failure" in explored.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--minutes", "0"], "--minutes must be more than 0"),
        (["--minutes", "soon"], "--minutes: invalid float value"),
        (["test_none.py"], "test_none.py does not exist"),
        (["test_made_up.py::test_none"], "the tests could not be run"),
    ],
)
def test_invalid_arguments_are_bad_usage(tmp_path: Path, arguments: list[str], said: str) -> None:
    """An invalid time or an unknown test is an error with a message."""
    refused = explore(folder_with_tests(tmp_path, PROPERTIES), *arguments)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert said in refused.stderr


def test_the_same_examples_are_drawn_every_time(tmp_path: Path) -> None:
    """The examples depend on neither the run nor other code, except in `make explore`.

    Hypothesis would otherwise also draw constants of imported code.
    """

    def drawn(number: int, *options: str) -> list[str]:
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "other.py").write_text(f"A = {[*range(1000 * number, 1000 * number + 300)]}")
        folder_with_tests(folder, DRAWN.format(module=("os", "other", "other")[number]))
        python = [sys.executable, "-m", "pytest", "-q", "-s", *options]
        done = run(folder, python, PYTHONHASHSEED=str(number), CI=os.environ.get("CI", ""))
        assert done.returncode == 0, done.stdout
        return [line for line in done.stdout.splitlines() if line[:1] in {"'", '"'}]

    first = drawn(0)
    assert len(first) > 20
    assert drawn(1) == first
    assert drawn(2, "--hypothesis-profile=explore", "--hypothesis-seed=1") != first
