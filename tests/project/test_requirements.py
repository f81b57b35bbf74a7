"""The locks pin exactly the requirements of pyproject.toml."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.lock import Pin, read_lock, requirements_text, supported_pythons
from scripts.wheels import download
from tests.support.effort import IN_CI
from tests.support.packages import interpreter, packaged

ROOT = Path(__file__).parents[2]
DEPLOYED = "requirements.txt"
TERMINAL = "requirements-cli.txt"
EVERYTHING = "requirements-dev.txt"
SCANNERS = "requirements-scan.txt"
GROUPS = {DEPLOYED: ["app"], TERMINAL: [], EVERYTHING: ["dev"], SCANNERS: ["scan"]}
PROJECT = {TERMINAL, EVERYTHING}  # the locks with the requirements of the project itself

# uv's message about an unreachable index; its other failures are about the requirements.
UNREACHABLE = re.compile("Failed to fetch|network was disabled")

every_lock = pytest.mark.parametrize("lock", GROUPS)


def pins_of(lock: str) -> list[Pin]:
    """Read a lock."""
    return read_lock(ROOT / lock)


def pyproject() -> dict[str, Any]:
    """Read pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


PYTHONS = supported_pythons(ROOT)


def direct_requirements(lock: str) -> list[Requirement]:
    """Return the direct requirements of a lock in pyproject.toml."""
    groups = pyproject()["dependency-groups"]

    def members(group: str) -> Iterable[str]:
        for entry in groups[group]:
            if isinstance(entry, str):
                yield entry
            else:
                yield from members(entry["include-group"])

    wanted = [*pyproject()["project"]["dependencies"]] if lock in PROJECT else []
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


@pytest.mark.parametrize(("smaller", "larger"), [(DEPLOYED, EVERYTHING), (TERMINAL, EVERYTHING)])
def test_locks_agree(smaller: str, larger: str) -> None:
    """A larger lock has all pins of a smaller one, so tests run with the deployed versions."""
    pinned = {(pin.name, pin.version) for pin in pins_of(larger)}
    missing = {(pin.name, pin.version) for pin in pins_of(smaller)} - pinned
    assert not missing, "run `make lock`"


def test_deployed_dependency_is_justified() -> None:
    """Each deployed dependency has a comment line above it that says what it is for."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    _, _, rest = text.partition("\napp = [\n")
    listed, _, _ = rest.partition("\n]\n")
    justified = re.findall(r'^    # \S.*\n    "(.+)",$', listed, flags=re.MULTILINE)
    assert justified == pyproject()["dependency-groups"]["app"]
    assert len(listed.splitlines()) == 2 * len(justified)


def test_the_command_line_and_the_app_agree() -> None:
    """An installation has the app's dependencies with the same bounds, but not its host's."""
    app = set(pyproject()["dependency-groups"]["app"])
    installed = set(pyproject()["project"]["dependencies"])
    assert {Requirement(text).name for text in app - installed} == {"azure-functions"}
    only_here = {Requirement(text).name for text in installed - app}
    assert only_here == {"click", "jinja2", "rich"}


@every_lock
def test_lock_is_up_to_date(lock: str, tmp_path: Path) -> None:
    """Compiling a lock again, with its versions, gives the same file."""
    for name in ("pyproject.toml", lock):
        shutil.copy(ROOT / name, tmp_path)
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--python", sys.executable]
    groups = [f"--group={group}" for group in GROUPS[lock]]
    project = ["pyproject.toml"] if lock in PROJECT else []
    compiled = subprocess.run(
        [*command, *project, *groups, "--output-file", lock],
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


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a page that links the wheels for Python 3.11 and 3.13 with their hashes."""
    links = []
    for python in ("3.11", "3.13"):
        packaged(python)  # skips without the index
        folder = download([pin for pin in pins_of(DEPLOYED) if pin.applies(python)], python)
        for wheel in folder.glob("*.whl"):
            digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
            links.append(f'<a href="{wheel.as_uri()}#sha256={digest}">{wheel.name}</a>')
    page = tmp_path_factory.mktemp("index") / "index.html"
    page.write_text("<!DOCTYPE html>\n" + "\n".join(links), "utf-8")
    return page


def pip_install(python: str, requirements: Path, index: Path) -> "subprocess.CompletedProcess[str]":
    """Let the pip of a Python choose and check wheels from a page, and install none."""
    options = ("--dry-run", "--ignore-installed", "--no-index", "--find-links", index.as_uri())
    return subprocess.run(
        [interpreter(python), "-m", "pip", "install", *options, "--requirement", requirements],
        env={"PATH": os.environ["PATH"], "PIP_CONFIG_FILE": os.devnull},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("python", ["3.11", "3.13"])
def test_the_lock_is_installable(index: Path, python: str) -> None:
    """The lock of the checkout can be installed on the oldest and on the deployed Python."""
    done = pip_install(python, ROOT / DEPLOYED, index)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("running", ["3.11", "3.13"])
@pytest.mark.parametrize("built_for", ["3.11", "3.13"])
def test_a_remote_build_on_another_python_fails(
    index: Path, tmp_path: Path, built_for: str, running: str
) -> None:
    """The requirements in the package can be installed on the package's own Python alone."""
    file = tmp_path / "requirements.txt"
    file.write_bytes(packaged(built_for, remote_build=True)["requirements.txt"])
    done = pip_install(running, file, index)
    if running == built_for:
        assert done.returncode == 0, done.stderr
        assert "Would install" in done.stdout
    else:
        assert done.returncode != 0
        assert re.search("No matching distribution found|DO NOT MATCH THE HASHES", done.stderr)


@pytest.mark.parametrize("python", PYTHONS)
def test_packaged_requirements_are_limited(python: str) -> None:
    """Each pin of a Python is in its package, with one hash of the lock and without a marker."""
    text = packaged(python, remote_build=True)["requirements.txt"].decode()
    assert text.splitlines()[0] == "--only-binary :all:"
    found = re.findall(r"^(\S+)==(\S+) \\\n    --hash=(\S+)\n", text, re.MULTILINE)
    assert len(text.splitlines()) == 1 + 2 * len(found)
    pins = [pin for pin in pins_of(DEPLOYED) if pin.applies(python)]
    assert [(name, version) for name, version, _ in found] == [(p.name, p.version) for p in pins]
    assert all(digest in pin.hashes for pin, (_, _, digest) in zip(pins, found, strict=True))


def test_a_file_of_requirements_is_a_lock(tmp_path: Path) -> None:
    """Pins that are written and read again are the same, but for their markers."""
    pins = [Pin(Requirement("a==1.0"), ["sha256:1", "sha256:2"]), Pin(Requirement("b==2"), [])]
    file = tmp_path / "requirements.txt"
    file.write_text(requirements_text(pins).partition("\n")[2], "utf-8")
    assert read_lock(file) == pins
