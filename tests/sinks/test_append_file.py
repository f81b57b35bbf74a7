"""Lines added to a file by several processes: none is lost, none is torn, none is written twice."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import orjson
import pytest

from detection.sinks.append_file import append_lines
from tests.support import DEMO, NOW, command, environment, json_lines

# Adds so many rows, as many times, each row naming its writer; pauses for good amid the second
# delivery if asked to.
WRITER = """
import os, signal, sys
from pathlib import Path
from detection.outbox import Outbox
from detection.sinks.jsonl import JsonLinesFile

path, name, deliveries, rows, pauses = sys.argv[1:]

class Rows(list):
    def __iter__(self):
        for number, row in enumerate(super().__iter__()):
            if number == len(self) - 1 and self[0]["delivery"] == 1 and pauses == "pauses":
                os.kill(os.getpid(), signal.SIGSTOP)
            yield row

sink = JsonLinesFile(Path(path), lambda outbox: outbox.findings, append=True)
for delivery in range(int(deliveries)):
    made = [{"from": name, "delivery": delivery, "n": n, "x": "y" * 900} for n in range(int(rows))]
    sink.deliver(Outbox(Rows(made)))
"""

# Adds a row while no file of the process may grow beyond a limit.
LIMITED = """
import resource, signal, sys
from pathlib import Path
from detection.errors import DeliveryError
from detection.outbox import Outbox
from detection.sinks.jsonl import JsonLinesFile

path, limit = Path(sys.argv[1]), int(sys.argv[2])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sink = JsonLinesFile(path, lambda outbox: outbox.findings, append=True)
try:
    sink.deliver(Outbox([{"n": n, "x": "y" * 900} for n in range(3_000)]))
except DeliveryError as error:
    print(error)
"""


def writer(path: Path, name: str, *, deliveries: int, rows: int, pauses: str = "") -> list[str]:
    """Return the command of a process that adds rows."""
    return [sys.executable, "-c", WRITER, str(path), name, str(deliveries), str(rows), pauses]


def wait_for(what: Callable[[], bool]) -> None:
    """Wait until something is so."""
    until = time.monotonic() + 30
    while not what():
        assert time.monotonic() < until
        time.sleep(0.01)


@contextlib.contextmanager
def running(asked: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process, and let nothing remain of it."""
    process = subprocess.Popen(asked, env=environment())
    try:
        yield process
    finally:
        process.kill()  # which ends a stopped one too
        process.wait()


def is_stopped(process: subprocess.Popen[bytes]) -> bool:
    """Whether a process has been stopped by a signal."""
    return Path(f"/proc/{process.pid}/stat").read_text("utf-8").rsplit(") ", 1)[1][0] == "T"


def written(path: Path) -> list[tuple[str, int, int]]:
    """Return whose rows a file has, in order; each line must be a whole row."""
    rows = json_lines(path.read_text("utf-8"))
    return [(row["from"], row["delivery"], row["n"]) for row in rows]


def expected(name: str, deliveries: int, rows: int) -> list[tuple[str, int, int]]:
    """Return the rows of one writer in order."""
    return [(name, delivery, n) for delivery in range(deliveries) for n in range(rows)]


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    """Rows of four processes are all there, those of a delivery together and in order."""
    path = tmp_path / "findings.jsonl"
    names = ("a", "b", "c", "d")
    writers = [
        subprocess.Popen(writer(path, name, deliveries=12, rows=40), env=environment())
        for name in names
    ]
    assert [process.wait(60) for process in writers] == [0] * len(names)
    rows = written(path)
    for name in names:
        assert [row for row in rows if row[0] == name] == expected(name, 12, 40)
    firsts = [place for place, row in enumerate(rows) if row[2] == 0]
    assert all(rows[place + 39] == (*rows[place][:2], 39) for place in firsts)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at a process's state")
def test_a_writer_that_is_stopped_amid_a_delivery_loses_nothing(tmp_path: Path) -> None:
    """Another waits until the first goes on, and the rows of both are whole and all there."""
    path = tmp_path / "findings.jsonl"
    first = writer(path, "first", deliveries=3, rows=2_500, pauses="pauses")
    second = writer(path, "second", deliveries=2, rows=10)
    with running(first) as stopped:
        wait_for(lambda: is_stopped(stopped))
        assert path.stat().st_size > 2_500 * 900  # of its second delivery a part is written
        with running(second) as waiting:
            time.sleep(0.5)
            assert waiting.poll() is None
            stopped.send_signal(signal.SIGCONT)
            assert (stopped.wait(60), waiting.wait(60)) == (0, 0)
    rows = written(path)
    assert [row for row in rows if row[0] == "first"] == expected("first", 3, 2_500)
    assert [row for row in rows if row[0] == "second"] == expected("second", 2, 10)


