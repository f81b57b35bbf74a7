"""Azure Developer CLI deploys the same app from the same templates."""

from scripts import package
from tests.support import ROOT, read_yaml

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
