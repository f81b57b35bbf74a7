"""The package holds the app alone, and runs with the app's own requirements alone."""

import hashlib
import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
from pathspec import GitIgnoreSpec

from scripts.once import make_once
from scripts.package import APP, NotTheApp, package
from tests.support import ROOT
from tests.support.effort import IN_CI
from tests.support.services.ingestion import FINDINGS_STREAM
from tests.support.services.world import App, World, needs_worker

REQUIREMENTS = ROOT / "requirements.txt"

# Files that a working tree collects and that must not be deployed.
LITTER = [
    *(".env", ".env.production", ".DS_Store", "detection/.DS_Store", "local.settings.json"),
    *("local.settings.prod.json", "old.zip", "out/package.zip", "NOTES.md", "azure.yaml"),
    *(".azure/dev/.env", ".git/config", ".github/workflows/x.yml", ".venv/pyvenv.cfg"),
    *(
        "app_env/pyvenv.cfg",
        ".vscode/settings.json",
        "__azurite_db_blob__.json",
        "infra/main.bicep",
    ),
    *("tests/test_x.py", "bench/data/x.json", "scripts/x.py", ".mypy_cache/x", "pyproject.toml"),
    *("__pycache__/function_app.pyc", "detection/__pycache__/x.pyc", ".python_packages/lib/x.py"),
    *("detection/rule/__pycache__/x.pyc", "detection/report/page.html", "requirements-dev.txt"),
]

# Files that .funcignore does not name and that no app needs.
FOREIGN = [
    *("detection/.hidden.py", "detection/.vscode/launch.py"),
    *("detection/settings.json", "detection/rule/notes.txt", "detection/state/backup.zip"),
    *("detection/sources/key", "detection/sources/id_rsa", "detection/sinks/cert.p12"),
    *("detection/rule/logs.jsonl", "detection/rule/select.py.orig", "detection/a.PEM"),
]
SECRET = [
    "detection/.git/config",
    *("detection/.env", "detection/rule/.env.production", "detection/local.settings.json"),
    *("detection/sinks/tls.pem", "detection/sinks/tls.key", "detection/tls.pfx"),
]

# Imports the given modules, and prints the installed packages.
IMPORT_ALL = """
import importlib, importlib.metadata, sys
for module in sys.argv[1:]:
    importlib.import_module(module)
print(*(distribution.name.lower() for distribution in importlib.metadata.distributions()))
"""


@pytest.fixture(scope="module")
def zipped() -> ZipFile:
    """Build the package of this checkout."""
    return ZipFile(io.BytesIO(package(ROOT)))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Copy the app and .funcignore to a folder."""
    folder = tmp_path / "tree"
    folder.mkdir()
    for name in (".funcignore", "function_app.py", "host.json", "requirements.txt"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "detection", folder / "detection")
    return folder


@pytest.fixture(scope="session")
def bare_python() -> Path:
    """Give the Python of an environment with requirements.txt installed and nothing else.

    Skips the test if the package index cannot be reached, except in CI.
    """
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]
    home = Path(sys.prefix) / f"deployed-{digest}"
    python = home / "bin" / "python"

    def install() -> None:
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        done = subprocess.run(
            [str(python), "-m", "pip", "install", "--require-hashes", "-r", str(REQUIREMENTS)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode and "from versions: none" in done.stderr and not IN_CI:
            pytest.skip("the package index cannot be reached, so requirements.txt is not installed")
        assert done.returncode == 0, done.stderr

    make_once(home, install)
    return python


@pytest.fixture
def app(zipped: ZipFile, bare_python: Path, tmp_path: Path) -> App:
    """Unpack the package beside the worker, for the bare environment."""
    folder, worker = tmp_path / "app", tmp_path / "worker"
    zipped.extractall(folder)
    worker.mkdir()
    for name in ("azure_functions_runtime", "azurefunctions"):
        if spec := importlib.util.find_spec(name):  # from Python 3.13 on
            (worker / name).symlink_to(next(iter(spec.submodule_search_locations or [])))
    return App(folder, bare_python, worker)


def test_the_package_holds_the_app_alone(zipped: ZipFile) -> None:
    """The package has code, queries, tables, host.json and requirements.txt, and no secret."""
    names = zipped.namelist()
    assert names == sorted(names)
    assert {name.partition("/")[0] for name in names} == APP
    assert {Path(name).suffix for name in names} == {
        *(".py", ".kql", ".csv", ".json", ".txt", ".typed")
    }
    assert not any(b"AccountKey=" in zipped.read(name) for name in names)


def test_the_package_holds_the_app_s_data(zipped: ZipFile) -> None:
    """Each query, host.json and requirements.txt are in the package unchanged."""
    queries = [path.relative_to(ROOT).as_posix() for path in (ROOT / "detection").rglob("*.kql")]
    assert len(queries) >= 5
    for name in [*queries, "host.json", "requirements.txt"]:
        assert zipped.read(name) == (ROOT / name).read_bytes()


def add_litter(tree: Path, *names: str) -> None:
    """Add files with a secret to a tree."""
    for name in names:
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("AccountKey=secret")


def test_litter_beside_the_app_is_left_out(tree: Path) -> None:
    """Secrets, local settings, caches, tests and tools beside the app do not change the package."""
    clean = package(tree)
    add_litter(tree, *LITTER)
    assert package(tree) == clean


@pytest.mark.parametrize("name", [*FOREIGN, *SECRET])
def test_litter_within_the_app_is_left_out(tree: Path, name: str) -> None:
    """A file in a folder of the app that is neither code nor data does not change the package."""
    clean = package(tree)
    add_litter(tree, name)
    assert package(tree) == clean


@pytest.mark.parametrize("name", SECRET)
def test_other_tools_ignore_secrets_too(name: str) -> None:
    """Tools that read .funcignore themselves leave secrets out in any folder."""
    lines = (ROOT / ".funcignore").read_text("utf-8").splitlines()
    assert GitIgnoreSpec.from_lines(lines).match_file(name)


@pytest.mark.parametrize("name", ["detection/rule/words.csv", "detection/new.kql"])
def test_new_data_files_are_deployed(tree: Path, name: str) -> None:
    """A new file of a type that the app reads is in the package."""
    add_litter(tree, name)
    assert name in ZipFile(io.BytesIO(package(tree))).namelist()


@pytest.mark.parametrize("name", ["detection/linked.py", "detection/rule/linked", "host.json"])
@pytest.mark.parametrize("target", ["secret.py", "secrets", "tree/function_app.py", "nowhere"])
def test_a_symbolic_link_is_refused(tree: Path, name: str, target: str) -> None:
    """A link among the app's files is named, and no package is built."""
    outside = tree.parent
    add_litter(outside, "secret.py", "secrets/secret.py")
    (tree / name).unlink(missing_ok=True)
    (tree / name).symlink_to(outside / target)
    with pytest.raises(NotTheApp, match=f"symbolic links.*{re.escape(name)}"):
        package(tree)


