"""`make lint` checks the deployment with the Bicep compiler, which CI must have."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import ROOT

SAYS_NOTHING = "#!/bin/sh\n"
WARNS = "#!/bin/sh\necho 'main.bicep(1,1) : Warning no-unused-params: x is not used.' >&2\n"
FAILS = "#!/bin/sh\nexit 1\n"


def lint(folder: Path, compiler: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the check in a project of its own, with this compiler or none."""
    script = folder / "project" / "scripts" / "infra.sh"
    script.parent.mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "infra.sh", script)
    if compiler:
        bicep = folder / "shared" / "tools" / "bicep" / "bicep"
        bicep.parent.mkdir(parents=True)
        bicep.write_text(compiler, "utf-8")
        bicep.chmod(0o755)
    tools = folder / "tools"  # the whole PATH, so it finds no compiler of this machine
    tools.mkdir()
    for name in ("sh", "dirname", "sort"):
        (tools / name).symlink_to(str(shutil.which(name)))
    return subprocess.run(
        ["/bin/sh", script, "lint"],
        env={"PATH": str(tools), "HOME": os.environ.get("HOME", "/"), **environment},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_a_compiler_without_warnings_passes(tmp_path: Path) -> None:
    """A compiler without warnings is a pass without output."""
    result = lint(tmp_path, SAYS_NOTHING, CI="true")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize("compiler", [WARNS, FAILS], ids=["warns", "fails"])
def test_every_warning_fails(tmp_path: Path, compiler: str) -> None:
    """A warning fails the check even if the compiler succeeds, and so does a failure."""
    result = lint(tmp_path, compiler)
    assert result.returncode == 1
    assert "main.bicep" in result.stderr


def test_without_a_compiler_the_check_passes(tmp_path: Path) -> None:
    """Without a compiler the check passes and says that nothing was checked."""
    result = lint(tmp_path, "")
    assert result.returncode == 0
    assert "not checked" in result.stdout


def test_in_ci_the_compiler_is_required(tmp_path: Path) -> None:
    """In CI a missing compiler is a failure."""
    result = lint(tmp_path, "", CI="true")
    assert result.returncode == 1
    assert "no Bicep compiler" in result.stderr
