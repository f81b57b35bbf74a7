"""The command line calls nothing that Windows lacks.

Nobody has run it on Windows. These tests run it on this system without the modules and the calls
that only POSIX has. `make lint` checks the calls by their types: `mypy --platform win32`.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import DEMO, NOW, environment, json_lines

# Takes away what Windows lacks, and refuses to rename or to remove an open file, as Windows does.
# The stand-in for msvcrt locks nothing: it shows which branch is taken, not that Windows locks.
AS_ON_WINDOWS = """
import os, shutil, signal, sys, tempfile, types

lacking = "fcntl grp pty pwd resource syslog termios tty".split()
calls = "O_CLOEXEC O_NOFOLLOW O_NONBLOCK fork getuid geteuid pread pwrite mkfifo killpg".split()
system = sys.platform
sys.platform = "win32"
os.O_BINARY = 0
locks = []
stand_in = types.ModuleType("msvcrt")
stand_in.LK_NBLCK = 2
stand_in.locking = lambda *arguments: locks.append(arguments)
sys.modules["msvcrt"] = stand_in
for name in lacking:
    sys.modules[name] = None
import detection.atomic_files.system
sys.platform = system  # or modules of the standard library would ask for Windows itself
for name in calls:
    delattr(os, name)
del signal.SIGKILL, signal.SIGHUP, signal.SIGPIPE
def is_open(path):
    names = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    return any(os.path.exists(name) and os.path.samefile(name, path) for name in names)
def refusing(call):
    def checked(path, *others, **options):
        if os.path.exists(path) and is_open(path):
            raise PermissionError(13, "the file is open", path)
        return call(path, *others, **options)
    return checked
for name in ("replace", "rename", "unlink", "remove"):
    setattr(os, name, refusing(getattr(os, name)))
from detection.__main__ import main
status = main(sys.argv[1:])
assert locks, "no lock was taken"
sys.exit(status)
"""


def run_as_on_windows(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command line without what Windows lacks, in the encoding of its console."""
    return subprocess.run(
        [sys.executable, "-c", AS_ON_WINDOWS, *map(str, arguments)],
        env=environment({"PYTHONUTF8": "0", "PYTHONIOENCODING": "cp1252"}),
        capture_output=True,
        encoding="cp1252",
        check=False,
    )


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at a process's open files")
def test_a_run_needs_no_posix(tmp_path: Path) -> None:
    """A run writes findings, run records, report and state without any call of POSIX alone."""
    output, runs, page = (tmp_path / name for name in ("found.jsonl", "runs.jsonl", "page.html"))
    arguments = (
        *("run", "--recorded", DEMO, "--now", NOW, "--state-dir", tmp_path / "state"),
        *("--output", output, "--runs", runs, "--report", page),
    )
    for expected in (2, 2):  # the second run appends to the files and finds nothing new
        done = run_as_on_windows(*arguments)
        assert done.returncode == 0, done.stderr
        assert len(json_lines(output.read_text("utf-8"))) == expected
    assert page.is_file()
