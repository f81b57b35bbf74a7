"""The package holds the app and its dependencies alone, and the same inputs give the same bytes."""

import base64
import csv
import hashlib
import io
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import pytest
from packaging.utils import canonicalize_name
from pathspec import GitIgnoreSpec

from python_version import BUILT_FOR
from scripts.lock import Pin, read_lock, supported_pythons
from scripts.package import (
    APP,
    FOLDER,
    PACKAGES,
    REMOTE_BUILD_ZIP,
    ZIP,
    NotTheApp,
    app_files,
    build_zip,
)
from scripts.wheels import UnusableWheels, check, download, files
from tests.support import ROOT
from tests.support.packages import (
    DEPLOYED,
    RUNNING,
    empty_environment,
    needs_package,
    packaged,
    unpacked,
)

PYTHONS = supported_pythons(ROOT)

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
    *("build/lib/detection/x.py", "managed_identity_impact.egg-info/PKG-INFO"),
    *("tests/test_x.py", "bench/data/x.json", "scripts/x.py", ".mypy_cache/x", "pyproject.toml"),
    *("__pycache__/function_app.pyc", "detection/__pycache__/x.pyc"),
    *(".python_packages/lib/site-packages/x.py", ".python_packages/lib/site-packages/orjson.py"),
    *("detection/rule/__pycache__/x.pyc", "detection/report/page.html", "requirements-dev.txt"),
]

