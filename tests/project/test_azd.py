"""Azure Developer CLI deploys the same app from the same templates."""

import subprocess
import sys
from pathlib import Path

from scripts.package import APP
from tests.support import ROOT, read_yaml

AZD = read_yaml(ROOT / "azure.yaml")


def test_the_app_is_one_service_built_in_azure() -> None:
    """The folder of azure.yaml is one Python function app, whose requirements Azure installs."""
    assert AZD["services"] == {
        "detection": {
            "project": ".",
            "language": "python",
            "host": "function",
            "remoteBuild": True,
        }
    }
    assert all((ROOT / name).exists() for name in APP)


def test_azd_must_honour_funcignore() -> None:
    """Versions before 1.18.0, which upload the whole tree, are refused."""
    assert AZD["requiredVersions"] == {"azd": ">= 1.18.0"}


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
    target = tmp_path / "target"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*install, "--target", str(target), str(source)], check=True)
    installed = {path.relative_to(target) for path in (target / "detection").rglob("*")}
    shipped = {path.relative_to(source) for path in (source / "detection").rglob("*.*")}
    assert shipped <= installed
    assert {path.name for path in target.iterdir()} - {"bin"} == {
        "detection",
        *(path.name for path in target.glob("*.dist-info")),
    }
