"""The scanners of `make scan` are consulted, and the accepted findings are exactly those found."""

import copy
import re
from pathlib import Path

import pytest

from scripts.scan import (
    ACCEPTED,
    ACTIONLINT,
    ALL,
    BIN,
    GITHUB,
    VARIANTS,
    Findings,
    NotScanned,
    actionlint,
    checkov,
    differences,
    resources,
    zizmor,
)
from tests.support import read_yaml
from tests.support.effort import IN_CI
from tests.support.services.servers import installed

CHECKS = GITHUB / "workflows" / "checks.yml"


@pytest.fixture
def scanners() -> None:
    """Skip the test if the scanners are not installed, except in CI."""
    if not BIN.exists():
        if IN_CI:
            pytest.fail("run `make scan` before the tests, which installs the scanners")
        pytest.skip("`make scan`, which installs the scanners, has not been run")


def changed(folder: Path, pattern: str, replacement: str) -> Path:
    """Write a .github folder that has the workflow of the checks, changed; return the folder."""
    text = CHECKS.read_text("utf-8")
    other = re.sub(pattern, replacement, text)
    assert other != text
    (folder / ".github" / "workflows").mkdir(parents=True)
    (folder / ".github" / "workflows" / CHECKS.name).write_text(other, "utf-8")
    return folder / ".github"


@pytest.mark.usefixtures("scanners")
def test_checkov_finds_what_is_wrong_in_an_evaluated_deployment(tmp_path: Path) -> None:
    """Old TLS, a public container and plain HTTP are findings where they are, and only there."""
    sound = resources({})
    weak = copy.deepcopy(sound)
    account, container, site = (
        next(each for each in weak if each["type"] == kind)
        for kind in (
            "Microsoft.Storage/storageAccounts",
            "Microsoft.Storage/storageAccounts/blobServices/containers",
            "Microsoft.Web/sites",
        )
    )
    account["properties"]["minimumTlsVersion"] = "TLS1_0"
    container["properties"]["publicAccess"] = "Blob"
    site["properties"]["httpsOnly"] = False
    found = checkov({"sound": sound, "weak": weak}, str(tmp_path))
    more = found["weak"].keys() - found["sound"].keys()
    assert {"CKV_AZURE_14", "CKV_AZURE_34", "CKV_AZURE_44"} <= more
    assert found["sound"].keys() < found["weak"].keys()
    assert account["name"] in found["weak"]["CKV_AZURE_44"]


@pytest.mark.usefixtures("scanners")
def test_a_scan_that_sees_nothing_is_none(tmp_path: Path) -> None:
    """Resources that checkov passes over are an error, even beside ones that it checks."""
    passed_over = [each for each in resources({}) if each["type"].startswith("Microsoft.Insights/")]
    assert passed_over
    with pytest.raises(NotScanned, match="'blind'"):
        checkov({"blind": passed_over, "sound": resources({})}, str(tmp_path))


@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        ("timeout-minutes:", "timeout:", 'unexpected key "timeout" for "job" section'),
        ("matrix.python ", "matrix.pythons ", 'property "pythons" is not defined'),
    ],
)
def test_actionlint_finds_what_github_would_refuse(
    tmp_path: Path, pattern: str, replacement: str, message: str
) -> None:
    """An unknown key, or an unknown name in an expression, is a finding with its place."""
    installed(ACTIONLINT)
    wrong = changed(tmp_path, pattern, replacement) / "workflows" / CHECKS.name
    found = actionlint([wrong, CHECKS])
    assert found
    assert all(re.match(rf"actionlint, {wrong}:\d+:\d+: ", each) for each in found)
    assert message in found[0]


@pytest.mark.usefixtures("scanners")
@pytest.mark.parametrize(
    ("pattern", "replacement", "audit"),
    [
        ("@[0-9a-f]{40}.*", "@main", "unpinned-uses"),
        ("persist-credentials: false", "fetch-depth: 1", "artipacked"),
        ("run: make lint", "run: echo ${{ github.head_ref }}", "template-injection"),
    ],
)
def test_zizmor_finds_what_an_attacker_would_use(
    tmp_path: Path, pattern: str, replacement: str, audit: str
) -> None:
    """An action without a commit hash, a kept token and a script made of input are findings."""
    (report,) = zizmor(changed(tmp_path, pattern, replacement))
    assert f"[{audit}]" in report


@pytest.mark.usefixtures("scanners")
def test_an_empty_folder_is_no_clean_one(tmp_path: Path) -> None:
    """Without a workflow, actionlint and zizmor fail instead of finding nothing."""
    with pytest.raises(NotScanned):
        actionlint([])
    with pytest.raises(NotScanned, match="no inputs"):
        zizmor(tmp_path)


FOUND: Findings = {"defaults": {"A": "a: x", "B": "b: y"}, "chosen": {"A": "a: z"}}


@pytest.mark.parametrize(
    ("accepted", "messages"),
    [
        ({ALL: ["A"], "defaults": ["B"]}, []),
        ({ALL: ["A"]}, ["checkov, defaults: B b: y"]),
        (
            {ALL: ["A", "B"]},
            ["checkov.yaml: B is no longer found in chosen: delete it"],
        ),
        (
            {ALL: ["A"], "defaults": ["B", "C"]},
            ["checkov.yaml: C is no longer found in defaults: delete it"],
        ),
        ({ALL: ["A"], "defaults": ["B"], "other": []}, ["checkov.yaml: other is no variant"]),
    ],
)
def test_accepted_findings_are_exactly_those_found(
    accepted: dict[str, list[str]], messages: list[str]
) -> None:
    """A finding that is not accepted is reported, and so is an accepted one that is gone."""
    assert list(differences(FOUND, accepted)) == messages


def test_each_accepted_finding_has_a_reason_in_one_line() -> None:
    """infra/checkov.yaml is for the variants that are scanned; each reason is one sentence."""
    accepted = read_yaml(ACCEPTED)
    assert accepted.keys() <= VARIANTS.keys() | {ALL}
    for checks in accepted.values():
        for check, reason in checks.items():
            assert re.fullmatch(r"CKV2?_AZURE_\d+", check)
            assert re.fullmatch(r"[^:\n]+: [^\n]+\.", reason)
