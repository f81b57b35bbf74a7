"""The app of the sample of parameters runs on the Python that `make package` builds for."""

import json

import pytest

from scripts.lock import supported_pythons
from tests.infra.compiler import INFRA, bicep
from tests.support import ROOT


@pytest.mark.parametrize(
    ("chosen", "expected"), [("", supported_pythons(ROOT)[-1]), ("3.12", "3.12")]
)
def test_the_sample_reads_the_version_of_the_package(
    monkeypatch: pytest.MonkeyPatch, chosen: str, expected: str
) -> None:
    """PYTHON_VERSION chooses pythonVersion; empty, as in a workflow that lacks it, it does not."""
    monkeypatch.setenv("PYTHON_VERSION", chosen)
    built = json.loads(bicep("build-params", INFRA / "main.bicepparam", "--stdout"))
    parameters = json.loads(built["parametersJson"])["parameters"]
    assert parameters["pythonVersion"]["value"] == expected
