"""The three locks pin exactly the requirements of pyproject.toml."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.effort import IN_CI

ROOT = Path(__file__).parents[2]
DEPLOYED = "requirements.txt"
TERMINAL = "requirements-cli.txt"
EVERYTHING = "requirements-dev.txt"
GROUPS = {DEPLOYED: [], TERMINAL: ["cli"], EVERYTHING: ["dev"]}

# uv's message about an unreachable index; its other failures are about the requirements.
UNREACHABLE = re.compile("Failed to fetch|network was disabled")

every_lock = pytest.mark.parametrize("lock", GROUPS)


@dataclass(frozen=True)
class Pin:
    """One entry of a lock."""

    requirement: Requirement
    hashes: list[str]

    @property
    def name(self) -> str:
        """Return the package's name in its normalised spelling."""
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        """Return the only version that the entry accepts."""
        (specifier,) = self.requirement.specifier
        assert specifier.operator == "=="
        return specifier.version

    def applies(self, python: str) -> bool:
        """Say whether the entry is installed with this version of Python on this machine."""
        marker = self.requirement.marker
        on = {"python_version": python, "python_full_version": f"{python}.0"}
        return marker is None or marker.evaluate(on)


def pins_of(lock: str) -> list[Pin]:
    """Read a lock."""
    text = re.sub(r"^ *#.*\n", "", (ROOT / lock).read_text("utf-8"), flags=re.MULTILINE)
    pins = []
    for line in text.replace("\\\n", "").splitlines():
        requirement, *hashes = re.split(r" +--hash=", line.rstrip())
        pins.append(Pin(Requirement(requirement), hashes))
    return pins


def pyproject() -> dict[str, Any]:
    """Read pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


PYTHONS = [text.rpartition(" ")[2] for text in pyproject()["project"]["classifiers"]]


def direct_requirements(lock: str) -> list[Requirement]:
    """Return the direct requirements of a lock in pyproject.toml."""
    groups = pyproject()["dependency-groups"]

    def members(group: str) -> Iterable[str]:
        for entry in groups[group]:
            if isinstance(entry, str):
                yield entry
            else:
                yield from members(entry["include-group"])

    wanted = [*pyproject()["project"]["dependencies"]]
    for group in GROUPS[lock]:
        wanted += members(group)
    return [Requirement(text) for text in wanted]


@every_lock
@pytest.mark.parametrize("python", PYTHONS)
def test_direct_requirement_is_pinned(lock: str, python: str) -> None:
    """Each direct requirement has one pin per Python, at a version that it accepts."""
    pins = [pin for pin in pins_of(lock) if pin.applies(python)]
    for requirement in direct_requirements(lock):
        marker = requirement.marker
        if marker and not marker.evaluate({"python_version": python}):
            continue
        versions = [pin.version for pin in pins if pin.name == canonicalize_name(requirement.name)]
        assert len(versions) == 1, f"{requirement} has {versions}: run `make lock`"
        assert requirement.specifier.contains(versions[0]), f"{requirement} is at {versions[0]}"


@every_lock
def test_pin_has_hashes(lock: str) -> None:
    """Each pin has the SHA-256 of at least one file, and no other kind of hash."""
    for pin in pins_of(lock):
        assert pin.hashes, f"{pin.name} has no hash"
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", text) for text in pin.hashes)


@every_lock
def test_lock_names_no_index(lock: str) -> None:
    """A lock names packages, and not the index to download them from."""
    text = (ROOT / lock).read_text("utf-8")
    assert "://" not in text
    assert "--index-url" not in text


def test_deployed_lock_is_minimal() -> None:
    """The deployed lock has no package for the terminal or for developers only."""
    assert {pin.name for pin in pins_of(DEPLOYED)}.isdisjoint({"click", "rich", "pytest"})


@pytest.mark.parametrize(("smaller", "larger"), [(DEPLOYED, TERMINAL), (TERMINAL, EVERYTHING)])
def test_locks_agree(smaller: str, larger: str) -> None:
    """A larger lock has all pins of a smaller one, so tests run with the deployed versions."""
    pinned = {(pin.name, pin.version) for pin in pins_of(larger)}
    missing = {(pin.name, pin.version) for pin in pins_of(smaller)} - pinned
    assert not missing, "run `make lock`"


def test_deployed_dependency_is_justified() -> None:
    """Each deployed dependency has a comment line above it that says what it is for."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    _, _, rest = text.partition("\ndependencies = [\n")
    listed, _, _ = rest.partition("\n]\n")
    justified = re.findall(r'^    # \S.*\n    "(.+)",$', listed, flags=re.MULTILINE)
    assert justified == pyproject()["project"]["dependencies"]
    assert len(listed.splitlines()) == 2 * len(justified)


@every_lock
def test_lock_is_up_to_date(lock: str, tmp_path: Path) -> None:
    """Compiling a lock again, with its versions, gives the same file."""
    for name in ("pyproject.toml", lock):
        shutil.copy(ROOT / name, tmp_path)
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--python", sys.executable]
    groups = [f"--group={group}" for group in GROUPS[lock]]
    compiled = subprocess.run(
        [*command, "pyproject.toml", *groups, "--output-file", lock],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    if compiled.returncode != 0 and UNREACHABLE.search(compiled.stderr) and not IN_CI:
        pytest.skip("the package index cannot be reached, so the lock cannot be compiled again")
    assert compiled.returncode == 0, compiled.stderr
    assert (tmp_path / lock).read_text("utf-8") == (ROOT / lock).read_text("utf-8"), (
        f"{lock} is out of date: run `make lock`"
    )