# Files that .funcignore does not name and that no app needs.
FOREIGN = [
    *("detection/.hidden.py", "detection/.vscode/launch.py"),
    *("detection/settings.json", "detection/rule/notes.txt", "detection/state/backup.zip"),
    *("detection/sources/key", "detection/sources/id_rsa", "detection/sinks/cert.p12"),
    *("detection/rule/logs.jsonl", "detection/rule/select.py.orig", "detection/a.PEM"),
    *("detection/rule/copy.PY", "detection/KEY.Csv", "detection/python-version.txt"),
    *("detection/.python_packages/x.py", "detection/rule/..py", "detection/x.py/.netrc"),
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
def app() -> dict[str, bytes]:
    """Return the package of this checkout for the deployed Python."""
    return packaged(DEPLOYED)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Copy the app, .funcignore and the scripts to a folder."""
    folder = tmp_path / "tree"
    folder.mkdir()
    for name in {*APP, ".funcignore", "pyproject.toml", "scripts"}:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name)
        else:
            shutil.copy(ROOT / name, folder)
    return folder


def own_files(root: Path) -> dict[str, bytes]:
    """Return the files of a package but the dependencies."""
    return packaged(DEPLOYED, root=root, remote_build=True)


def test_the_package_holds_the_app_alone(app: dict[str, bytes]) -> None:
    """Beside its dependencies, the package has code, queries, tables and host.json, no secret."""
    assert list(app) == sorted(app)
    own = {name: content for name, content in app.items() if not name.startswith(PACKAGES)}
    assert {name.partition("/")[0] for name in own} == APP | {BUILT_FOR.name}
    assert {Path(name).suffix for name in own} == {
        *(".py", ".kql", ".csv", ".json", ".txt", ".typed")
    }
    assert not any(b"AccountKey=" in content for content in own.values())
    assert own == own_files(ROOT)


def test_the_package_holds_the_app_s_data(app: dict[str, bytes]) -> None:
    """Each query, host.json and the code are in the package unchanged."""
    queries = [path.relative_to(ROOT).as_posix() for path in (ROOT / "detection").rglob("*.kql")]
    assert len(queries) >= 5
    for name in [*queries, "host.json", "function_app.py", "python_version.py"]:
        assert app[name] == (ROOT / name).read_bytes()
    assert app[BUILT_FOR.name] == f"{DEPLOYED}\n".encode()


@pytest.mark.parametrize("python", PYTHONS)
def test_the_dependencies_are_those_of_the_lock(python: str) -> None:
    """Each pin for the Python is in the package, compiled for this Python and no other."""
    app = packaged(python)
    pins = pins_for(python)
    infos = re.findall(
        rf"^{PACKAGES}/([^/]+)-([^/]+)\.dist-info/METADATA$", "\n".join(app), re.MULTILINE
    )
    assert sorted((canonicalize_name(name), version) for name, version in infos) == sorted(
        (pin.name, pin.version) for pin in pins
    )
    compiled = {name.rpartition("/")[2] for name in app if ".cpython-" in name}
    assert compiled
    assert all(f".cpython-{python.replace('.', '')}-x86_64-linux-gnu" in each for each in compiled)
    assert (
        f"azure-functions=={'2' if python >= '3.13' else '1'}" in app["requirements.txt"].decode()
    )


def test_the_dependencies_are_the_files_of_their_records(app: dict[str, bytes]) -> None:
    """Each file of a dependency has the hash in the RECORD of its wheel, and none is added."""
    recorded = {}
    for name, content in app.items():
        if name.endswith(".dist-info/RECORD"):
            for file, digest, _ in csv.reader(content.decode().splitlines()):
                recorded[f"{PACKAGES}/{file}"] = digest
    assert recorded.keys() == {name for name in app if name.startswith(PACKAGES)}
    for name, digest in recorded.items():
        if not name.endswith(".dist-info/RECORD"):
            found = base64.urlsafe_b64encode(hashlib.sha256(app[name]).digest()).decode()
            assert digest == f"sha256={found.rstrip('=')}", name


def test_no_command_or_cache_is_packed(app: dict[str, bytes]) -> None:
    """The dependencies have neither commands nor caches nor traces of this machine."""
    parts = {part for name in app for part in name.removeprefix(PACKAGES).split("/")}
    assert not parts & {"__pycache__", "direct_url.json", "INSTALLER", "REQUESTED"}
    assert not any(name.startswith((f"{PACKAGES}/bin/", ".python_packages/bin/")) for name in app)
    assert not any(name.endswith((".pyc", ".exe")) for name in app)


def pins_for(python: str) -> list[Pin]:
    """Return the pins of the deployed lock for a Python."""
    return [pin for pin in read_lock(ROOT / "requirements.txt") if pin.applies(python)]


@pytest.fixture
def wheels(app: dict[str, bytes], tmp_path: Path) -> Path:
    """Copy the downloaded wheels for the deployed Python to a folder."""
    del app  # skips the test without a package index
    folder = tmp_path / "wheels"
    shutil.copytree(download(pins_for(DEPLOYED), DEPLOYED), folder)
    return folder


def test_a_changed_wheel_is_refused(wheels: Path) -> None:
    """A wheel with other bytes than the lock's is refused."""
    assert len(check(pins_for(DEPLOYED), wheels)) == len(pins_for(DEPLOYED))
    (wheel,) = wheels.glob("orjson-*.whl")
    with ZipFile(wheel, "a") as archive:
        archive.writestr("added.py", "")
    with pytest.raises(UnusableWheels, match=r"orjson\S+ is not a wheel of requirements\.txt"):
        check(pins_for(DEPLOYED), wheels)


def test_a_wheel_of_no_pin_is_refused(wheels: Path) -> None:
    """A wheel that the lock does not have, or has at another version, is refused."""
    (wheel,) = wheels.glob("idna-*.whl")
    for name in ("other-1.0-py3-none-any.whl", "idna-1.0-py3-none-any.whl"):
        added = wheels / name
        shutil.copy(wheel, added)
        with pytest.raises(UnusableWheels, match=f"{name} is not a wheel"):
            check(pins_for(DEPLOYED), wheels)
        added.unlink()


def test_a_missing_wheel_is_named(wheels: Path) -> None:
    """A package whose wheel is missing is named."""
    (wheel,) = wheels.glob("msal_extensions-*.whl")
    wheel.unlink()
    with pytest.raises(UnusableWheels, match="no wheel of msal-extensions"):
        check(pins_for(DEPLOYED), wheels)


@pytest.mark.parametrize(
    "name",
    [
        *("../x.py", "/x.py", "a//x.py", "a\\x.py", ".env", "a/.ssh/key", "a/__pycache__/x.pyc"),
        *("a-1.0.data/scripts/a", "a-1.0.data/purelib/a.py"),
    ],
)
def test_a_wheel_s_file_outside_its_place_is_refused(tmp_path: Path, name: str) -> None:
    """A hidden file, a cache, and a file for another place than site-packages are refused."""
    wheel = tmp_path / "a-1.0-py3-none-any.whl"
    with ZipFile(wheel, "w") as archive:
        archive.writestr("a/x.py", "")
        archive.writestr(name, "")
    with pytest.raises(UnusableWheels, match=r"which is not packed"):
        list(files(wheel))


def test_a_link_in_a_wheel_is_refused(tmp_path: Path) -> None:
    """A symbolic link in a wheel is refused, and a regular file is read."""
    wheel = tmp_path / "a-1.0-py3-none-any.whl"
    for kind in (stat.S_IFREG, stat.S_IFLNK):
        entry = ZipInfo("a.py")
        entry.external_attr = (kind | 0o644) << 16
        with ZipFile(wheel, "w") as archive:
            archive.writestr(entry, "/etc/passwd")
        if kind == stat.S_IFREG:
            assert list(files(wheel)) == [("a.py", b"/etc/passwd")]
        else:
            with pytest.raises(UnusableWheels, match=r"a\.py"):
                list(files(wheel))


def add_litter(tree: Path, *names: str) -> None:
    """Add files with a secret to a tree."""
    for name in names:
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("AccountKey=secret")


def test_litter_beside_the_app_is_left_out(tree: Path) -> None:
    """Secrets, local settings, caches, tests and tools beside the app do not change the package."""
    clean = own_files(tree)
    add_litter(tree, *LITTER)
    assert own_files(tree) == clean


@pytest.mark.parametrize("name", [*FOREIGN, *SECRET])
def test_litter_within_the_app_is_left_out(tree: Path, name: str) -> None:
    """A file in a folder of the app that is neither code nor data does not change the package."""
    clean = own_files(tree)
    add_litter(tree, name)
    assert own_files(tree) == clean


@pytest.mark.parametrize("name", SECRET)
def test_other_tools_ignore_secrets_too(name: str) -> None:
    """Tools that read .funcignore themselves leave secrets out in any folder."""
    lines = (ROOT / ".funcignore").read_text("utf-8").splitlines()
    assert GitIgnoreSpec.from_lines(lines).match_file(name)


@pytest.mark.parametrize("name", ["detection/rule/words.csv", "detection/new.kql"])
def test_new_data_files_are_deployed(tree: Path, name: str) -> None:
    """A new file of a type that the app reads is in the package."""
    add_litter(tree, name)
    assert name in own_files(tree)


@pytest.mark.parametrize("name", ["detection/linked.py", "detection/rule/linked", "host.json"])
@pytest.mark.parametrize("target", ["secret.py", "secrets", "tree/function_app.py", "nowhere"])
def test_a_symbolic_link_is_refused(tree: Path, name: str, target: str) -> None:
    """A link among the app's files is named, and no package is built."""
    outside = tree.parent
    add_litter(outside, "secret.py", "secrets/secret.py")
    (tree / name).unlink(missing_ok=True)
    (tree / name).symlink_to(outside / target)
    with pytest.raises(NotTheApp, match=f"symbolic links.*{re.escape(name)}"):
        app_files(tree)


@pytest.mark.parametrize("name", ["detection", "detection/kql", ".python_packages"])
@pytest.mark.parametrize("target", ["elsewhere", "tree/scripts"])
def test_a_linked_folder_is_refused(tree: Path, name: str, target: str) -> None:
    """A link in place of a folder is not followed, wherever it leads; no package is built."""
    add_litter(tree.parent, f"{target}/x.py")
    shutil.rmtree(tree / name, ignore_errors=True)
    (tree / name).symlink_to(tree.parent / target)
    with pytest.raises(NotTheApp, match=re.escape(name)):
        app_files(tree)


def run_command(
    tree: Path, *arguments: str, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run the command in a tree."""
    return subprocess.run(
        [sys.executable, "-m", "scripts.package", *arguments],
        cwd=tree,
        env=os.environ | {"PYTHON_VERSION": ""} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_lists_excluded_files(app: dict[str, bytes], tree: Path) -> None:
    """Each file that does not belong to the app is named on stderr, and not packed."""
    add_litter(tree, *FOREIGN)
    done = run_command(tree)
    assert done.returncode == 0, done.stderr
    said = [line.rpartition(": ")[2].strip("'") for line in done.stderr.splitlines()]
    assert said == sorted(FOREIGN)
    assert (tree / ZIP).read_bytes() == build_zip(app)


def test_the_command_describes_the_package(app: dict[str, bytes], tree: Path) -> None:
    """One line has the file's name, the Python, the number of files, the size and the digest."""
    done = run_command(tree)
    content = (tree / ZIP).read_bytes()
    assert content == build_zip(app)
    assert done.stdout == (
        f"Built {ZIP} for Python {DEPLOYED}: {len(app)} files, {len(content):,} bytes, "
        f"SHA-256 {hashlib.sha256(content).hexdigest()}\n"
    )


def test_the_folder_holds_the_files_of_the_zip(tree: Path) -> None:
    """The folder has the files of the zip, and none of an earlier build."""
    (tree / FOLDER / "detection").mkdir(parents=True)
    (tree / FOLDER / "detection" / "removed.py").write_text("")
    assert run_command(tree, "--python", "3.12").returncode == 0
    with ZipFile(tree / ZIP) as archive:
        zipped = {name: archive.read(name) for name in archive.namelist()}
    found = {
        path.relative_to(tree / FOLDER).as_posix(): path.read_bytes()
        for path in (tree / FOLDER).rglob("*")
        if path.is_file()
    }
    assert found == zipped == packaged("3.12")


def test_the_package_for_a_remote_build_has_no_dependency(
    app: dict[str, bytes], tree: Path
) -> None:
    """Its other files are those of the package with dependencies, and it stands beside that."""
    done = run_command(tree, "--remote-build")
    assert done.stdout.startswith(f"Built {REMOTE_BUILD_ZIP} for Python {DEPLOYED}: ")
    own = {name: content for name, content in app.items() if not name.startswith(PACKAGES)}
    assert (tree / REMOTE_BUILD_ZIP).read_bytes() == build_zip(own)
    assert [path.name for path in (tree / "out").iterdir()] == [Path(REMOTE_BUILD_ZIP).name]


@pytest.mark.parametrize(("chosen", "expected"), [("3.12", "3.12"), ("", DEPLOYED)])
def test_the_environment_can_choose_the_python(tree: Path, chosen: str, expected: str) -> None:
    """PYTHON_VERSION chooses the Python of the package; empty, it does not."""
    packaged(expected)
    done = run_command(tree, "--remote-build", PYTHON_VERSION=chosen)
    assert f"for Python {expected}:" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("arguments", "variable"), [(["--python", "3.10"], ""), ([], "3.10"), ([], "3")]
)
def test_a_python_that_is_not_tested_is_refused(
    tree: Path, arguments: list[str], variable: str
) -> None:
    """A version that pyproject.toml does not list is refused, and nothing is written."""
    done = run_command(tree, *arguments, PYTHON_VERSION=variable)
    assert done.returncode == 2
    assert "is none of 3.11, 3.12, 3.13" in done.stderr
    assert not (tree / "out").exists()


def test_the_same_files_give_the_same_bytes(
    app: dict[str, bytes], tree: Path, tmp_path: Path
) -> None:
    """The bytes depend on neither times, permissions nor order, and on any change of a file."""
    other = tmp_path / "other"
    for path in sorted(tree.rglob("*"), reverse=True):
        if path.is_file():
            copy = other / path.relative_to(tree)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
            copy.chmod(0o700)
            os.utime(copy, (0, 0))
    assert build_zip(packaged(DEPLOYED, root=other)) == build_zip(app)
    (other / "host.json").write_text("{}")
    assert build_zip(own_files(other)) != build_zip(own_files(tree))


def test_the_zip_says_nothing_about_this_machine(app: dict[str, bytes]) -> None:
    """Each entry is a regular, uncompressed file with a fixed time and permissions."""
    entries = ZipFile(io.BytesIO(build_zip(app))).infolist()
    facts = {
        (e.date_time, e.external_attr, e.create_system, e.compress_type, e.extra) for e in entries
    }
    assert facts == {((2000, 1, 1, 0, 0, 0), 0o100644 << 16, 3, 0, b"")}


def test_an_unknown_file_is_refused(tree: Path) -> None:
    """A file that is neither the app's nor in .funcignore is named, and nothing is built."""
    (tree / "passwords.txt").write_text("")
    with pytest.raises(NotTheApp, match=r"passwords\.txt"):
        app_files(tree)


@pytest.mark.parametrize("name", ["host.json", "requirements.txt", "function_app.py"])
def test_an_incomplete_app_is_not_built(tree: Path, name: str) -> None:
    """A missing part of the app is named, and nothing is built."""
    (tree / name).unlink()
    with pytest.raises(NotTheApp, match=re.escape(name)):
        app_files(tree)


@needs_package
def test_every_module_is_importable_without_the_terminal(tmp_path: Path) -> None:
    """Every deployed module can be imported with the package's own dependencies alone."""
    folder = tmp_path / "app"
    packages = unpacked(packaged(RUNNING), folder)
    python = empty_environment(Path(sys.executable), tmp_path / "empty", packages)
    names = [name for name in own_files(ROOT) if name.endswith(".py")]
    modules = [
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in names
    ]
    done = subprocess.run(
        [str(python), "-P", "-W", "error", "-c", IMPORT_ALL, *modules],
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    installed = {canonicalize_name(name) for name in done.stdout.split()}
    assert installed == {pin.name for pin in pins_for(RUNNING)}
