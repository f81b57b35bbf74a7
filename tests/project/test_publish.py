"""The package is published as it is, over a real socket, to a stand-in for the service."""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scripts import publish
from tests.support import ROOT
from tests.support.pages import blocks
from tests.support.services.deployment import ACCEPTED, DONE, ID, Scm, served

GROUP = "rg (1)"
SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"


@dataclass
class Outcome:
    """The end of a run: its exit status, its output, and the seconds of each wait."""

    status: int
    text: str
    waits: list[float]
    calls: list[str]


def run(
    scm: Scm, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Outcome:
    """Publish a package to the stand-in without waiting."""
    package = folder / "package.zip"
    package.write_bytes(b"PK")
    waits: list[float] = []
    arguments = ["--name", "func-x", "--resource-group", GROUP, "--zip", str(package)]
    status, said = 0, ""
    with served(scm, folder) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        try:
            publish.main(arguments, waits.append)
        except SystemExit as error:
            status, said = 1, str(error.code)
    calls = (folder / "calls").read_text().splitlines()
    return Outcome(status, capsys.readouterr().out + said, waits, calls)


@pytest.fixture
def outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    """Give a function that publishes to a stand-in and returns the outcome."""
    return lambda scm: run(scm, tmp_path, monkeypatch, capsys)


def test_the_zip_is_sent_without_a_remote_build(outcome: Any) -> None:
    """The bytes of the package arrive once, with the login's token and without a build."""
    scm = Scm()
    found = outcome(scm)
    assert (found.status, found.waits) == (0, [])
    assert scm.received == [b"PK"]
    assert scm.tokens == {"Bearer a-token"}
    (posted, path), *polled = scm.asked
    assert posted == "POST"
    assert path.startswith("/api/publish?RemoteBuild=false&Deployer=")
    assert polled == [("GET", f"/api/deployments/{ID}")]
    assert '--query "[].name"' in found.text
    assert "--resource-group 'rg (1)' --name func-x" in found.text


def test_it_waits_for_the_end(outcome: Any) -> None:
    """A deployment in progress, or not known yet, is asked for again until it has ended."""
    going = [(404, ""), (202, {"status": 0}), (200, {"status": 1}), (503, ""), (200, {"status": 2})]
    found = outcome(Scm(poll=[*going, (200, DONE)]))
    assert (found.status, found.waits) == (0, [publish.SECONDS_BETWEEN_POLLS] * 5)


def test_a_deployment_that_is_forgotten_has_ended(outcome: Any) -> None:
    """A deployment that was known and no longer is counts as ended."""
    assert outcome(Scm(poll=[(200, {"status": 2}), (404, "")])).status == 0


@pytest.mark.parametrize(
    "first",
    [
        (503, "Site Unavailable"),
        (403, "Ip Forbidden"),
        (409, ""),
        None,
        # As ZeroFailed.Deploy.Azure describes the answer while the role on storage is new.
        (400, "BlobUploadFailedException: Response status code: 403 (not authorized)"),
    ],
)
def test_a_reason_that_passes_is_waited_for(outcome: Any, first: tuple[int, object] | None) -> None:
    """What passes, a new role on storage too, is tried again, with a new token."""
    scm = Scm(publish=[first, first, ACCEPTED])
    found = outcome(scm)
    assert (found.status, found.waits) == (0, [publish.SECONDS_BETWEEN_ATTEMPTS] * 2)
    assert len(scm.received) == 3
    assert len([call for call in found.calls if call.startswith("account")]) == 3
    assert found.text.count("This may pass") == 2


def test_storage_that_is_not_open_yet_is_waited_for(outcome: Any) -> None:
    """A deployment that failed because the role on storage does not work yet is tried again."""
    # The text of a failed upload is that of Azure/azure-functions-core-tools issue 4346.
    log = [{"id": "1", "message": "Azure Storage responded with Forbidden : 403"}]
    scm = Scm(poll=[(200, {"status": 3}), (200, DONE)], logs={f"/api/deployments/{ID}/log": log})
    found = outcome(scm)
    assert (found.status, len(scm.received)) == (0, 2)
    assert "Azure Storage responded with Forbidden" in found.text


def test_a_failed_deployment_shows_its_log(outcome: Any) -> None:
    """A deployment that failed otherwise is not tried again, and its log is printed."""
    path = f"/api/deployments/{ID}/log"
    logs: dict[str, object] = {
        path: [
            {"id": "a1", "message": "Validating", "details_url": "https://elsewhere.example/1"},
            {"id": "a2", "message": "Deployment failed", "details_url": None},
        ],
        f"{path}/a1": [{"id": "b1", "message": "host.json is missing"}],
    }
    scm = Scm(poll=[(200, {"status": 3, "status_text": "Bad package"})], logs=logs)
    found = outcome(scm)
    assert (found.status, len(scm.received)) == (1, 1)
    for line in ("Bad package", "Validating", "host.json is missing", "Deployment failed"):
        assert f"\n  {line}" in found.text
    assert "Not published: the deployment failed." in found.text


@pytest.mark.parametrize(("status", "attempts"), [(-1, 1), (6, 1), (5, publish.ATTEMPTS)])
def test_other_ends_are_no_success(outcome: Any, status: int, attempts: int) -> None:
    """A cancelled or partial deployment is a failure; one that met another is tried again."""
    scm = Scm(poll=[(200, {"status": status})])
    found = outcome(scm)
    assert (found.status, len(scm.received)) == (1, attempts)
    assert f"Not published: the deployment {publish.ENDED[status]}." in found.text


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((401, "Unauthorized"), "Your login needs Contributor on the app"),
        ((400, "Bad Request"), "Azure answered 400: Bad Request"),
        ((302, ""), "Azure answered 302"),
        ((202, ""), "in place of a deployment's id"),
        ((202, "../../other"), "in place of a deployment's id"),
    ],
)
def test_a_refusal_is_final(outcome: Any, answer: tuple[int, object], sentence: str) -> None:
    """A final refusal ends at once with its reason, and the token goes to no other address."""
    scm = Scm(publish=[answer])
    found = outcome(scm)
    assert (found.status, found.waits, len(scm.asked)) == (1, [], 1)
    assert sentence in found.text


