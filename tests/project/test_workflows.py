"""The workflows run the project's own commands, without secrets and with minimal permissions."""

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT, read_yaml

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


def test_permissions_are_minimal() -> None:
    """All jobs may read the code, and only the deployment may request an identity token."""
    assert CHECKS["permissions"] == DEPLOY["permissions"] == {}
    jobs = CHECKS["jobs"] | {f"deploy: {name}": job for name, job in DEPLOY["jobs"].items()}
    assert {name: job["permissions"] for name, job in jobs.items()} == {
        "checks": {"contents": "read"},
        "deploy: checks": {"contents": "read"},
        "deploy: deploy": {"contents": "read", "id-token": "write"},
    }


def test_the_checks_run_on_every_supported_python() -> None:
    """Lint and tests run on the versions in pyproject.toml, and the deployment on the last one."""
    job = CHECKS["jobs"]["checks"]
    assert job["strategy"]["matrix"]["python"] == PYTHONS
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"
    commands = {step["run"]: step["env"] for step in job["steps"] if "run" in step}
    python = {"PYTHON": "${{ steps.python.outputs.python-path }}"}
    assert commands == {"make lint": python, "make test": python}
    (version,) = (
        step["with"]["python-version"]
        for step in DEPLOY["jobs"]["deploy"]["steps"]
        if "python-version" in step.get("with", {})
    )
    assert version == PYTHONS[-1]


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
        "config-zip",
        "appsettings",
        "function list",
    ]
    assert len(scripts) == len(marks)
    assert all(mark in step["run"] for mark, step in zip(marks, scripts, strict=True))
    assert [step.get("if") for step in scripts] == [None] * 2 + ["inputs.apply"] * 4


def test_the_deployed_package_is_that_of_make_package() -> None:
    """The deployed zip is that of `make package`, and Azure installs its requirements."""
    (built,) = re.findall(r"-m scripts\.package (\S+)", MAKEFILE)
    assert f"--src {built} --build-remote true" in script("Deploy the app")


def script(name: str) -> str:
    """Return the script of a step of the deployment."""
    (found,) = (s["run"] for s in DEPLOY["jobs"]["deploy"]["steps"] if s.get("name") == name)
    return str(found)


def run(name: str, folder: Path, az: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a step of the deployment like the runner, with a stand-in for az and no waits."""
    for command, body in {"az": az, "sleep": ":"}.items():
        (folder / command).write_text(f"#!/bin/bash\n{body}\n")
        (folder / command).chmod(0o755)
    return subprocess.run(
        ["/bin/bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script(name)],
        env={
            "PATH": f"{folder}:{os.environ['PATH']}",
            "GITHUB_ENV": str(folder / "environment"),
            "RESOURCE_GROUP": "rg-detection",
            "WORKSPACE_RESOURCE_ID": "/subscriptions/s/workspaces/w",
            "FUNCTION_APP": "func-detection",
            "HERE": str(folder),
            **environment,
        },
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


@pytest.mark.parametrize("failures", [0, 2, 100])
def test_the_package_upload_is_retried(tmp_path: Path, failures: int) -> None:
    """A deployment that is refused at first is retried, and given up in the end."""
    counting = f'echo x >>"$HERE/calls"; [ "$(wc -l <"$HERE/calls")" -gt {failures} ]'
    done = run("Deploy the app", tmp_path, counting)
    assert done.returncode == (1 if failures == 100 else 0)
    assert done.stdout.count("Attempt") == min(failures + 1, 8)


def test_the_app_is_that_of_the_template_s_output(tmp_path: Path) -> None:
    """Later steps use the app's name from the deployment's output, and stop if it failed."""
    step = "Deploy the infrastructure"
    assert "properties.outputs.functionAppName.value" in script(step)
    assert run(step, tmp_path, "echo func-made").returncode == 0
    assert (tmp_path / "environment").read_text() == "FUNCTION_APP=func-made\n"
    assert run(step, tmp_path, "exit 3").returncode == 3


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
