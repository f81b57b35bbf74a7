"""State in a blob, on a real emulator: each version has one winner, and no state is ever reset."""

import gzip
import socket
import socketserver
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from azure.storage.blob import (
    BlobLeaseClient,
    ContainerClient,
    ContainerSasPermissions,
    generate_container_sas,
)
from hypothesis import given

from detection.azure_clients import EMULATOR, EMULATOR_KEY
from detection.errors import StateConflict, StateError
from detection.pipeline.invocation import Invocation
from detection.pipeline.job import run
from detection.rule.ticks import HOUR, MINUTE, parse_time
from detection.state import State, Tag
from detection.state.blob import CLIENT_OPTIONS, BlobStore, least_recently_written
from detection.state.codec import encode
from emulator.services.azurite import azurite
from tests.support.services.servers import AT_ONCE, Containers, Line
from tests.support.services.storage_faults import InterceptingLine, KillableStore, LosingAnswers
from tests.support.simulation import Event, Fuse, Killed, Simulation, Stream
from tests.support.states import STATES, content, numbered

WORKSPACE = "6f1b0a5c-0000-4000-8000-00000000000a"
BLOB = f"{WORKSPACE}.json.gz"
TEN = parse_time("2026-03-14T10:00:00Z")
# Reported by the first run, by the second, and by the second because it arrives late.
STREAM = Stream(
    [Event(TEN - 90 * MINUTE, TEN - 90 * MINUTE, "aaaa", "Azure Storage", "s")],
    [
        Event(TEN - 80 * MINUTE, TEN - 80 * MINUTE, "aaaa", "rg-one", "1"),
        Event(TEN - 70 * MINUTE, TEN - 70 * MINUTE, "aaaa", "rg-two", "2"),
        Event(TEN - 40 * MINUTE, TEN + 10 * MINUTE, "aaaa", "rg-one", "3"),
    ],
)


@pytest.fixture(scope="module")
def shared(containers: Containers) -> ContainerClient:
    """Create one container for many workspaces."""
    return containers.new()


def store(container: ContainerClient) -> BlobStore:
    """Return a new store of the one workspace."""
    return BlobStore(container=container, workspace_id=WORKSPACE)


def put(container: ContainerClient, body: bytes) -> object:
    """Upload a blob in place of the state and return its version."""
    return container.upload_blob(BLOB, body).get_blob_properties().etag


def blob_and_version(container: ContainerClient) -> tuple[bytes, object]:
    """Return the blob's content and version."""
    stream = container.download_blob(BLOB)
    return stream.readall(), stream.properties.etag


@given(STATES)
def test_a_state_survives_saving_and_loading(shared: ContainerClient, state: State) -> None:
    """Another store loads an equal state, with the tag that saving returned."""
    workspace = str(uuid.uuid4())
    first, second = (BlobStore(container=shared, workspace_id=workspace) for _ in range(2))
    tag = first.save(state, first.load()[1])
    for each in (first, second):
        loaded, loaded_tag = each.load()
        assert content(loaded) == content(state)
        assert loaded_tag == tag


def test_without_a_blob_the_state_is_new(containers: Containers) -> None:
    """Without a blob the state is new, its tag is empty, and no blob is created."""
    container = containers.new()
    assert store(container).load() == (State(), "")
    assert list(container.list_blob_names()) == []


def test_saves_use_the_tag_of_the_last_save(containers: Containers) -> None:
    """Each save uses the tag of the one before, and one blob holds the last state."""
    container = containers.new()
    each = store(container)
    tags = [each.load()[1]]
    for number in range(6):
        tags.append(each.save(numbered(number), tags[-1]))
        assert each.load() == (numbered(number), tags[-1])
    assert len(set(tags)) == len(tags)
    assert list(container.list_blob_names()) == [BLOB]