def test_it_gives_up(outcome: Any) -> None:
    """A service that is unavailable for good ends in a failure that leads to the documentation."""
    scm = Scm(publish=[(503, "Site Unavailable")])
    found = outcome(scm)
    assert (found.status, len(scm.received)) == (1, publish.ATTEMPTS)
    assert len(found.waits) == publish.ATTEMPTS - 1
    assert "Not published: Azure answered 503: Site Unavailable." in found.text
    assert found.text.endswith("See docs/publish.md.")


def test_a_deployment_without_an_end_is_given_up(
    outcome: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deployment that does not end is a failure that says for how long it was waited for."""
    monkeypatch.setattr(publish, "ATTEMPTS", 1)
    found = outcome(Scm(poll=[(200, {"status": 2})]))
    assert (found.status, len(found.waits)) == (1, publish.POLLS)
    assert "the deployment has not ended after 10 minutes" in found.text


@pytest.mark.parametrize(
    ("az", "sentence"),
    [
        (None, "the Azure CLI (az) is not on PATH"),
        ("echo 'Please run az login to setup account.' >&2; exit 1", "Please run az login"),
        ("exit 3", "az resource show failed: exit status 3"),
        ("exit 0", "Azure names no host for deployments"),
    ],
)
def test_no_login_is_explained(tmp_path: Path, az: str | None, sentence: str) -> None:
    """Without the Azure CLI, a login or the app, the command ends with a sentence."""
    if az:
        (tmp_path / "az").write_text(f"#!/bin/sh\n{az}\n")
        (tmp_path / "az").chmod(0o755)
    (tmp_path / "package.zip").write_bytes(b"PK")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "scripts.publish", "--name", "x", "--resource-group", "y"),
            *("--zip", str(tmp_path / "package.zip")),
        ],
        cwd=ROOT,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_the_documented_commands_are_accepted() -> None:
    """Variables of `make publish` and options of the script are those in docs/publish.md."""
    lines = [line for block in blocks("docs/publish.md", "sh") for line in block.splitlines()]
    (target,) = (line for line in lines if line.startswith("make publish"))
    recipe = (ROOT / "Makefile").read_text("utf-8").partition("\npublish:")[2].partition("\n\n")[0]
    used = set(re.findall(r"\$\((\w+)\)", recipe)) - {"ARGS"}
    assert set(re.findall(r"(\w+)=", target)) == used
    (script,) = (line for line in lines if line.startswith("python3 publish.py"))
    source = (ROOT / "scripts" / "publish.py").read_text("utf-8")
    assert set(re.findall(r"--[\w-]+", script)) <= set(re.findall(r'"(--[\w-]+)"', source))


def test_a_missing_package_is_explained(tmp_path: Path) -> None:
    """Without a package the command says how to build it."""
    with pytest.raises(SystemExit, match="make package builds it"):
        publish.main(["--name", "x", "--resource-group", "y", "--zip", str(tmp_path / "none.zip")])


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_make_publish_passes_every_name(tmp_path: Path) -> None:
    """`make publish` runs with Python alone, and takes names with blanks and parentheses."""
    (tmp_path / "package.zip").write_bytes(b"PK")
    scm = Scm()
    with served(scm, tmp_path) as environment:
        done = subprocess.run(
            [
                *("make", "publish", "APP=func-x", f"GROUP={GROUP}"),
                *(f"SUBSCRIPTION={SUBSCRIPTION}", f"ARGS=--zip {tmp_path / 'package.zip'}"),
            ],
            cwd=ROOT,
            env=environment | {"PYTHON": sys.executable},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert scm.received == [b"PK"]
    calls = (tmp_path / "calls").read_text().splitlines()
    assert len(calls) == 2
    assert f"--resource-group {GROUP} --name func-x --subscription {SUBSCRIPTION}" in calls[0]
    assert f"get-access-token --subscription {SUBSCRIPTION}" in calls[1]
