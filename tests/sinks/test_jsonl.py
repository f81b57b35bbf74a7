"""JSON Lines files hold rows byte for byte, and are complete after any failure."""

import io
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.errors import DeliveryError, UsageError
from detection.outbox import Outbox, Row
from detection.sinks import FanOutSink
from detection.sinks.jsonl import JsonLinesFile
from detection.sinks.row_formats import JsonLines
from detection.sinks.row_outputs import RowStream
from tests.support import Collected, environment

HOSTILE = (
    "line\nbreak\r\n\u2028\u2029\x85",
    'quote" back\\slash \x00\x1b[31m\x7f',
    '{"FindingId":"forged"}\n',
    "\ufeff\ufffd\U0001f600 \u0130\u202e",
    "",
)
ROW: Row = {"name": "n\xe4me", "count": 3, "items": ["a", "b"], "nothing": None}
LINE = '{"name":"n\xe4me","count":3,"items":["a","b"],"nothing":null}\n'.encode()

# Delivers batches of three numbered rows, and continues at the end of the file, until killed.
DELIVER = """
import sys
from pathlib import Path
from detection.outbox import Outbox
from detection.sinks.jsonl import JsonLinesFile

path = Path(sys.argv[1])
sink = JsonLinesFile(path, lambda outbox: outbox.findings, append=True)
done = path.read_bytes().count(b"\\n") if path.exists() else 0
print("ready", flush=True)
while True:
    sink.deliver(Outbox([{"n": done + i, "filling": "x" * 500} for i in range(3)]))
    done += 3
"""


def findings(outbox: Outbox) -> Sequence[Row]:
    """Return the findings."""
    return outbox.findings


def runs(outbox: Outbox) -> Sequence[Row]:
    """Return the run records."""
    return outbox.runs


def file_of(path: Path, *, append: bool = True) -> JsonLinesFile:
    """Return the sink for the findings."""
    return JsonLinesFile(path, findings, append=append)


def test_rows_are_written_byte_for_byte(tmp_path: Path) -> None:
    """A row is compact JSON with its keys in order, in UTF-8 and on one line."""
    path = tmp_path / "findings.jsonl"
    file_of(path).deliver(Outbox([ROW, {"z": 1, "a": 2}]))
    assert path.read_bytes() == LINE + b'{"z":1,"a":2}\n'


def test_each_file_holds_its_own_kind_of_rows(tmp_path: Path) -> None:
    """Findings and run records go to their own files."""
    outbox = Outbox([{"finding": 1}], [{"run": 1}, {"run": 2}])
    paths = tmp_path / "findings.jsonl", tmp_path / "runs.jsonl"
    stream = io.BytesIO()
    sinks = (
        JsonLinesFile(paths[0], findings, append=True),
        JsonLinesFile(paths[1], runs, append=True),
        RowStream(stream, runs, JsonLines()),
    )
    FanOutSink(*sinks).deliver(outbox)
    assert paths[0].read_bytes() == b'{"finding":1}\n'
    assert paths[1].read_bytes() == b'{"run":1}\n{"run":2}\n' == stream.getvalue()


@given(st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=9)), max_size=5))
def test_any_text_survives(texts: list[str]) -> None:
    """Line breaks, control characters and text like another row stay inside their row."""
    rows: list[Row] = [{text: text, "items": [text]} for text in texts]
    stream = io.BytesIO()
    RowStream(stream, findings, JsonLines()).deliver(Outbox(rows))
    lines = stream.getvalue().split(b"\n")
    assert lines.pop() == b""
    assert [json.loads(line) for line in lines] == rows


def test_append_keeps_earlier_bytes(tmp_path: Path) -> None:
    """With append the file keeps its earlier content, even other text."""
    path = tmp_path / "findings.jsonl"
    path.write_bytes(b"# \xff mine\r\n\n")
    file_of(path).deliver(Outbox([ROW]))
    file_of(path).deliver(Outbox([ROW]))
    assert path.read_bytes() == b"# \xff mine\r\n\n" + LINE + LINE