def test_the_blob_is_the_compressed_codec_output(containers: Containers) -> None:
    """The blob decompresses to the codec's output, and its type says that it is compressed."""
    container = containers.new()
    store(container).save(numbered(3), "")
    body, _ = blob_and_version(container)
    assert gzip.decompress(body) == encode(numbered(3))
    settings = container.get_blob_client(BLOB).get_blob_properties().content_settings
    assert (settings.content_type, settings.content_encoding) == ("application/gzip", None)


def test_equal_states_give_equal_blobs(containers: Containers) -> None:
    """The same state saved at another time, over another version, has the same bytes."""
    container = containers.new()
    tag = store(container).save(numbered(3), "")
    before, _ = blob_and_version(container)
    time.sleep(1.1)  # gzip would otherwise write the time
    store(container).save(numbered(3), store(container).save(numbered(4), tag))
    after, etag = blob_and_version(container)
    assert after == before
    assert etag != tag


def test_workspaces_do_not_share_a_state(containers: Containers) -> None:
    """Two workspaces in one container have a blob each."""
    container = containers.new()
    one, other = (BlobStore(container=container, workspace_id=name) for name in ("one", "other"))
    one.save(numbered(1), "")
    assert other.load() == (State(), "")
    other.save(numbered(2), "")
    assert one.load()[0] == numbered(1)
    assert list(container.list_blob_names()) == ["one.json.gz", "other.json.gz"]


@pytest.mark.parametrize("writes", [0, 1, 3])
def test_a_save_with_a_stale_tag_fails(containers: Containers, writes: int) -> None:
    """A save with a tag that is not the latest fails and changes nothing, even the first save."""
    container = containers.new()
    tag = stale = ""
    for number in range(writes):
        tag = stale = store(container).save(numbered(number), tag)
    store(container).save(numbered(8), tag)
    before = blob_and_version(container)
    with pytest.raises(StateConflict, match=f"another run wrote .*{BLOB} first"):
        store(container).save(numbered(9), stale)
    assert blob_and_version(container) == before


def test_equal_bytes_of_another_run_are_a_conflict(containers: Containers) -> None:
    """Of two runs with equal states only one wins and delivers."""
    container = containers.new()
    tag = store(container).save(numbered(1), "")
    store(container).save(numbered(2), tag)
    with pytest.raises(StateConflict):
        store(container).save(numbered(2), tag)
    with pytest.raises(StateConflict):
        store(container).save(numbered(2), "")


def test_a_removed_blob_is_a_conflict(containers: Containers) -> None:
    """A run whose state was removed gets a conflict, and the next one has a new state."""
    container = containers.new()
    tag = store(container).save(numbered(1), "")
    container.delete_blob(BLOB)
    with pytest.raises(StateConflict, match="was removed"):
        store(container).save(numbered(2), tag)
    assert store(container).load() == (State(), "")


def test_of_racing_threads_one_wins_each_version(containers: Containers) -> None:
    """Of two threads that save over each version, one wins and the other gets a conflict."""
    container = containers.new()
    start = threading.Barrier(2)
    stores = [store(containers.client(container.container_name)) for _ in range(2)]

    def attempt(mine: BlobStore, state: State, tag: Tag) -> Tag | None:
        start.wait(60)
        try:
            return mine.save(state, tag)
        except StateConflict:
            return None

    tag = ""
    with ThreadPoolExecutor(2) as threads:
        for version in range(20):
            states = [numbered(2 * version), numbered(2 * version + 1)]
            tags = list(threads.map(attempt, stores, states, [tag, tag]))
            won = [each is not None for each in tags]
            assert sorted(won) == [False, True]
            state, tag = stores[0].load()
            assert tag == tags[won.index(True)]
            assert state == states[won.index(True)]


@pytest.mark.parametrize("losses", [1, 2])
@pytest.mark.parametrize("first", [True, False])
def test_a_lost_answer_is_no_conflict(containers: Containers, losses: int, first: bool) -> None:
    """A write whose answer was lost is sent again, refused, and recognised as saved."""
    container = containers.new()
    tag = "" if first else store(container).save(numbered(1), "")
    losing = LosingAnswers(losses)
    lossy = store(containers.client(container.container_name, transport=InterceptingLine(losing)))
    tag = lossy.save(numbered(2), tag)
    assert (losing.writes, losing.left) == (losses + 1, 0)
    assert store(container).load() == (numbered(2), tag)
    assert lossy.save(numbered(3), tag) == store(container).load()[1]


