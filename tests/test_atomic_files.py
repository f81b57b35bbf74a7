"""Files appear whole or not at all, and leftovers of killed processes are removed."""

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

# Writes half of a file, prints a line, and waits for one.
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
    """Start a process that has written half of a file, and kill it at the end."""
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
        process.kill()  # SIGKILL ends a stopped process too
        process.communicate()


def names(folder: Path) -> list[str]:
    """Return the names of a folder's content."""
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a signal nobody can handle")
def test_leftovers_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    """The next run that writes the file removes its unfinished version."""
    path = tmp_path / "page.html"
    with half_written(path):
        pass
    assert len(names(tmp_path)) == 1
    resolve_writable(path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("stopped", [False, True])
def test_a_file_being_written_is_not_removed(tmp_path: Path, *, stopped: bool) -> None:
    """A process that is writing, or is stopped in between, ends with its file whole."""
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


def test_files_with_similar_names_are_not_removed(tmp_path: Path) -> None:
    """Another file's unfinished version, a copy and a folder stay."""
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


def test_a_missing_folder_has_no_leftovers(tmp_path: Path) -> None:
    """The search for leftovers in a missing folder is no error."""
    remove_leftovers(tmp_path / "nowhere", ".")


def test_an_unfinished_file_is_removed_when_writing_fails(tmp_path: Path) -> None:
    """An exception while writing leaves the old file and no other."""
    path = tmp_path / "page.html"
    path.write_bytes(b"old")

    def parts() -> list[bytes]:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        replace_file(path, (part for part in parts()))
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["page.html"]


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    """The error names the link, and the link stays."""
    link = tmp_path / "loop"
    link.symlink_to(link)
    for append in (True, False):
        with pytest.raises(UsageError, match="loop cannot be written"):
            resolve_writable(link, append=append)
    assert link.is_symlink()


def test_standard_output_is_refused_as_a_file() -> None:
    """A name of standard output that leads to a pipe is refused at once."""
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


def test_an_open_file_differs_from_its_replacement(tmp_path: Path) -> None:
    """The check notices that another file has taken the name of an open one."""
    path = tmp_path / "findings.jsonl"
    path.touch()
    with path.open("rb") as file:
        assert is_at(file.fileno(), path)
        replace_file(path, [b"new"])
        assert not is_at(file.fileno(), path)
        path.unlink()
        assert not is_at(file.fileno(), path)


def test_the_content_reaches_the_disk_before_the_name(tmp_path: Path) -> None:
    """The content is flushed first, then the file is named, and then its folder is flushed."""
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


def test_a_file_is_locked_while_it_is_written(tmp_path: Path) -> None:
    """Even within one process, a file being written is not a leftover."""
    with unfinished(tmp_path, ".x-") as (file, path):
        file.write(b"x")
        remove_leftovers(tmp_path, ".x-")
        assert path.exists()
    assert names(tmp_path) == []