def test_without_append_the_first_delivery_replaces_the_file(tmp_path: Path) -> None:
    """Without append the file holds the rows of this run only, of all its deliveries."""
    path = tmp_path / "findings.jsonl"
    path.write_bytes(b"old\n")
    sink = file_of(path, append=False)
    assert path.read_bytes() == b"old\n"
    sink.deliver(Outbox([ROW]))
    sink.deliver(Outbox([ROW]))
    assert path.read_bytes() == LINE + LINE


@pytest.mark.parametrize(("append", "left"), [(True, b"old\n"), (False, b"")])
def test_a_delivery_without_rows_writes_a_file(
    tmp_path: Path, *, append: bool, left: bytes
) -> None:
    """Without findings the file is empty and exists; with append it keeps the old rows."""
    old, new = tmp_path / "old.jsonl", tmp_path / "new.jsonl"
    old.write_bytes(b"old\n")
    for path in (old, new):
        file_of(path, append=append).deliver(Outbox([], [ROW]))
    assert (old.read_bytes(), new.read_bytes()) == (left, b"")


def test_no_other_file_is_left_in_the_folder(tmp_path: Path) -> None:
    """No file exists before the first delivery, and only the file itself after it."""
    path = tmp_path / "findings.jsonl"
    sink = file_of(path)
    assert not list(tmp_path.iterdir())
    sink.deliver(Outbox([ROW]))
    assert list(tmp_path.iterdir()) == [path]


def test_permissions_are_kept_and_follow_the_umask(tmp_path: Path) -> None:
    """A new file follows the umask; an appended file keeps its permissions."""
    path = tmp_path / "findings.jsonl"
    mask = os.umask(0o027)
    try:
        file_of(path).deliver(Outbox([ROW]))
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o600)
    file_of(path).deliver(Outbox([ROW]))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_symbolic_link_stays_a_link(tmp_path: Path) -> None:
    """The target of a link is written, and the link remains."""
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "findings.jsonl", tmp_path / "link.jsonl"
    link.symlink_to(target)
    for append in (True, False):
        file_of(link, append=append).deliver(Outbox([ROW]))
        assert link.is_symlink()
        assert target.read_bytes() == LINE


def test_a_directory_is_refused(tmp_path: Path) -> None:
    """A folder at the file's path is refused before any window is read."""
    with pytest.raises(UsageError, match="is not a file"):
        file_of(tmp_path)


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="needs a device")
def test_a_device_is_refused() -> None:
    """A device is refused, since it cannot be replaced as a whole."""
    with pytest.raises(UsageError, match="/dev/null is not a file"):
        file_of(Path("/dev/null"))


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    """A named pipe is refused without waiting for a reader."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="is not a file"):
        file_of(tmp_path / "pipe")


@pytest.mark.parametrize("name", ["nowhere/findings.jsonl", "file/findings.jsonl"])
def test_a_missing_folder_is_refused(tmp_path: Path, name: str) -> None:
    """The folder is not created, and the error names the file."""
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"findings\.jsonl cannot be written"):
        file_of(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_that_becomes_unwritable_is_a_failed_delivery(tmp_path: Path) -> None:
    """A later failure is a DeliveryError, so the rows are kept."""
    path = tmp_path / "folder" / "findings.jsonl"
    path.parent.mkdir()
    sink = file_of(path)
    path.parent.rmdir()
    with pytest.raises(DeliveryError, match=r"findings\.jsonl could not be written"):
        sink.deliver(Outbox([ROW]))


def test_a_failed_delivery_leaves_the_old_file(tmp_path: Path) -> None:
    """A row that cannot be written leaves the old bytes and no other file."""
    path = tmp_path / "findings.jsonl"
    path.write_bytes(LINE)
    for append in (True, False):
        with pytest.raises(
            DeliveryError, match=r"findings\.jsonl could not be written: .*report it"
        ):
            file_of(path, append=append).deliver(Outbox([ROW, {"half": "\ud800"}]))
        assert path.read_bytes() == LINE
        assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device")
def test_a_full_device_is_a_failed_delivery() -> None:
    """A full device is a DeliveryError that says what to do."""
    with Path("/dev/full").open("wb", buffering=0) as stream:
        sink = RowStream(stream, findings, JsonLines())
        with pytest.raises(DeliveryError, match="standard output could not be written: No space"):
            sink.deliver(Outbox([ROW]))


def test_a_closed_pipe_ends_the_program() -> None:
    """A closed pipe ends a run like any Unix tool, without a failure message."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb", buffering=0) as stream:
        sink = RowStream(stream, findings, JsonLines())
        with pytest.raises(SystemExit) as ended:
            sink.deliver(Outbox([ROW]))
    assert ended.value.code == 141


