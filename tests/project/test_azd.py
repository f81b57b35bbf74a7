"""Azure Developer CLI deploys the same app from the same templates."""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts import package
from tests.support import ROOT, environment, read_yaml
from tests.support.effort import IN_CI

AZD = read_yaml(ROOT / "azure.yaml")
# The files of out/package.zip, which `make package` writes there as well.
FOLDER = "out/app"


def test_the_app_is_one_service_that_azure_does_not_build() -> None:
    """The service is the folder that `make package` fills before; Azure installs nothing."""
    (service,) = AZD["services"].values()
    assert service == {
        "project": ".",
        "dist": FOLDER,
        "language": "python",
        "host": "function",
        "remoteBuild": False,
        "hooks": {"prepackage": {"shell": "sh", "run": "make package"}},
    }
    assert "\npackage:" in (ROOT / "Makefile").read_text("utf-8")


def test_nothing_of_the_package_is_ignored() -> None:
    """The folder that is sent has no .funcignore, which azd would read there."""
    assert ".funcignore" not in package.APP


def test_azd_must_honour_remote_build() -> None:
    """Versions before 1.23.5, which let Azure build every Python app, are refused."""
    assert AZD["requiredVersions"] == {"azd": ">= 1.23.5"}


def test_the_templates_are_found() -> None:
    """The templates are Bicep, infra/main.bicep."""
    assert AZD["infra"] == {"provider": "bicep", "path": "infra", "module": "main"}


def test_the_service_is_the_tagged_app() -> None:
    """The function app has the tag by which azd finds the target of the service."""
    templates = [path.read_text("utf-8") for path in (ROOT / "infra").rglob("*.bicep")]
    (service,) = AZD["services"]
    assert any(f"'azd-service-name': '{service}'" in template for template in templates)


def test_the_project_can_be_installed(tmp_path: Path) -> None:
    """`pip install .`, with which azd restores and packages, installs detection/ and its data."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (source / name).write_bytes((ROOT / name).read_bytes())
    for path in (ROOT / "detection").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            copy = source / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    # Folders at the top as they are here, because they are what setuptools refused.
    for name in ("bench", "infra", "scripts", "tests"):
        (source / name).mkdir()
        (source / name / "__init__.py").touch()
    (source / "function_app.py").touch()
    target = tmp_path / "target"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    done = subprocess.run(
        [*install, "--target", str(target), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    if "from versions: none" in done.stderr + done.stdout and not IN_CI:
        pytest.skip("the package index cannot be reached, and the build needs setuptools from it")
    assert done.returncode == 0, done.stderr
    installed = {path.relative_to(target) for path in (target / "detection").rglob("*")}
    shipped = {path.relative_to(source) for path in (source / "detection").rglob("*.*")}
    assert shipped <= installed
    assert {path.name for path in target.iterdir()} - {"bin"} == {
        "detection",
        *(path.name for path in target.glob("*.dist-info")),
    }
    started = subprocess.run(
        [sys.executable, "-P", "-m", "detection", "--help"],
        cwd=tmp_path,
        env=environment({"PYTHONPATH": str(target)}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert started.returncode == 0, started.stderr
    assert "Usage:" in started.stdout
