"""State in a folder: each version has one winner, and there is always a whole version to read."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given

from detection.atomic_files import unfinished
from detection.errors import StateConflict, StateError, UsageError
from detection.state import ReadOnlyStore, State
from detection.state.codec import compress, encode
from detection.state.folder import FolderStore
from tests.support import environment, snapshot
from tests.support.states import STATES, content, numbered

# Saves what it read plus one, repeatedly, and prints the versions that it won.
RACE = """
import sys, time
from pathlib import Path
from detection.errors import StateConflict
from detection.state.folder import FolderStore
from tests.support.states import numbered

store = FolderStore(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
until = time.monotonic() + float(sys.argv[2])
while time.monotonic() < until:
    try:
        state, tag = store.load()
        print(tag, "->", store.save(numbered((state.watermark or 0) + 1), tag), flush=True)
    except StateConflict:
        pass
"""


@given(STATES)
def test_a_state_survives_saving_and_loading(
    tmp_path_factory: pytest.TempPathFactory, state: State
) -> None:
    """Another store loads an equal state, with the tag that saving returned."""
    folder = tmp_path_factory.mktemp("state")
    store = FolderStore(folder)
    tag = store.save(state, store.load()[1])
    for each in (store, FolderStore(folder)):
        loaded, loaded_tag = each.load()
        assert content(loaded) == content(state)
        assert loaded_tag == tag


def test_a_new_folder_holds_a_new_state(tmp_path: Path) -> None:
    """Without a state file the state is new, and the folder is created with its parents."""
    store = FolderStore(tmp_path / "a" / "b")
    assert store.load()[0] == State()
    assert (tmp_path / "a" / "b").is_dir()


def test_saves_use_the_tag_of_the_last_save(tmp_path: Path) -> None:
    """Each save uses the tag of the one before, and one version remains."""
    store = FolderStore(tmp_path)
    tag = store.load()[1]
    for number in range(12):
        tag = store.save(numbered(number), tag)
        assert store.load() == (numbered(number), tag)
        assert len(list(tmp_path.iterdir())) == 1


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    """Copies, notes and files of other programs are neither read nor removed."""
    for name in ("state-1.json", "state-0000000009.json.bak", "notes.txt", ".state-abc"):
        (tmp_path / name).write_text("mine", "utf-8")
    before = snapshot(tmp_path)
    store = FolderStore(tmp_path)
    store.save(numbered(2), store.save(numbered(1), store.load()[1]))
    assert store.load()[0] == numbered(2)
    assert before.items() <= snapshot(tmp_path).items()


def test_a_save_with_a_stale_tag_fails(tmp_path: Path) -> None:
    """Of two saves with the same tag the second fails, and the first stays."""
    first, second = FolderStore(tmp_path), FolderStore(tmp_path)
    tag = first.load()[1]
    assert second.load()[1] == tag
    first.save(numbered(1), tag)
    before = snapshot(tmp_path)
    with pytest.raises(StateConflict, match="another run wrote"):
        second.save(numbered(2), tag)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("writes", [2, 3, 9])
def test_a_stale_tag_fails_even_if_its_successor_was_removed(tmp_path: Path, writes: int) -> None:
    """A run that slept through several saves cannot save into the removed version's name."""
    store = FolderStore(tmp_path)
    stale = tag = store.save(numbered(0), store.load()[1])
    for number in range(writes):
        tag = store.save(numbered(number + 1), tag)
    before = snapshot(tmp_path)
    with pytest.raises(StateConflict):
        FolderStore(tmp_path).save(numbered(99), stale)
    assert snapshot(tmp_path) == before
    assert store.load() == (numbered(writes), tag)
    store.save(numbered(100), tag)


@pytest.mark.parametrize(
    "body", [b"", encode(numbered(3))[:-9], b'{"version": 2}', b"\xff"], ids=repr
)
def test_a_damaged_state_is_not_changed(tmp_path: Path, body: bytes) -> None:
    """Loading fails with the file's name and the way to recover, and changes nothing."""
    path = tmp_path / "state-0000000004.json"
    path.write_bytes(body)
    before = snapshot(tmp_path)
    store = FolderStore(tmp_path)
    for _ in range(2):
        with pytest.raises(StateError) as caught:
            store.load()
        assert str(path) in str(caught.value)
        assert "nothing was changed" in str(caught.value)
    assert snapshot(tmp_path) == before


def test_moving_a_damaged_state_away_gives_a_new_state(tmp_path: Path) -> None:
    """The advice in the error works: without the damaged file the state is new and can be saved."""
    path = tmp_path / "state-0000000004.json"
    path.write_bytes(b"{")
    path.rename(tmp_path / "damaged.json")
    store = FolderStore(tmp_path)
    state, tag = store.load()
    assert state == State()
    store.save(numbered(1), tag)
    assert store.load()[0] == numbered(1)


def test_an_older_version_that_remains_is_not_read(tmp_path: Path) -> None:
    """A run that died between two steps of a save leaves two versions; the later one counts."""
    (tmp_path / "state-0000000009.json").write_bytes(encode(numbered(9)))
    (tmp_path / "state-0000000010.json").write_bytes(encode(numbered(10)))
    store = FolderStore(tmp_path)
    state, tag = store.load()
    assert state == numbered(10)
    store.save(numbered(11), tag)
    assert [path.name for path in tmp_path.iterdir()] == ["state-0000000011.json.gz"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    """The error names the option and the file, whether or not the folder may be created."""
    path = tmp_path / "file"
    path.touch()
    for create in (True, False):
        with pytest.raises(UsageError, match=r"--state-dir .*file cannot be used"):
            FolderStore(path, create=create)
    with pytest.raises(UsageError, match="cannot be used"):
        FolderStore(path / "below")


def test_a_removed_folder_is_an_error(tmp_path: Path) -> None:
    """A state that cannot be written is a StateError and not a conflict."""
    folder = tmp_path / "state"
    store = FolderStore(folder)
    folder.rmdir()
    with pytest.raises(StateError, match="cannot be written"):
        store.save(numbered(1), store.load()[1])


def test_a_dry_run_creates_nothing(tmp_path: Path) -> None:
    """A dry run on a missing folder has a new state and leaves no folder."""
    looked = ReadOnlyStore(FolderStore(tmp_path / "state", create=False))
    state, tag = looked.load()
    assert state == State()
    assert looked.save(numbered(1), tag) == tag
    assert not list(tmp_path.iterdir())


def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    """A dry run reads the state and leaves it unchanged."""
    store = FolderStore(tmp_path)
    store.save(numbered(1), store.load()[1])
    before = snapshot(tmp_path)
    looked = ReadOnlyStore(FolderStore(tmp_path, create=False))
    state, tag = looked.load()
    assert state == numbered(1)
    looked.save(numbered(2), tag)
    assert snapshot(tmp_path) == before


def test_without_a_store_every_state_is_new() -> None:
    """A run without a store has a new state and keeps nothing."""
    unsaved = ReadOnlyStore()
    unsaved.save(numbered(1), unsaved.load()[1])
    assert unsaved.load()[0] == State()


def saving_process(folder: Path, seconds: float) -> subprocess.Popen[str]:
    """Start a process that saves for some time after a signal."""
    return subprocess.Popen(
        [sys.executable, "-c", RACE, str(folder), str(seconds)],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )


def test_of_racing_processes_one_wins_each_version(tmp_path: Path) -> None:
    """Three processes save at full speed: no version has two winners and none is lost.

    A winner that is overtaken before it checks its version may get a conflict. Its version then
    has no winner, but the others continued from its state, so nothing is lost.
    """
    racers = [saving_process(tmp_path, 0.7) for _ in range(3)]
    for each in racers:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in racers:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    won: list[tuple[int, int]] = []
    for each in racers:
        out, _ = each.communicate(timeout=300)
        assert each.returncode == 0
        pairs = (line.split(" -> ") for line in out.splitlines())
        won.extend((int(read), int(wrote)) for read, wrote in pairs)
    assert all(wrote == read + 1 for read, wrote in won)
    versions = [wrote for _, wrote in won]
    assert len(set(versions)) == len(versions)
    last = max(versions)
    overtaken = set(range(1, last)) - set(versions)
    assert len(overtaken) < last / 2
    state, tag = FolderStore(tmp_path).load()
    assert (state, tag) == (numbered(last), str(last))
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a signal nobody can handle")
def test_a_kill_during_a_save_leaves_a_state(tmp_path: Path) -> None:
    """After a kill at any time, the last saved version or the one being saved can be read."""
    tag = ""
    for attempt in range(6):
        with saving_process(tmp_path, 60) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.stdin.write("go\n")
            process.stdin.flush()
            if attempt:  # sometimes before the first save
                assert process.stdout.readline()
            time.sleep(0.03 + attempt * 0.011)
            process.kill()
            assert process.wait() == -signal.SIGKILL
            lines = process.stdout.read().splitlines(keepends=True)
        saved = [int(line.split(" -> ")[1]) for line in lines if line.endswith("\n")]
        state, tag = FolderStore(tmp_path).load()
        assert state == (numbered(int(tag)) if int(tag) else State())
        assert not saved or int(tag) in {saved[-1], saved[-1] + 1}
    assert int(tag) > 0


# Damage, power failures and leftovers.


def test_a_flipped_bit_is_never_read_as_another_state(tmp_path: Path) -> None:
    """A version with one changed bit is refused, or reads as the very same state."""
    path = tmp_path / "state-0000000004.json.gz"
    body = compress(numbered(4))
    store = FolderStore(tmp_path)
    refused = 0
    for bit in range(0, len(body) * 8, 3):
        changed = bytearray(body)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            assert content(store.load()[0]) == content(numbered(4))
        except StateError as error:
            refused += 1
            assert "nothing was changed" in str(error)  # noqa: PT017 - most bits raise, some need not
    assert refused > len(body) * 8 / 3 - 40  # a few bits of the header have no meaning


def test_versions_of_an_earlier_release_are_read_and_replaced(tmp_path: Path) -> None:
    """A state without compression is read, and the next version replaces it."""
    (tmp_path / "state-0000000010.json").write_bytes(encode(numbered(10)))
    store = FolderStore(tmp_path)
    state, tag = store.load()
    assert (state, tag) == (numbered(10), "10")
    store.save(numbered(11), tag)
    assert [path.name for path in tmp_path.iterdir()] == ["state-0000000011.json.gz"]
    assert FolderStore(tmp_path).load() == (numbered(11), "11")


def test_a_version_saved_by_an_earlier_release_wins(tmp_path: Path) -> None:
    """A version number cannot be won again in another file format."""
    store = FolderStore(tmp_path)
    tag = store.save(numbered(1), store.load()[1])
    (tmp_path / "state-0000000002.json").write_bytes(encode(numbered(2)))
    with pytest.raises(StateConflict):
        store.save(numbered(99), tag)
    assert store.load() == (numbered(2), "2")


@pytest.mark.parametrize("value", ["1e400", "1e30", "123456789012345678901234567890", "-1e30"])
def test_an_impossible_time_is_damage(tmp_path: Path, value: str) -> None:
    """A number outside all times, typed by a person, is a StateError."""
    text = encode(numbered(4)).decode()
    key = "61" * 16
    groups = '[{"key":["i","n","r"],"findings":[{"id":"x","revision":1,"opened":1,"last_seen":1,'
    groups += f'"operations":{{"{key}":{value}}}}}]}}]'
    start, end = text.index('"groups":') + 9, text.index(',"outbox":')
    path = tmp_path / "state-0000000004.json"
    path.write_text(text[:start] + groups + text[end:], "utf-8")
    with pytest.raises(StateError, match="is damaged"):
        FolderStore(tmp_path).load()


def test_a_version_is_on_disk_before_the_older_one_is_removed(tmp_path: Path) -> None:
    """The file is flushed, linked, its folder flushed, and only then the older version removed."""
    store = FolderStore(tmp_path)
    tag = store.save(numbered(1), store.load()[1])
    calls: list[str] = []

    def note(_frame: object, event: str, called: object) -> None:
        name = getattr(called, "__name__", "")
        if event == "c_call" and name in {"fsync", "link", "unlink"}:
            calls.append(name)

    sys.setprofile(note)
    try:
        store.save(numbered(2), tag)
    finally:
        sys.setprofile(None)
    # The first file unlinked is the temporary name of the new version.
    assert calls == ["fsync", "link", "unlink", "fsync", "unlink"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a signal nobody can handle")
def test_leftovers_of_killed_runs_are_removed(tmp_path: Path) -> None:
    """The next save removes leftovers of killed runs, and no file that is being written."""
    left = (".state-abcdefgh", ".state-a1_b2_c3")
    kept = (".state-abc", ".state-ABCDEFGH", "state-abcdefgh", ".state-abcdefgh.json")
    for name in (*left, *kept):
        (tmp_path / name).write_text("mine", "utf-8")
    store = FolderStore(tmp_path)
    with unfinished(tmp_path, ".state-") as (_, path):
        tag = store.save(numbered(1), store.load()[1])
        assert path.exists()
    found = {path.name for path in tmp_path.iterdir()}
    assert found == {*kept, "state-0000000001.json.gz"}
    ReadOnlyStore(FolderStore(tmp_path, create=False)).load()
    assert store.load() == (numbered(1), tag)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a signal nobody can handle")
def test_kills_leave_one_file(tmp_path: Path) -> None:
    """After any number of killed runs, the next save leaves one file in the folder."""
    for attempt in range(5):
        with saving_process(tmp_path, 60) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.stdin.write("go\n")
            process.stdin.flush()
            time.sleep(0.02 + attempt * 0.007)
            process.kill()
    store = FolderStore(tmp_path)
    store.save(numbered(1), store.load()[1])
    assert len(list(tmp_path.iterdir())) == 1
