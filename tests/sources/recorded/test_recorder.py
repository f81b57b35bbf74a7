"""A recording that cannot be written gives a one-line error and leaves no partial table."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from detection.errors import UsageError
from detection.sources.recorded.recorder import Recorder
from tests.support import environment

# Records rows while no file of the process may grow beyond a limit.
LIMITED = """
import resource, signal, sys
from pathlib import Path
from detection.errors import DeliveryError
from detection.rule.log_rows import ALLOWLIST_TABLE
from detection.sources.recorded.recorder import Recorder

recording = Recorder(Path(sys.argv[1]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    recording.write_allowlist(["203.0.113.0/24"] * 100_000)
except DeliveryError as error:
    print(error)
"""

# Kills itself while it writes a table.
KILLED = """
import os, signal, sys
from pathlib import Path
from detection.rule.log_rows import OPERATION_TABLE
from detection.sources.recorded.recorder import Recorder

def pieces():
    yield [], []
    os.kill(os.getpid(), signal.SIGKILL)

Recorder(Path(sys.argv[1])).write_rows(OPERATION_TABLE, pieces())
"""


def test_a_full_disk_is_one_line_and_leaves_no_file(tmp_path: Path) -> None:
    """The error names the file, and no part of the file remains."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)],
        env=environment(),
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=True,
    )
    assert "NetworkAllowlist.json could not be written: File too large" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["azureactivity-2.csv", "NetworkAllowlist.json.gz"])
def test_a_folder_with_a_table_is_refused(tmp_path: Path, name: str) -> None:
    """A file of any format with a table's name would be read together with the new one."""
    (tmp_path / name).touch()
    with pytest.raises(UsageError, match=f"holds {re.escape(name)} already: name another folder"):
        Recorder(tmp_path)


def test_leftovers_of_a_killed_recording_are_removed(tmp_path: Path) -> None:
    """The next recording removes the leftovers, and the folder holds tables only."""
    for _ in range(2):
        command = [sys.executable, "-c", KILLED, str(tmp_path)]
        assert subprocess.run(command, env=environment(), check=False).returncode == -9
    assert len(list(tmp_path.iterdir())) == 1