def test_the_command_lists_excluded_files(tree: Path, tmp_path: Path) -> None:
    """Each file that does not belong to the app is named on stderr."""
    add_litter(tree, *FOREIGN)
    shutil.copytree(ROOT / "scripts", tree / "scripts")
    done = subprocess.run(
        [sys.executable, "-m", "scripts.package", str(tmp_path / "app.zip")],
        cwd=tree,
        capture_output=True,
        text=True,
        check=True,
    )
    said = [line.rpartition(": ")[2].strip("'") for line in done.stderr.splitlines()]
    assert said == sorted(FOREIGN)
    assert (tmp_path / "app.zip").read_bytes() == package(ROOT)


def test_the_same_files_give_the_same_bytes(tree: Path, tmp_path: Path) -> None:
    """The bytes depend on neither times, permissions nor order, and on any change of a file."""
    other = tmp_path / "other"
    for path in sorted(tree.rglob("*"), reverse=True):
        if path.is_file():
            copy = other / path.relative_to(tree)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
            copy.chmod(0o700)
            os.utime(copy, (0, 0))
    assert package(other) == package(tree) == package(ROOT)
    (other / "host.json").write_text("{}")
    assert package(other) != package(tree)


def test_an_unknown_file_is_refused(tree: Path) -> None:
    """A file that is neither the app's nor in .funcignore is named, and nothing is built."""
    (tree / "passwords.txt").write_text("")
    with pytest.raises(NotTheApp, match=r"passwords\.txt"):
        package(tree)


@pytest.mark.parametrize("name", ["host.json", "requirements.txt", "function_app.py"])
def test_an_incomplete_app_is_not_built(tree: Path, name: str) -> None:
    """A missing part of the app is named, and nothing is built."""
    (tree / name).unlink()
    with pytest.raises(NotTheApp, match=re.escape(name)):
        package(tree)


def test_the_command_describes_the_package(tmp_path: Path) -> None:
    """One line has the file's name, its number of files, its size and its digest."""
    target = tmp_path / "new" / "app.zip"
    done = subprocess.run(
        [sys.executable, "-m", "scripts.package", str(target)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    content = target.read_bytes()
    assert content == package(ROOT)
    count, digest = len(ZipFile(target).namelist()), hashlib.sha256(content).hexdigest()
    assert done.stdout == (
        f"Built {target}: {count} files, {len(content):,} bytes, SHA-256 {digest}\n"
    )


def test_every_module_is_importable_without_the_terminal(app: App) -> None:
    """Every deployed module can be imported with requirements.txt alone."""
    files = [path.relative_to(app.folder).with_suffix("") for path in app.folder.rglob("*.py")]
    modules = [".".join(file.parts).removesuffix(".__init__") for file in files]
    done = subprocess.run(
        [str(app.python), "-P", "-W", "error", "-c", IMPORT_ALL, *modules],
        cwd=app.folder,
        env={"PYTHONPATH": str(app.folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    locked = re.findall(r"^([a-z0-9-]+)==", REQUIREMENTS.read_text("utf-8"), re.MULTILINE)
    installed = {name.replace("_", "-") for name in done.stdout.split()}
    assert installed - {"pip", "setuptools"} <= set(locked)  # packages of every new environment


@needs_worker
def test_the_worker_runs_the_package(app: App, world: World) -> None:
    """The unpacked app is indexed and finds the finding, with its requirements alone."""
    answer = world.invoke(app)
    assert answer["indexed"] == ["detect"]
    assert answer["failure"] == ""
    assert len(world.rows(FINDINGS_STREAM)) == 1


@needs_worker
def test_a_package_without_a_query_fails(app: App, world: World) -> None:
    """Without a query file the run fails, so the worker uses the unpacked files only."""
    (app.folder / "detection" / "kql" / "sign_ins.kql").unlink()
    assert "there is no query 'sign_ins'" in world.invoke(app)["failure"]