@pytest.mark.parametrize("first", [True, False])
def test_a_run_that_continues_after_a_lost_answer_wins(containers: Containers, first: bool) -> None:
    """If another run saved after a write whose answer was lost, that other run continues."""
    container = containers.new()
    tag = "" if first else store(container).save(numbered(1), "")

    def other_run() -> None:
        state, read = store(container).load()
        assert state == numbered(2)
        store(container).save(numbered(2), read)  # equal bytes, in another call

    line = InterceptingLine(LosingAnswers(1, other_run))
    with pytest.raises(StateConflict, match="another run wrote"):
        store(containers.client(container.container_name, transport=line)).save(numbered(2), tag)


def test_a_write_without_answer_is_found_by_the_next_run(containers: Containers) -> None:
    """If every answer is lost the run fails, and the next run continues from its write."""
    container = containers.new()
    line = InterceptingLine(LosingAnswers(99))
    with pytest.raises(StateError, match=r"no answer .*the line went dead") as caught:
        store(containers.client(container.container_name, transport=line)).save(numbered(1), "")
    assert not isinstance(caught.value, StateConflict)
    assert store(container).load()[0] == numbered(1)


def test_a_state_read_in_parts_is_of_one_version(containers: Containers) -> None:
    """A blob that needs several requests is read whole, or not at all if it changes in between."""
    container = containers.new()
    tag = store(container).save(numbered(1), "")
    parts = {"max_single_get_size": 512, "max_chunk_get_size": 256}
    name = container.container_name
    assert store(containers.client(name, **parts)).load() == (numbered(1), tag)
    other_states = iter([numbered(2)])

    def other_run(method: str) -> None:
        assert method == "GET"
        for state in other_states:
            store(container).save(state, tag)

    with pytest.raises(StateConflict, match="while this run read it"):
        store(containers.client(name, transport=InterceptingLine(other_run), **parts)).load()
    assert store(container).load()[0] == numbered(2)


