"""`make start` with a program in place of the Functions host, which no package index has."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.servers import PINNED, installed
from tests.standins.log_analytics import WORKSPACE
from tests.support import ROOT, environment

HOST = """\
#!{python}
import json, os, pathlib, urllib.request
from azure.storage.blob import ContainerClient
from detection.connect import EMULATOR_KEY
from detection.state.blob import BlobStore
import sys
settings = json.loads(pathlib.Path("local.settings.json").read_text())["Values"]
container = ContainerClient(
    settings["STATE_ACCOUNT_URL"], settings["STATE_CONTAINER"], credential=EMULATOR_KEY
)
state, tag = BlobStore(container=container, workspace_id="{workspace}").load()
print(json.dumps([sys.argv[1:], tag, os.environ["VIRTUAL_ENV"]]))
sys.exit(7)
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder with settings whose Azurite has free ports."""
    installed(PINNED)
    sample = json.loads((ROOT / "local.settings.sample.json").read_bytes())
    port = free_ports(3)
    sample["Values"]["STATE_ACCOUNT_URL"] = f"http://127.0.0.1:{port}/devstoreaccount1"
    (tmp_path / "local.settings.json").write_text(json.dumps(sample), "utf-8")
    return tmp_path


def free_ports(count: int) -> int:
    """Return the first of some ports in a row that nothing listens on."""
    for port in range(20_000 + os.getpid() % 9000, 60_000, count):
        probes = [socket.socket() for _ in range(count)]
        try:
            for offset, probe in enumerate(probes):
                probe.bind(("127.0.0.1", port + offset))
        except OSError:
            continue
        finally:
            for probe in probes:
                probe.close()
        return port
    raise AssertionError


def start(place: Path, *arguments: str, func: str | None = None) -> subprocess.Popen[str]:
    """Start the script as make does, with `func` as the host."""
    path = str(place / "bin")
    Path(path).mkdir()
    if func is not None:
        host = Path(path, "func")
        host.write_text(func, "utf-8")
        host.chmod(0o755)
    return subprocess.Popen(
        [sys.executable, "-m", "scripts.start", *arguments],
        cwd=place,
        env=environment({"PATH": path}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_without_the_host_it_says_how_to_get_it(place: Path) -> None:
    """Where func is not installed nothing is started, and the message says what to install."""
    with start(place) as process:
        out, error = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert "Core Tools (func) are not installed" in error
    assert "npm install -g azure-functions-core-tools@4" in error
    assert "ARGS=--azurite" in error


def test_the_host_finds_azurite_and_the_container(place: Path) -> None:
    """The host is run beside Azurite, which has the state's container; its status is passed on."""
    func = HOST.format(python=sys.executable, workspace=WORKSPACE)
    with start(place, func=func) as process:
        out, error = process.communicate(timeout=60)
    assert process.returncode == 7, error
    arguments, tag, environment_used = json.loads(out)
    assert (arguments, tag) == (["start"], "")
    assert Path(environment_used) == Path(sys.prefix)


def test_settings_are_made_from_the_sample(place: Path) -> None:
    """Without local.settings.json the sample is taken, and the user told to fill it in."""
    (place / "local.settings.json").unlink()
    with start(place) as process:
        _, error = process.communicate(timeout=60)
    sample = (ROOT / "local.settings.sample.json").read_bytes()
    assert (place / "local.settings.json").read_bytes() == sample
    assert "made from the sample" in error


def test_azurite_alone_runs_until_it_is_interrupted(place: Path) -> None:
    """With --azurite no host is needed, and Ctrl-C ends it well."""
    values = json.loads((place / "local.settings.json").read_bytes())["Values"]
    port = int(values["STATE_ACCOUNT_URL"].split(":")[2].split("/")[0])
    with start(place, "--azurite") as process:
        assert process.stderr is not None
        while "Azurite listens" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.wait(60)
    assert process.returncode == 0
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.05)
    raise AssertionError
