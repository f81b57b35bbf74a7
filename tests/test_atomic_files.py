"""Files that appear whole or not at all: what a kill leaves of them goes, what is written stays."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from detection.atomic_files import (
    is_at,
    remove_leftovers,
    replace_file,
    resolve_writable,
    unfinished,
)
from detection.errors import UsageError
from tests.support import environment

# Writes a file half, says so, and waits to be told to go on.
HALF = """
import sys
from pathlib import Path
from detection.atomic_files import replace_file

def parts():
    yield b"first\\n"
    print("half", flush=True)
    sys.stdin.readline()
    yield b"second\\n"

replace_file(Path(sys.argv[1]), parts())
"""


@contextlib.contextmanager
def half_written(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a process that has written half of a file, and let nothing remain of it."""
    process = subprocess.Popen(
        [sys.executable, "-c", HALF, str(path)],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        yield process
    finally:
        process.kill()  # which ends a stopped one too
        process.communicate()


def names(folder: Path) -> list[str]:
    """Return the names of what is in a folder."""
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a signal nobody can handle")
def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    """The next run that is to write the file removes its unfinished version."""
    path = tmp_path / "page.html"
    with half_written(path):
        pass
    assert len(names(tmp_path)) == 1
    resolve_writable(path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("stopped", [False, True])
def test_what_a_process_is_writing_is_left_alone(tmp_path: Path, *, stopped: bool) -> None:
    """A run that is writing right now, or stopped amid it, ends with its file whole."""
    path = tmp_path / "page.html"
    with half_written(path) as process:
        if stopped:
            process.send_signal(signal.SIGSTOP)
        for _ in range(3):
            resolve_writable(path)
        assert len(names(tmp_path)) == 1
        if stopped:
            process.send_signal(signal.SIGCONT)
        process.communicate("go on\n")
        assert process.returncode == 0
    assert path.read_bytes() == b"first\nsecond\n"
    assert names(tmp_path) == ["page.html"]


def test_files_that_only_look_alike_are_left_alone(tmp_path: Path) -> None:
    """Another file's unfinished version, a copy and a folder are nobody's leftovers."""
    kept = [
        *(".page.html.original", ".page.html.unfinished-", ".page.html.unfinished-too-long-a-name"),
        *(".other.html.unfinished-abcdefgh", "page.html.unfinished-abcdefgh"),
    ]
    for name in kept:
        (tmp_path / name).touch()
    (tmp_path / ".page.html.unfinished-folder00").mkdir()
    (tmp_path / ".page.html.unfinished-abcdefgh").touch()
    resolve_writable(tmp_path / "page.html")
    assert names(tmp_path) == sorted([*kept, ".page.html.unfinished-folder00"])


def test_leftovers_of_a_folder_that_is_not_there_are_none(tmp_path: Path) -> None:
    """Nothing is wrong where there is nothing."""
    remove_leftovers(tmp_path / "nowhere", ".")


def test_an_unfinished_file_goes_when_writing_fails(tmp_path: Path) -> None:
    """An exception amid writing leaves the old file and no other."""
    path = tmp_path / "page.html"
    path.write_bytes(b"old")

    def parts() -> list[bytes]:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        replace_file(path, (part for part in parts()))
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["page.html"]


def test_a_link_that_leads_to_itself_is_refused(tmp_path: Path) -> None:
    """It is named in one sentence, and stays as it is."""
    link = tmp_path / "loop"
    link.symlink_to(link)
    for append in (True, False):
        with pytest.raises(UsageError, match="loop cannot be written"):
            resolve_writable(link, append=append)
    assert link.is_symlink()


def test_standard_output_is_no_file() -> None:
    """A name of standard output that leads to a pipe is refused at once, by its name."""
    line = "from pathlib import Path; from detection.atomic_files import resolve_writable; "
    line += "resolve_writable(Path('/dev/stdout'))"
    done = subprocess.run(
        [sys.executable, "-c", line],
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert "/dev/stdout is not a file" in done.stderr


def test_an_open_file_is_told_from_the_one_that_replaced_it(tmp_path: Path) -> None:
    """What was opened under a name need not be what the name stands for later."""
    path = tmp_path / "findings.jsonl"
    path.touch()
    with path.open("rb") as file:
        assert is_at(file.fileno(), path)
        replace_file(path, [b"new"])
        assert not is_at(file.fileno(), path)
        path.unlink()
        assert not is_at(file.fileno(), path)


def test_what_is_written_reaches_the_disk_before_its_name(tmp_path: Path) -> None:
    """The content is flushed to the disk, then the name, and that once more with its folder."""
    calls: list[str] = []

    def note(_frame: object, event: str, called: object) -> None:
        name = getattr(called, "__name__", "")
        if event == "c_call" and name in {"fsync", "replace"}:
            calls.append(name)

    sys.setprofile(note)
    try:
        replace_file(tmp_path / "page.html", [b"x"])
    finally:
        sys.setprofile(None)
    assert calls == ["fsync", "replace", "fsync"]


def test_a_file_is_locked_as_long_as_it_is_written(tmp_path: Path) -> None:
    """Within one process too, what is being written is never taken for left over."""
    with unfinished(tmp_path, ".x-") as (file, path):
        file.write(b"x")
        remove_leftovers(tmp_path, ".x-")
        assert path.exists()
    assert names(tmp_path) == []