GOOD = gzip.compress(encode(numbered(3)))
DAMAGED = {
    "empty": b"",
    "not-compressed": encode(numbered(3)),
    "cut": GOOD[: len(GOOD) // 2],
    "cut-at-the-end": GOOD[:-1],
    "one-byte-changed": GOOD[:200] + bytes([GOOD[200] ^ 1]) + GOOD[201:],
    "wrong-checksum": GOOD[:-8] + bytes([GOOD[-8] ^ 1]) + GOOD[-7:],
    "something-behind": GOOD + b"more",
    "twice": GOOD + GOOD,
    "not-json": gzip.compress(b"{"),
    "no-state": gzip.compress(b"{}"),
}


@pytest.mark.parametrize("body", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_state_is_not_changed(containers: Containers, body: bytes) -> None:
    """Loading fails with the blob's name and the way to recover, and changes nothing."""
    container = containers.new()
    etag = put(container, body)
    for _ in range(2):
        with pytest.raises(StateError) as caught:
            store(container).load()
        message = str(caught.value)
        assert f"/{container.container_name}/{BLOB} is damaged" in message
        assert "nothing was changed. Restore an earlier copy" in message
        assert "\n" not in message
    assert blob_and_version(container) == (body, etag)


def test_a_newer_version_is_not_changed(containers: Containers) -> None:
    """A state of a later release is neither read nor reset."""
    container = containers.new()
    body = gzip.compress(encode(numbered(3)).replace(b'"version":4', b'"version":5'))
    etag = put(container, body)
    with pytest.raises(StateError, match="has version 5, this program reads 4"):
        store(container).load()
    assert blob_and_version(container) == (body, etag)


def test_the_longest_waiting_workspace_is_first(containers: Containers) -> None:
    """Workspaces without a state come first, then those with the oldest state."""
    container = containers.new()
    BlobStore(container=container, workspace_id="b").save(numbered(1), "")
    time.sleep(1.1)  # the service stores times to the second
    BlobStore(container=container, workspace_id="a").save(numbered(1), "")
    assert least_recently_written(container, ("a", "b", "c", "d")) == ["c", "d", "b", "a"]


def test_without_a_container_the_order_stays(containers: Containers) -> None:
    """A missing container is reported by each workspace, and not by the listing."""
    container = containers.client(f"absent-{uuid.uuid4().hex}")
    assert least_recently_written(container, ("b", "a")) == ["b", "a"]


def test_moving_a_damaged_state_away_gives_a_new_state(containers: Containers) -> None:
    """The advice in the error works: without the damaged blob the state is new and can be saved."""
    container = containers.new()
    put(container, b"{")
    container.delete_blob(BLOB)
    store(container).save(numbered(1), store(container).load()[1])
    assert store(container).load()[0] == numbered(1)


def state_error(act: Callable[[], object]) -> str:
    """Return the message of the StateError that a call raises."""
    with pytest.raises(StateError) as caught:
        act()
    assert not isinstance(caught.value, StateConflict)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("tag", ["", '"0x1"'])
def test_a_missing_container_is_an_error(containers: Containers, tag: Tag) -> None:
    """A missing container is not a new state: the error says to create it and names it."""
    nowhere = store(containers.client("not-created"))
    for act in (nowhere.load, lambda: nowhere.save(numbered(1), tag)):
        message = state_error(act)
        assert f"not-created/{BLOB}" in message
        assert (
            "the container not-created does not exist; create it, or correct STATE_CONTAINER"
            in message
        )


def test_without_permission_the_role_is_named(containers: Containers) -> None:
    """A refused write names the missing role and how long it takes, and shows no signature."""
    container = containers.new()
    signature = generate_container_sas(
        EMULATOR[1:],
        container.container_name,
        EMULATOR_KEY,
        permission=ContainerSasPermissions(read=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    url = f"{container.url}?{signature}"
    with ContainerClient.from_container_url(url, **AT_ONCE) as reader:
        looking = store(reader)
        state, tag = looking.load()
        message = state_error(lambda: looking.save(state, tag))
    assert "cannot be written: access was refused (403 AuthorizationPermissionMismatch)" in message
    assert "Storage Blob Data Contributor or Owner" in message
    assert "30 minutes" in message
    assert "sig=" not in message
    assert store(container).load() == (State(), "")


def test_a_wrong_key_is_an_error(containers: Containers) -> None:
    """A refused caller gets an error and not a new state."""
    container = containers.new()
    with ContainerClient.from_container_url(
        container.url,
        {"account_name": EMULATOR[1:], "account_key": EMULATOR_KEY[::-1].lstrip("=") + "=="},
    ) as refused_client:
        assert "cannot be read: access was refused (403 " in state_error(store(refused_client).load)


def test_a_leased_blob_is_an_error_and_no_conflict(containers: Containers) -> None:
    """A lease is named as such, though its status is that of a conflict."""
    container = containers.new()
    tag = store(container).save(numbered(1), "")
    lease = BlobLeaseClient(container.get_blob_client(BLOB))
    lease.acquire()
    message = state_error(lambda: store(container).save(numbered(2), tag))
    assert "answered 412 LeaseIdMissing (There is currently a lease on the blob" in message
    assert "next run" not in message
    assert store(container).load() == (numbered(1), tag)
    lease.release()
    store(container).save(numbered(2), tag)


def error_of(code: str) -> bytes:
    """Return an error body in the service's form."""
    return (
        f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>A header is \u202ewrong.\n"
        "RequestId:1\nTime:2</Message><HeaderName>x-ms-version</HeaderName></Error>"
    ).encode()


@contextmanager
def server_answering(
    status: int, body: bytes = b"<html>Sorry.", kind: str = "text/html"
) -> Iterator[ContainerClient]:
    """Give a container behind a server that answers every request the same way."""

    class Sorry(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            length = 0
            while line := self.rfile.readline().strip().lower():
                if line.startswith(b"content-length:"):
                    length = int(line.removeprefix(b"content-length:"))
            self.rfile.read(length)
            self.wfile.write(
                f"HTTP/1.1 {status} Sorry\r\nContent-Type: {kind}\r\nConnection: close\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            )

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Sorry) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            with client_for_port(server.server_address[1]) as container:
                yield container
        finally:
            server.shutdown()
            thread.join()


def client_for_port(port: int, **timeouts: float) -> ContainerClient:
    """Return a client for a container on a port."""
    url = f"http://127.0.0.1:{port}{EMULATOR}/container"
    return ContainerClient.from_container_url(url, transport=Line(**timeouts), **AT_ONCE)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 429, 500, 503])
def test_an_answer_of_a_proxy_is_an_error(status: int) -> None:
    """A proxy's 404 is not a missing blob, nor is its 409 or 412 a conflict."""
    with server_answering(status) as container:
        assert f"cannot be read: {status_text(status)}" in state_error(store(container).load)
        for tag in ("", '"0x1"'):
            message = state_error(lambda tag=tag: store(container).save(numbered(1), tag))  # type: ignore[misc]
            assert f"cannot be written: {status_text(status)}" in message


def status_text(status: int) -> str:
    """Return the start of an error message about a status."""
    opening = "access was refused (" if status in {401, 403} else "the service answered "
    return f"{opening}{status} "


@pytest.mark.parametrize("status", [400, 404, 408, 409, 412, 429, 500, 503])
def test_only_temporary_errors_are_left_to_the_next_run(status: int) -> None:
    """The message about a permanent refusal does not promise that the next run will succeed."""
    with server_answering(status) as container:
        message = state_error(store(container).load)
    assert ("the next run tries again" in message) is (status in {408, 429, 500, 503})
    assert ("look for a proxy or gateway" in message) is (status in {400, 404, 409, 412})
    assert "html" not in message


def test_the_service_s_message_is_quoted() -> None:
    """The error quotes the service's code and sentence, printable and without the request's ids."""
    body = error_of("InvalidResourceName")
    with server_answering(400, body, "application/xml") as container:
        message = state_error(store(container).load)
    assert "answered 400 InvalidResourceName (A header is \ufffdwrong.); " in message
    assert "RequestId" not in message


@pytest.mark.parametrize("code", ["InvalidAuthenticationInfo", "AuthenticationFailed"])
def test_a_refused_token_is_not_a_missing_token(code: str) -> None:
    """The service's refusal of a token is not an error of the credential, at any status."""
    with server_answering(400, error_of(code), "application/xml") as container:
        assert f"access was refused (400 {code})" in state_error(store(container).load)


def test_an_emulator_of_another_version_has_a_remedy() -> None:
    """If Azurite refuses the client's version, the error says how to start it."""
    with azurite(any_version=False) as server:
        client = ContainerClient.from_connection_string(
            server.connection_string, "any", transport=Line(), **AT_ONCE
        )
        with client:
            message = state_error(store(client).load)
    assert "answered 400 InvalidHeaderValue" in message
    assert "--skipApiVersionCheck, or with `make start ARGS=--azurite`" in message
    assert "next run" not in message


class NoCredential:
    """A credential that has no token."""

    def get_token(self, *scopes: str, **options: object) -> AccessToken:
        """Fail like a real credential, in several lines."""
        raise ClientAuthenticationError(f"Nobody is signed in.\nTried {len(scopes)} {len(options)}")


def test_without_a_token_the_identity_is_named() -> None:
    """An identity without a token is a different error than a service that does not answer."""
    url = f"https://127.0.0.1:9{EMULATOR}/container"
    with ContainerClient.from_container_url(url, NoCredential(), **AT_ONCE) as container:
        message = state_error(store(container).load)
    assert "no token was obtained: Nobody is signed in. Tried" in message
    assert "Check the identity of this process, or sign in" in message


def test_a_refused_connection_is_an_error_at_once() -> None:
    """A refused connection is one line, as soon as the client's tries are over."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    began = time.monotonic()
    with client_for_port(port) as container:
        for act in (store(container).load, lambda: store(container).save(numbered(1), "")):
            message = state_error(act)
            assert "no answer (ServiceRequestError: " in message
            assert "refused" in message
            assert "the next run tries again" in message
    assert time.monotonic() - began < 20


def test_a_silent_server_is_an_error_in_time() -> None:
    """A server that accepts requests and never answers ends in the read timeout."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        client_for_port(listener.getsockname()[1], read_timeout=0.1) as container,
    ):
        for act in (store(container).load, lambda: store(container).save(numbered(1), "")):
            assert "no answer (ServiceResponseTimeoutError: " in state_error(act)


def test_the_client_options_give_up_in_time() -> None:
    """The waits between attempts add up to less than half a minute."""
    waits = [
        CLIENT_OPTIONS["initial_backoff"]
        + CLIENT_OPTIONS["increment_base"] ** attempt
        + CLIENT_OPTIONS["random_jitter_range"]
        for attempt in range(1, CLIENT_OPTIONS["retry_total"] + 1)
    ]
    assert sum(waits) < 30


def run_with_blob(
    simulation: Simulation, container: ContainerClient, workspace: str, now: int
) -> None:
    """Run the job once, with its state in a blob and simulated logs and sink."""
    state = KillableStore(container, workspace, simulation.fuse)
    run(simulation, simulation, state, Invocation("workspace", now, simulation.settings))


def undisturbed() -> Simulation:
    """Return two runs without any blob."""
    simulation = Simulation(STREAM)
    for now in (TEN, TEN + HOUR):
        simulation.run(now)
    assert len(simulation.findings()) == 3
    return simulation


def test_a_run_that_dies_anywhere_is_completed_by_the_next(containers: Containers) -> None:
    """After a kill at any boundary and a restart, runs deliver what undisturbed ones deliver."""
    container = containers.new()
    expected = undisturbed().findings()
    boundary, died = 0, True
    while died:
        simulation = Simulation(STREAM)
        workspace = f"killed-{boundary}"
        run_with_blob(simulation, container, workspace, TEN)
        simulation.fuse = Fuse(boundary)
        try:
            run_with_blob(simulation, container, workspace, TEN + HOUR)
            died = False
        except Killed:
            simulation.fuse = Fuse()
            run_with_blob(simulation, container, workspace, TEN + HOUR)
        assert simulation.findings() == expected
        boundary += 1
    assert boundary > 10


def test_of_overlapping_runs_one_delivers(containers: Containers) -> None:
    """A run that another overtakes at any boundary continues from there with the same rows."""
    container = containers.new()
    expected = undisturbed().findings()
    for boundary in range(12):
        simulation = Simulation(STREAM)
        workspace = f"overtaken-{boundary}"
        run_with_blob(simulation, container, workspace, TEN)

        def other_run(simulation: Simulation = simulation, workspace: str = workspace) -> None:
            mine, simulation.fuse = simulation.fuse, Fuse()
            run_with_blob(simulation, container, workspace, TEN + HOUR)
            simulation.fuse = mine

        simulation.fuse = Fuse(boundary, other_run)
        run_with_blob(simulation, container, workspace, TEN + HOUR)
        assert simulation.findings() == expected


def test_lost_answers_do_not_repeat_rows(containers: Containers) -> None:
    """A history that loses the answer to every other write delivers each row once."""
    expected = undisturbed()
    container = containers.new()
    simulation = Simulation(STREAM)
    for now in (TEN, TEN + HOUR):
        for losses in (1, 2):
            line = InterceptingLine(LosingAnswers(losses))
            lossy = containers.client(container.container_name, transport=line)
            run_with_blob(simulation, lossy, WORKSPACE, now)
    assert simulation.findings() == expected.findings()
    assert len(simulation.delivered) == len(set(simulation.delivered))
    assert len(simulation.delivered) == len(expected.delivered)
