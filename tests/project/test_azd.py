"""Azure Developer CLI deploys the same app from the same templates."""

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
