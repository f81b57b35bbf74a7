"""The workflows run the project's own commands, without secrets and with minimal permissions."""

import hashlib
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT, read_yaml
from tests.support.pages import blocks

GITHUB = ROOT / ".github"
FILES = sorted([*GITHUB.glob("workflows/*.yml"), *GITHUB.glob("actions/*/action.yml")])
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")

every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(GITHUB)))


def steps_in(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all steps of a workflow or an action."""
    jobs = [*document.get("jobs", {}).values(), document.get("runs", {})]
    return [step for job in jobs for step in job.get("steps", [])]


CHECKS = read_yaml(GITHUB / "workflows" / "checks.yml")
DEPLOY = read_yaml(GITHUB / "workflows" / "deploy.yml")
RELEASE = read_yaml(GITHUB / "workflows" / "release.yml")
WORKFLOWS = {"checks": CHECKS, "deploy": DEPLOY, "release": RELEASE}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PYTHONS = [text.rpartition(" ")[2] for text in PROJECT["classifiers"]]


@every_file
def test_no_secret_is_used(path: Path) -> None:
    """No stored secret is read, passed on or inherited."""
    assert not re.search(r"\bsecrets?\s*[.:\[]", path.read_text("utf-8"))


@every_file
def test_actions_are_pinned(path: Path) -> None:
    """Each action is in this repository, or pinned by a full commit hash with its version."""
    uses = re.findall(r"\buses: (.+)", path.read_text("utf-8"))
    assert all(
        (ROOT / use).exists()
        if use.startswith("./")
        else re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use)
        for use in uses
    )


@every_file
def test_scripts_read_values_from_the_environment_only(path: Path) -> None:
    """No expression is inserted into a script, where its value would run as a command."""
    assert not [step for step in steps_in(read_yaml(path)) if "${{" in step.get("run", "")]


@every_file
def test_make_targets_exist(path: Path) -> None:
    """Each make target in a workflow is one of the Makefile."""
    text = " ".join(step.get("run", "") for step in steps_in(read_yaml(path)))
    assert all(f"\n{target}:" in MAKEFILE for target in re.findall(r"\bmake (\w+)", text))


@every_file
def test_no_step_changes_the_environment_of_the_next(path: Path) -> None:
    """Steps pass values on as outputs, and write neither GITHUB_ENV nor GITHUB_PATH."""
    assert not re.search("GITHUB_(ENV|PATH)", path.read_text("utf-8"))


def test_permissions_are_minimal() -> None:
    """All jobs may read the code; one may request an identity token, one may make a release."""
    assert all(workflow["permissions"] == {} for workflow in WORKFLOWS.values())
    assert {
        (name, job): content["permissions"]
        for name, workflow in WORKFLOWS.items()
        for job, content in workflow["jobs"].items()
    } == {
        ("checks", "checks"): {"contents": "read"},
        ("deploy", "checks"): {"contents": "read"},
        ("deploy", "deploy"): {"contents": "read", "id-token": "write"},
        ("release", "checks"): {"contents": "read"},
        ("release", "release"): {"contents": "write"},
    }


def test_jobs_have_names_and_workflows_limits() -> None:
    """Every job has a name, and a deployment or release that has begun is never cut off."""
    assert all("name" in job for each in WORKFLOWS.values() for job in each["jobs"].values())
    limits = {name: each["concurrency"]["cancel-in-progress"] for name, each in WORKFLOWS.items()}
    assert limits == {
        "checks": "${{ github.event_name == 'pull_request' }}",
        "deploy": False,
        "release": False,
    }
    # Called by another workflow, the checks would wait for it if the groups were the same.
    assert CHECKS["concurrency"]["group"] not in {
        each["concurrency"]["group"] for each in (DEPLOY, RELEASE)
    }


def test_the_checks_run_on_every_supported_python() -> None:
    """All checks run on the versions in pyproject.toml, other workflows on the last one."""
    job = CHECKS["jobs"]["checks"]
    assert job["strategy"]["matrix"]["python"] == PYTHONS
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"
    commands = {step["run"]: step["env"] for step in job["steps"] if "run" in step}
    python = {"PYTHON": "${{ steps.python.outputs.python-path }}"}
    assert commands == {"make lint": python, "make scan": python, "make test": python}
    versions = [
        step["with"]["python-version"]
        for job in (DEPLOY["jobs"]["deploy"], RELEASE["jobs"]["release"])
        for step in job["steps"]
        if "python-version" in step.get("with", {})
    ]
    assert versions == [PYTHONS[-1]] * 2


def test_a_pull_request_is_checked_and_deploys_nothing() -> None:
    """Checks run on pushes and pull requests; a deployment is started by hand, after checks."""
    assert {"push", "pull_request"} <= set(CHECKS["on"])
    assert set(DEPLOY["on"]) == {"workflow_dispatch"}
    assert DEPLOY["jobs"]["deploy"]["needs"] == "checks"
    assert DEPLOY["jobs"]["checks"]["uses"] == "./.github/workflows/checks.yml"


def test_changes_are_shown_before_they_are_made() -> None:
    """Changes in Azure come after a what-if, and only on request."""
    scripts = [step for step in DEPLOY["jobs"]["deploy"]["steps"] if "run" in step]
    marks = [
        "what-if",
        "make package",
        "group create",
        "make publish",
        "appsettings",
        "function list",
    ]
    assert len(scripts) == len(marks)
    assert all(mark in step["run"] for mark, step in zip(marks, scripts, strict=True))
    assert [step.get("if") for step in scripts] == [None] * 2 + ["inputs.apply"] * 4


def script(name: str) -> str:
    """Return the script of a step."""
    steps = [step for workflow in WORKFLOWS.values() for step in steps_in(workflow)]
    (found,) = (step["run"] for step in steps if step.get("name") == name)
    return str(found)


def run(
    name: str, folder: Path, az: str, cwd: Path = ROOT, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run a step like the runner, with a stand-in for az, gh and make, and no waits."""
    note = 'printf "%s\\n" "$@" >>"$HERE/$(basename "$0").called"'
    for command, body in {"az": az, "sleep": ":", "gh": note, "make": note}.items():
        (folder / command).write_text(f"#!/bin/bash\n{body}\n")
        (folder / command).chmod(0o755)
    return subprocess.run(
        ["/bin/bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script(name)],
        env={
            "PATH": f"{folder}:{os.environ['PATH']}",
            "GITHUB_OUTPUT": str(folder / "output"),
            "RESOURCE_GROUP": "rg-detection",
            "WORKSPACE_RESOURCE_ID": "/subscriptions/s/workspaces/w",
            "FUNCTION_APP": "func-detection",
            "HERE": str(folder),
            **environment,
        },
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        (["AzureWebJobsStorage__accountName", "AZURE_CLIENT_ID"], 0),
        (["AZURE_CLIENT_ID", "AzureWebJobsStorage"], 1),
    ],
)
def test_a_plain_storage_setting_fails_the_deployment(
    tmp_path: Path, settings: list[str], status: int
) -> None:
    """A connection string among the settings fails the step; identity-based settings pass."""
    done = run(
        "Check that no connection string was put in",
        tmp_path,
        f"printf '%s\\n' {' '.join(settings)}",
    )
    assert done.returncode == status
    assert ("::error::" in done.stdout) == bool(status)


@pytest.mark.parametrize(
    ("az", "status"), [("echo func-detection/detect", 0), ("echo", 1), ("exit 1", 1)]
)
def test_an_app_without_its_timer_fails_the_deployment(
    tmp_path: Path, az: str, status: int
) -> None:
    """A host that finds no function in the package, or never answers, fails the step."""
    done = run("Check that the host knows the timer", tmp_path, az)
    assert done.returncode == status
    assert done.stdout.count("Attempt") == (10 if status else 1)


def test_the_package_is_published_by_the_documented_command(tmp_path: Path) -> None:
    """The step publishes to the deployment's app by `make publish`, and waits there."""
    assert run("Publish the package", tmp_path, "exit 1").returncode == 0
    given = (tmp_path / "make.called").read_text().splitlines()
    assert given == ["publish", "APP=func-detection", "GROUP=rg-detection"]


def test_the_app_is_that_of_the_template_s_output(tmp_path: Path) -> None:
    """Later steps use the app's name from the deployment's output, and stop if it failed."""
    step = "Deploy the infrastructure"
    assert "properties.outputs.functionAppName.value" in script(step)
    assert run(step, tmp_path, "echo func-made").returncode == 0
    assert (tmp_path / "output").read_text() == "app=func-made\n"
    assert run(step, tmp_path, "exit 3").returncode == 3
    (made,) = (s for s in DEPLOY["jobs"]["deploy"]["steps"] if s.get("name") == step)
    users = [s for s in DEPLOY["jobs"]["deploy"]["steps"] if "$FUNCTION_APP" in s.get("run", "")]
    assert len(users) == 3
    for user in users:
        passed = user["env"]["FUNCTION_APP"]
        assert passed == f"${{{{ steps.{made['id']}.outputs.app }}}}"


def test_the_timer_is_looked_for_as_documented() -> None:
    """The check after publishing is the command in the documentation."""
    pattern = r"az functionapp function list (.+?--output tsv)"
    step = re.sub(r"\\\n\s*", "", script("Check that the host knows the timer"))
    (used,) = re.findall(pattern, step)
    (shown,) = re.findall(pattern, "\n".join(blocks("docs/publish.md", "sh")))
    names = {"$RESOURCE_GROUP": "rg-impact", "$FUNCTION_APP": "<app>"}
    assert re.sub(r'"(\$\w+)"', lambda name: names[name[1]], used) == shown


def test_a_check_that_cannot_run_fails(tmp_path: Path) -> None:
    """If the settings cannot be read, the deployment fails."""
    assert run("Check that no connection string was put in", tmp_path, "exit 1").returncode == 1


def test_the_template_has_the_deployment_s_parameters_and_outputs() -> None:
    """The parameter and the output that the workflow uses are those of infra/main.bicep."""
    template = (ROOT / "infra" / "main.bicep").read_text("utf-8")
    assert (ROOT / "infra" / "main.bicepparam").exists()
    assert re.search(r"^param workspaceResourceId string", template, re.MULTILINE)
    assert re.search(r"^output functionAppName string", template, re.MULTILINE)


def test_a_deployment_resets_no_parameter() -> None:
    """The workflow passes every variable that the sample of parameters reads."""
    sample = (ROOT / "infra" / "main.bicepparam").read_text("utf-8")
    read = set(re.findall(r"readEnvironmentVariable\(\s*'(\w+)'", sample)) - {"AZURE_ENV_NAME"}
    passed = DEPLOY["jobs"]["deploy"]["env"]
    assert read
    assert read <= passed.keys()
    assert all(passed[name] == f"${{{{ vars.{name} }}}}" for name in read)


@pytest.mark.parametrize(
    ("file", "given"), [("", []), ("more.json", ["--parameters", "@more.json"])]
)
@pytest.mark.parametrize("step", ["Show what would change", "Deploy the infrastructure"])
def test_further_parameters_come_from_a_file(
    tmp_path: Path, step: str, file: str, given: list[str]
) -> None:
    """What is shown and what is deployed have the same parameters, with those of a file."""
    az = 'printf "%s\\n" "$@" >"$HERE/given"; echo func-made'
    assert run(step, tmp_path, az, PARAMETERS_FILE=file).returncode == 0
    arguments = (tmp_path / "given").read_text().splitlines()
    begin = arguments.index("infra/main.bicepparam") - 1
    assert arguments[begin : begin + 2 + len(given)] == [
        *("--parameters", "infra/main.bicepparam"),
        *given,
    ]
    assert arguments.count("--parameters") == 1 + len(given) // 2


def test_every_deployment_has_the_same_name() -> None:
    """README, documents, workflow and azd name the deployment alike, so its outputs are found."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    texts = [path.read_text("utf-8") for path in pages]
    commands = [
        re.sub(r"\\\n\s*", "", text) for text in [*texts, script("Deploy the infrastructure")]
    ]
    names = re.findall(
        r"deployment group (?:create|show)\b(?!.*infra/sentinel).*? --name ([\w-]+)",
        "\n".join(commands),
    )
    assert len(names) >= 5
    assert set(names) == {"impact"}
    assert "azd env new impact" in "\n".join(texts)


def test_a_release_follows_a_tag_and_checks() -> None:
    """Only a tag of a version makes a release, after the checks."""
    assert RELEASE["on"] == {"push": {"tags": ["v*"]}}
    assert RELEASE["jobs"]["release"]["needs"] == "checks"
    assert RELEASE["jobs"]["checks"]["uses"] == "./.github/workflows/checks.yml"


@pytest.mark.parametrize(
    ("tag", "status"), [(f"v{PROJECT['version']}", 0), ("v9.9.9", 1), ("v0x1.0", 1), ("v", 1)]
)
def test_a_tag_must_be_the_version(tmp_path: Path, tag: str, status: int) -> None:
    """A tag that is not the version in pyproject.toml makes no release."""
    done = run("Check that the tag is the version", tmp_path, "exit 1", GITHUB_REF_NAME=tag)
    assert done.returncode == status
    assert ("::error::" in done.stdout) == bool(status)


def test_a_release_has_both_packages_the_template_and_checksums(tmp_path: Path) -> None:
    """The release attaches everything that publishing needs, and checksums that agree."""
    for name in ("out/package.zip", "out/package-remote-build.zip"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    for folder in ("infra", "scripts"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for step in ("Build the packages", "Collect the files", "Make the release"):
        done = run(step, tmp_path, "exit 1", cwd=tmp_path, GITHUB_REF_NAME="v1.2.3")
        assert done.returncode == 0, done.stderr
    made = (tmp_path / "make.called").read_text().splitlines()
    assert made == ["package", "package", "ARGS=--remote-build"]
    given = (tmp_path / "gh.called").read_text().splitlines()
    assert given[:4] == ["release", "create", "v1.2.3", "--verify-tag"]
    files = [Path(argument) for argument in given if argument.startswith("out/release/")]
    assert {file.name for file in files} == {
        *("package.zip", "package-remote-build.zip", "publish.py", "SHA256SUMS"),
        *("azuredeploy.json", "createUiDefinition.json"),
    }
    release = tmp_path / "out" / "release"
    listed = [line.split("  ") for line in (release / "SHA256SUMS").read_text().splitlines()]
    assert {name: digest for digest, name in listed} == {
        file.name: hashlib.sha256((release / file.name).read_bytes()).hexdigest()
        for file in files
        if file.name != "SHA256SUMS"
    }
