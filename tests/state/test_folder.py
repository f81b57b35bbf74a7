"""State in a folder: one winner a version, and always something whole to go on from."""

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

# Saves what it read plus one, over and over, and tells which versions it won.
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
def test_a_state_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, state: State
) -> None:
    """What is saved is loaded again, by another store too, with the tag that saving gave."""
    folder = tmp_path_factory.mktemp("state")
    store = FolderStore(folder)
    tag = store.save(state, store.load()[1])
    for each in (store, FolderStore(folder)):
        loaded, loaded_tag = each.load()
        assert content(loaded) == content(state)
        assert loaded_tag == tag


def test_a_new_folder_holds_a_new_state(tmp_path: Path) -> None:
    """Where nothing was ever written the state is new, and the folder is made with its parents."""
    store = FolderStore(tmp_path / "a" / "b")
    assert store.load()[0] == State()
    assert (tmp_path / "a" / "b").is_dir()


def test_saves_follow_one_another(tmp_path: Path) -> None:
    """Each save is made with the tag of the one before, and one version remains."""
    store = FolderStore(tmp_path)
    tag = store.load()[1]
    for number in range(12):
        tag = store.save(numbered(number), tag)
        assert store.load() == (numbered(number), tag)
        assert len(list(tmp_path.iterdir())) == 1


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    """Copies, notes and what another program keeps there are neither read nor removed."""
    for name in ("state-1.json", "state-0000000009.json.bak", "notes.txt", ".state-abc"):
        (tmp_path / name).write_text("mine", "utf-8")
    before = snapshot(tmp_path)
    store = FolderStore(tmp_path)
    store.save(numbered(2), store.save(numbered(1), store.load()[1]))
    assert store.load()[0] == numbered(2)
    assert before.items() <= snapshot(tmp_path).items()


def test_a_run_that_read_before_another_wrote_loses(tmp_path: Path) -> None:
    """Of two saves with one tag the second fails, and the first stays."""
    first, second = FolderStore(tmp_path), FolderStore(tmp_path)
    tag = first.load()[1]
    assert second.load()[1] == tag
    first.save(numbered(1), tag)
    before = snapshot(tmp_path)
    with pytest.raises(StateConflict, match="another run wrote"):
        second.save(numbered(2), tag)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("writes", [2, 3, 9])
def test_a_stale_tag_loses_though_its_successor_is_gone(tmp_path: Path, writes: int) -> None:
    """A run that slept through several saves cannot put its version in an empty place."""
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
def test_a_damaged_state_is_left_as_it_was(tmp_path: Path, body: bytes) -> None:
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


def test_moving_a_damaged_state_away_starts_anew(tmp_path: Path) -> None:
    """The advice works: without the damaged file the state is new and can be saved."""
    path = tmp_path / "state-0000000004.json"
    path.write_bytes(b"{")
    path.rename(tmp_path / "damaged.json")
    store = FolderStore(tmp_path)
    state, tag = store.load()
    assert state == State()
    store.save(numbered(1), tag)
    assert store.load()[0] == numbered(1)