def test_a_writer_that_is_killed_amid_a_delivery_leaves_no_torn_row(tmp_path: Path) -> None:
    """What it left of a row is cut off by the next, and every line is a whole row."""
    path = tmp_path / "findings.jsonl"
    first = writer(path, "first", deliveries=3, rows=2_500, pauses="pauses")
    with running(first) as killed:
        wait_for(lambda: is_stopped(killed))
    whole = written(path)
    assert 2_500 < len(whole) < 5_000
    with path.open("ab") as file:
        file.write(b'{"from":"first","delivery":1,"n":9')
    done = subprocess.run(writer(path, "b", deliveries=1, rows=2), env=environment(), check=False)
    assert done.returncode == 0
    assert written(path) == [*whole, ("b", 0, 0), ("b", 0, 1)]


def test_waiting_for_others_has_an_end(tmp_path: Path) -> None:
    """A file that others keep for too long is an error, and nothing is written."""
    path = tmp_path / "findings.jsonl"

    def lines() -> Iterator[bytes]:
        with pytest.raises(OSError, match="another run keeps it locked"):
            append_lines(path, [b"second\n"], timeout=0.1)
        yield b"first\n"

    append_lines(path, lines())
    assert path.read_bytes() == b"first\n"


@pytest.mark.parametrize("old", [b"", b'{"old":1}\n', b'{"old":1}'])
def test_a_full_disk_takes_the_delivery_back(tmp_path: Path, old: bytes) -> None:
    """A delivery that does not fit leaves the file as it was, and says so."""
    path = tmp_path / "findings.jsonl"
    path.write_bytes(old)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path), "1500000"],
        env=environment(),
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=True,
    )
    assert "findings.jsonl could not be written: File too large: free space" in done.stdout
    assert path.read_bytes() == old


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks at a process's memory")
def test_a_large_file_is_neither_read_nor_written_again(tmp_path: Path) -> None:
    """Adding to half a gigabyte takes no more memory than adding to nothing, nor another file."""
    path = tmp_path / "findings.jsonl"
    with path.open("wb") as file:
        file.seek(500_000_000)
        file.write(b"\n")
    before = path.stat()
    line, *arguments = writer(path, "a", deliveries=12, rows=10)[2:]
    line += "\nprint(*[row for row in open('/proc/self/status') if row.startswith('VmHWM')])"
    done = subprocess.run(
        [sys.executable, "-c", line, *arguments],
        env=environment(),
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=True,
    )
    assert int(done.stdout.split()[1]) * 1024 < 200_000_000
    assert path.stat().st_ino == before.st_ino
    assert path.stat().st_blocks * 512 < 10_000_000  # what was not written takes no room


@pytest.mark.parametrize(
    ("left", "kept"),
    [
        (b'{"a":1}\n{"b":', b'{"a":1}\n'),
        (b'{"a":', b""),
        (b'{"a":1}\n{"b":2}', b'{"a":1}\n{"b":2}\n'),
        (b"# a note", b"# a note\n"),
        (b'{"a":1}\n', b'{"a":1}\n'),
        (b"", b""),
    ],
)
def test_the_last_line_is_ended_or_cut(tmp_path: Path, left: bytes, kept: bytes) -> None:
    """A torn row is cut off; a whole one, and what is no row of ours, is ended."""
    path = tmp_path / "findings.jsonl"
    path.write_bytes(left)
    append_lines(path, [b'{"n":1}\n'])
    assert path.read_bytes() == kept + b'{"n":1}\n'


def test_a_long_torn_row_is_cut_too(tmp_path: Path) -> None:
    """The beginning of the last line may lie far back."""
    path = tmp_path / "findings.jsonl"
    path.write_bytes(b'{"a":1}\n{"b":"' + b"x" * 3_000_000)
    append_lines(path, [b'{"n":1}\n'])
    assert path.read_bytes() == b'{"a":1}\n{"n":1}\n'


def test_a_file_that_was_replaced_while_one_waited_is_opened_anew(tmp_path: Path) -> None:
    """Rows go to the file that has the name once it is one's turn."""
    path = tmp_path / "findings.jsonl"

    def replaced() -> Iterator[bytes]:
        waiting.start()
        time.sleep(0.3)  # it has opened the file meanwhile
        path.rename(tmp_path / "rotated.jsonl")
        yield b'{"n":1}\n'

    waiting = Thread(target=append_lines, args=(path, [b'{"n":2}\n']))
    append_lines(path, replaced())
    waiting.join(10)
    assert (tmp_path / "rotated.jsonl").read_bytes() == b'{"n":1}\n'
    assert path.read_bytes() == b'{"n":2}\n'


def test_runs_at_once_lose_no_finding(tmp_path: Path) -> None:
    """Commands that overlap, each with its own memory, all add their findings to one file."""
    path = tmp_path / "findings.jsonl"
    runs = [
        subprocess.Popen(
            command(
                *("run", "--recorded", DEMO, "--now", NOW, "--output", path),
                *("--state-dir", tmp_path / f"state{number}"),
            ),
            env=environment(),
            stderr=subprocess.DEVNULL,
        )
        for number in range(3)
    ]
    assert [process.wait(60) for process in runs] == [0, 0, 0]
    found = [orjson.loads(line)["FindingId"] for line in path.read_bytes().splitlines()]
    assert len(found) == 6
    assert len(set(found)) == 2
