"""A checkout can be installed, and the installed command needs no checkout."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

from tests.support import DEMO, ROOT, json_lines, snapshot
from tests.support.effort import IN_CI
from tests.support.packages import empty_environment

SCRIPT = "managed-identity-impact"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
# Messages of pip and uv about an unreachable index.
UNREACHABLE = re.compile("from versions: none|Failed to fetch|network was disabled")


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program without this checkout on its path, and return its output.

    It has the variables of this process, which may lead to an index.
    """
    return subprocess.run(
        command,
        cwd=cwd,
        env={n: v for n, v in os.environ.items() if n not in {"PYTHONPATH", "VIRTUAL_ENV"}},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def require_index(done: subprocess.CompletedProcess[str]) -> None:
    """Skip the test if an installation failed because there is no index, except in CI."""
    if UNREACHABLE.search(done.stderr + done.stdout) and not IN_CI:
        pytest.skip("the package index cannot be reached, and the build needs setuptools from it")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the checkout as git has it, since a build writes into its folder."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("pyproject.toml", "README.md", "LICENSE", "function_app.py"):
        shutil.copy(ROOT / name, folder)
    for name in ("detection", "tests/recorded"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    # Folders at the top as they are here, because they are what setuptools refused.
    for name in ("bench", "infra", "scripts", "tests"):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "__init__.py").touch()
    return folder


@pytest.fixture(scope="module")
def installed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment with the project, as `pip install .` makes it.

    The dependencies are those of this environment, so that only the build needs the index.
    """
    folder = tmp_path_factory.mktemp("installed") / "venv"
    python = empty_environment(Path(sys.executable), folder, Path(sysconfig.get_path("purelib")))
    install = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-warn-conflicts")
    done = run(python, *install, "--ignore-installed", source, cwd=folder)
    require_index(done)
    return folder


def test_it_installs_the_package_alone(installed: Path) -> None:
    """The environment has detection/ with its data and the command, and nothing else."""
    (packages,) = installed.glob("lib/python*/site-packages")
    names = {path.name for path in packages.iterdir()} - {"paths.pth"}
    (information,) = packages.glob("*.dist-info")
    assert names == {"detection", information.name}
    shipped = {name for name in snapshot(ROOT / "detection") if "__pycache__" not in name}
    got = {name for name in snapshot(packages / "detection") if "__pycache__" not in name}
    assert shipped <= got
    tables = {f"cli/recorded_attack/{path.name}" for path in DEMO.glob("[A-Z]*.json")}
    assert got - shipped == tables | {"cli/recorded_attack"}
    assert (installed / "bin" / SCRIPT).is_file()


def test_the_command_needs_no_checkout(installed: Path, tmp_path: Path) -> None:
    """The installed command knows its version and its name, and shows the demo."""
    script = installed / "bin" / SCRIPT
    version = run(script, "--version", cwd=tmp_path)
    assert version.stdout == f"{SCRIPT} {PYPROJECT['project']['version']}\n", version.stderr
    assert run(script, "--help", cwd=tmp_path).stdout.startswith(f"Usage: {SCRIPT} [OPTIONS]")
    demo = run(script, "demo", "--json", "--report", "report.html", cwd=tmp_path)
    assert demo.returncode == 0, demo.stderr
    assert len(json_lines(demo.stdout)) == 2
    assert (tmp_path / "report.html").is_file()
    assert f"{installed}/lib" in demo.stderr  # the logs are those of the package
    assert run(script, "kql", cwd=tmp_path).returncode == 0


def test_uvx_runs_a_checkout(source: Path, tmp_path: Path) -> None:
    """`uvx --from` a checkout runs the command in an environment with its own dependencies."""
    uvx = (sys.executable, "-m", "uv", "tool", "run", "--from", source)
    done = run(*uvx, SCRIPT, "demo", "--json", cwd=tmp_path)
    require_index(done)
    assert len(json_lines(done.stdout)) == 2


def test_every_package_is_listed() -> None:
    """pyproject.toml lists each package of the project, and the logs of the demo."""
    setuptools = PYPROJECT["tool"]["setuptools"]
    logs = set(setuptools["package-dir"])
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "detection").rglob("*.py")}
    assert set(setuptools["packages"]) == {".".join(each.parts) for each in folders} | logs
    assert [ROOT / folder for folder in setuptools["package-dir"].values()] == [DEMO]