def test_an_older_version_that_stayed_is_not_read(tmp_path: Path) -> None:
    """A run that died between writing a version and removing the last leaves both; one counts."""
    (tmp_path / "state-0000000009.json").write_bytes(encode(numbered(9)))
    (tmp_path / "state-0000000010.json").write_bytes(encode(numbered(10)))
    store = FolderStore(tmp_path)
    state, tag = store.load()
    assert state == numbered(10)
    store.save(numbered(11), tag)
    assert [path.name for path in tmp_path.iterdir()] == ["state-0000000011.json.gz"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    """The error names the option and the file, with and without leave to create."""
    path = tmp_path / "file"
    path.touch()
    for create in (True, False):
        with pytest.raises(UsageError, match=r"--state-dir .*file cannot be used"):
            FolderStore(path, create=create)
    with pytest.raises(UsageError, match="cannot be used"):
        FolderStore(path / "below")


def test_a_folder_that_vanished_is_an_error(tmp_path: Path) -> None:
    """A state that cannot be written is a StateError and not a lost run."""
    folder = tmp_path / "state"
    store = FolderStore(folder)
    folder.rmdir()
    with pytest.raises(StateError, match="cannot be written"):
        store.save(numbered(1), store.load()[1])


def test_a_look_creates_nothing(tmp_path: Path) -> None:
    """A dry run on a folder that is not there sees a new state and leaves no folder."""
    looked = ReadOnlyStore(FolderStore(tmp_path / "state", create=False))
    state, tag = looked.load()
    assert state == State()
    assert looked.save(numbered(1), tag) == tag
    assert not list(tmp_path.iterdir())


def test_a_look_changes_nothing(tmp_path: Path) -> None:
    """A dry run sees the state that is there and leaves it."""
    store = FolderStore(tmp_path)
    store.save(numbered(1), store.load()[1])
    before = snapshot(tmp_path)
    looked = ReadOnlyStore(FolderStore(tmp_path, create=False))
    state, tag = looked.load()
    assert state == numbered(1)
    looked.save(numbered(2), tag)
    assert snapshot(tmp_path) == before


def test_without_a_store_every_state_is_new() -> None:
    """A run without a state begins from nothing and keeps nothing."""
    unsaved = ReadOnlyStore()
    unsaved.save(numbered(1), unsaved.load()[1])
    assert unsaved.load()[0] == State()


def racer(folder: Path, seconds: float) -> subprocess.Popen[str]:
    """Start a process that saves for some time once it is told to begin."""
    return subprocess.Popen(
        [sys.executable, "-c", RACE, str(folder), str(seconds)],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )


def test_of_racing_processes_one_wins_each_version(tmp_path: Path) -> None:
    """Three processes save as fast as they can: no version has two winners and none is lost.

    A winner that is overtaken before it has looked again may be told that it lost. Its version
    has no winner then, but others went on from what it wrote, so that nothing of it is lost.
    """
    racers = [racer(tmp_path, 0.7) for _ in range(3)]
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
def test_a_kill_while_saving_leaves_a_state(tmp_path: Path) -> None:
    """Whenever a run is killed the last version it saved, or the one it was saving, is there."""
    tag = ""
    for attempt in range(6):
        with racer(tmp_path, 60) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.stdin.write("go\n")
            process.stdin.flush()
            if attempt:  # at times before the first is saved
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


# Damage, power and leftovers.


def test_no_flipped_bit_is_taken_for_another_state(tmp_path: Path) -> None:
    """A version in which the disk changed one bit is refused, or says the very same."""
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
            assert "nothing was changed" in str(error)  # noqa: PT017 - most raise, some need not
    assert refused > len(body) * 8 / 3 - 40  # a few bits of the header mean nothing


def test_versions_of_an_earlier_release_are_read_and_followed(tmp_path: Path) -> None:
    """A state that was written without compression is read, and the next version replaces it."""
    (tmp_path / "state-0000000010.json").write_bytes(encode(numbered(10)))
    store = FolderStore(tmp_path)
    state, tag = store.load()
    assert (state, tag) == (numbered(10), "10")
    store.save(numbered(11), tag)
    assert [path.name for path in tmp_path.iterdir()] == ["state-0000000011.json.gz"]
    assert FolderStore(tmp_path).load() == (numbered(11), "11")


def test_a_version_that_an_earlier_release_wrote_first_wins(tmp_path: Path) -> None:
    """The same number is not won twice because it is written in two ways."""
    store = FolderStore(tmp_path)
    tag = store.save(numbered(1), store.load()[1])
    (tmp_path / "state-0000000002.json").write_bytes(encode(numbered(2)))
    with pytest.raises(StateConflict):
        store.save(numbered(99), tag)
    assert store.load() == (numbered(2), "2")


@pytest.mark.parametrize("value", ["1e400", "1e30", "123456789012345678901234567890", "-1e30"])
def test_a_time_that_no_state_can_hold_is_damage(tmp_path: Path, value: str) -> None:
    """A number that somebody typed and that is beyond all times is a StateError like any other."""
    text = encode(numbered(4)).decode()
    key = "61" * 16
    groups = '[{"key":["i","n","r"],"findings":[{"id":"x","revision":1,"opened":1,"last_seen":1,'
    groups += f'"operations":{{"{key}":{value}}}}}]}}]'
    start, end = text.index('"groups":') + 9, text.index(',"outbox":')
    path = tmp_path / "state-0000000004.json"
    path.write_text(text[:start] + groups + text[end:], "utf-8")
    with pytest.raises(StateError, match="is damaged"):
        FolderStore(tmp_path).load()


def test_a_version_is_on_disk_before_the_older_one_goes(tmp_path: Path) -> None:
    """The content is flushed, linked, the folder flushed, and only then the last one removed."""
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
    # What is unlinked first is the name under which the version was written.
    assert calls == ["fsync", "link", "unlink", "fsync", "unlink"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a signal nobody can handle")
def test_what_killed_runs_left_is_removed_and_what_is_written_is_not(tmp_path: Path) -> None:
    """The next save removes what runs left that were killed amid theirs, and nothing else."""
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
def test_kills_leave_nothing_behind(tmp_path: Path) -> None:
    """However many runs are killed, after the next save there is one file in the folder."""
    for attempt in range(5):
        with racer(tmp_path, 60) as process:
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
