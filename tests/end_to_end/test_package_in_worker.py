"""The package runs in the real worker with nothing else installed, and on its own Python alone."""

import importlib.util
import json
import subprocess
import sys
import sysconfig
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest

from emulator.worker import App
from scripts.package import PACKAGES, build_zip
from tests.support.packages import (
    DEPLOYED,
    RUNNING,
    empty_environment,
    interpreter,
    needs_package,
    packaged,
)
from tests.support.services.ingestion import FINDINGS_STREAM
from tests.support.services.world import World, needs_worker

# The file of every module that a process has imported, written at its end.
RECORD_MODULES = """
import atexit, json, pathlib, sys
files = lambda: {{name: getattr(each, "__file__", None) for name, each in sys.modules.items()}}
atexit.register(lambda: pathlib.Path({target!r}).write_text(json.dumps(files())))
"""
COMPILED = ("orjson", "_cffi_backend", "cryptography.hazmat.bindings._rust")
IMPORTED = ("azure.functions", "azure.identity", "azure.monitor.query", "azure.monitor.ingestion")


def unzipped(python: str, folder: Path) -> Path:
    """Unpack the zip for a Python, and return the folder of its dependencies."""
    ZipFile(BytesIO(build_zip(packaged(python)))).extractall(folder)
    return folder / PACKAGES


def app_for(python: str, folder: Path) -> App:
    """Return the app from the zip for a Python, beside the worker, in an empty environment."""
    packages = unzipped(python, folder / "app")
    worker = folder / "worker"
    worker.mkdir()
    for name in ("azure_functions_runtime", "azurefunctions"):
        if spec := importlib.util.find_spec(name):
            (worker / name).symlink_to(next(iter(spec.submodule_search_locations or [])))
    # Azure's worker puts the folder of the dependencies on sys.path.
    empty = empty_environment(Path(sys.executable), folder / "empty", packages)
    return App(folder / "app", empty, worker)


@needs_worker
@needs_package
def test_the_worker_runs_the_package(world: World, tmp_path: Path) -> None:
    """The timer finds and delivers a finding; only the worker is from outside the zip."""
    app = app_for(DEPLOYED, tmp_path)
    record = tmp_path / "modules.json"
    (packages,) = tmp_path.glob("empty/lib/python*/site-packages")
    (packages / "sitecustomize.py").write_text(RECORD_MODULES.format(target=str(record)), "utf-8")
    answer = world.invoke(app)
    assert answer["indexed"] == ["detect"]
    assert answer["failure"] == ""
    assert len(world.rows(FINDINGS_STREAM)) == 1
    files = {name: Path(file) for name, file in json.loads(record.read_text()).items() if file}
    assert all(files[name].is_relative_to(app.folder / PACKAGES) for name in (*COMPILED, *IMPORTED))
    installed = {name for name, file in files.items() if "site-packages" in file.parts}
    assert {name for name in installed if not files[name].is_relative_to(app.folder)} == {
        "sitecustomize"
    }
    standard = [Path(sysconfig.get_path(each)) for each in ("stdlib", "platstdlib")]
    places = [app.folder, tmp_path / "worker", packages, *standard]
    assert not [name for name, file in files.items() if not any(map(file.is_relative_to, places))]


@needs_worker
@needs_package
def test_a_package_without_a_query_fails(world: World, tmp_path: Path) -> None:
    """Without a query file the run fails, so the worker uses the unpacked files only."""
    app = app_for(DEPLOYED, tmp_path)
    (app.folder / "detection" / "kql" / "sign_ins.kql").unlink()
    assert "there is no query 'sign_ins'" in world.invoke(app)["failure"]


def refusal(built_for: str, running: str) -> str:
    """Return the sentence about a package on another Python than its own."""
    return (
        f"This package was built for Python {built_for}, and the app runs on Python {running}: "
        f"deploy the app with pythonVersion={built_for}, or build the package with "
        f'make package ARGS="--python {running}".'
    )


@needs_worker
@needs_package
def test_the_worker_reports_another_python(world: World, tmp_path: Path) -> None:
    """The worker finds no function in a package for another Python, and reports the remedy."""
    app = app_for("3.12", tmp_path)
    answer = world.invoke(app)
    assert answer["indexed"] == []
    assert answer["failure"] == f"RuntimeError: {refusal('3.12', RUNNING)}"


@pytest.mark.parametrize("running", ["3.11"])
def test_the_package_refuses_another_python(tmp_path: Path, running: str) -> None:
    """On another Python, without any other package, importing the app raises the remedy."""
    packages = unzipped(DEPLOYED, tmp_path / "app")
    empty = empty_environment(interpreter(running), tmp_path / "empty", packages)
    done = subprocess.run(
        [str(empty), "-c", "import function_app"],
        cwd=tmp_path / "app",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"RuntimeError: {refusal(DEPLOYED, running)}"
