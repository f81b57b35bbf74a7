"""`make start`, with a program in place of the Functions host, which no package index has."""

import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from emulator.services.azurite import PINNED
from tests.support import ROOT, environment
from tests.support.services.log_analytics import WORKSPACE
from tests.support.services.servers import installed

# An interpreter's path may be too long for a #! line, or contain a space.
FUNC = """\
#!/bin/sh
exec {python} {host} "$@"
"""
HOST = """\
import json, os, pathlib, urllib.request
from azure.storage.blob import ContainerClient
from detection.azure_clients import EMULATOR_KEY
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

IGNORING = ("/bin/sh", "-c", "trap '' INT; exec \"$@\"", "sh")  # as with nohup and `make test &`


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
    """Return the first of `count` consecutive free ports.

    They are below the ports that systems give to connections. Each test process begins at another
    number, since a port that another process has chosen may not be open yet.
    """
    for port in range(20_000 + os.getpid() % 400 * 30, 60_000, count):
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


@contextlib.contextmanager
def start(
    place: Path, *arguments: str, host: str | None = None, before: Sequence[str] = ()
) -> Iterator[subprocess.Popen[str]]:
    """Start the script as make does, with a Python program as the host, and end all processes.

    `before` is a command that runs the script.
    """
    path = place / "bin"
    path.mkdir()
    if host is not None:
        program, func = place / "host.py", path / "func"
        program.write_text(host, "utf-8")
        quoted = {"python": shlex.quote(sys.executable), "host": shlex.quote(str(program))}
        func.write_text(FUNC.format_map(quoted), "utf-8")
        func.chmod(0o755)
    with subprocess.Popen(
        [*before, sys.executable, "-m", "emulator", *arguments],
        cwd=place,
        env=environment({"PATH": str(path)}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            # After a failed test a running process would be waited for.
            with contextlib.suppress(OSError):  # every process has ended
                os.killpg(process.pid, signal.SIGKILL)


def test_without_the_host_it_says_how_to_install_it(place: Path) -> None:
    """Without func nothing is started, and the message says what to install."""
    with start(place) as process:
        out, error = process.communicate(timeout=300)
    assert (process.returncode, out) == (1, "")
    assert "Core Tools (func) are not installed" in error
    assert "npm install -g azure-functions-core-tools@4" in error
    assert "ARGS=--azurite" in error


def test_the_host_finds_azurite_and_the_container(place: Path) -> None:
    """The host runs beside Azurite, which has the state's container, and its status is returned."""
    with start(place, host=HOST.format(workspace=WORKSPACE)) as process:
        out, error = process.communicate(timeout=300)
    assert process.returncode == 7, error
    arguments, tag, environment_used = json.loads(out)
    assert (arguments, tag) == (["start"], "")
    assert Path(environment_used) == Path(sys.prefix)


def test_settings_are_copied_from_the_sample(place: Path) -> None:
    """Without local.settings.json the sample is copied, and the user is asked to fill it in."""
    (place / "local.settings.json").unlink()
    with start(place) as process:
        _, error = process.communicate(timeout=300)
    sample = (ROOT / "local.settings.sample.json").read_bytes()
    assert (place / "local.settings.json").read_bytes() == sample
    assert "copied from the sample" in error


@pytest.mark.parametrize("before", [(), IGNORING], ids=["", "ignored by its parent"])
def test_azurite_alone_runs_until_interrupted(place: Path, before: Sequence[str]) -> None:
    """With --azurite no host is needed, and Ctrl-C ends it normally, even as a background job."""
    values = json.loads((place / "local.settings.json").read_bytes())["Values"]
    port = int(values["STATE_ACCOUNT_URL"].split(":")[2].split("/")[0])
    with start(place, "--azurite", before=before) as process:
        assert process.stderr is not None
        assert any("Azurite listens" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=300)
        assert process.returncode == 0
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port))