def test_a_sink_that_fails_stops_the_later_ones(tmp_path: Path) -> None:
    """Rows that one sink refused do not go to the sinks after it."""
    path = tmp_path / "folder" / "findings.jsonl"
    path.parent.mkdir()
    before, failing, after = Collected(), file_of(path), Collected()
    path.parent.rmdir()
    with pytest.raises(DeliveryError):
        FanOutSink(before, failing, after).deliver(Outbox([ROW]))
    assert (before.findings, after.findings) == ([ROW], [])


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a signal nobody can handle")
def test_a_kill_while_writing_leaves_whole_rows(tmp_path: Path) -> None:
    """Readers see all whole rows before the last, whenever the writer is killed.

    The next writer removes a torn last row.
    """
    path = tmp_path / "findings.jsonl"
    sizes: list[int] = []
    for attempt in range(6):
        command = [sys.executable, "-c", DELIVER, str(path)]
        with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            until = time.monotonic() + 0.05 + attempt * 0.013
            while time.monotonic() < until or (attempt and sizes[-1] == sizes[0]):
                assert writer.poll() is None
                sizes.append(count_whole(path))
            writer.kill()
            assert writer.wait() == -signal.SIGKILL
        sizes.append(count_whole(path))
    assert sizes == sorted(sizes)
    assert sizes[-1] > sizes[0]


def count_whole(path: Path) -> int:
    """Return the number of whole rows in the file, which must be numbered without a gap."""
    body = path.read_bytes() if path.exists() else b""
    lines = body.split(b"\n")
    numbers = [orjson.loads(line)["n"] for line in lines[:-1]]
    assert numbers == list(range(len(numbers)))
    return len(numbers)


def test_a_last_line_without_line_end_is_completed(tmp_path: Path) -> None:
    """Rows appended to a file without a final newline begin on a new line."""
    path = tmp_path / "findings.jsonl"
    path.write_bytes(b'{"old":1}')
    file_of(path).deliver(Outbox([ROW]))
    assert path.read_bytes() == b'{"old":1}\n' + LINE


@pytest.mark.parametrize("append", [True, False])
def test_a_file_keeps_its_permissions(tmp_path: Path, *, append: bool) -> None:
    """A private file stays private, whether appended or replaced."""
    path = tmp_path / "findings.jsonl"
    path.touch(0o600)
    file_of(path, append=append).deliver(Outbox([ROW]))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_line_contains_no_control_characters() -> None:
    """Control and invisible characters are escaped, and the JSON reads as the row."""
    row = {"Name": "a\x9b2J\u202e\u200b\u2028\ufeff\x1b[0m\u00e9\U0001f600\U000e0001"}
    stream = io.BytesIO()
    RowStream(stream, findings, JsonLines()).deliver(Outbox([row]))
    line = stream.getvalue().decode()
    assert line.removesuffix("\n").isprintable()
    assert "\u00e9\U0001f600" in line
    assert json.loads(line) == row
