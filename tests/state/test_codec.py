"""The codec writes and reads a state without loss, and damage is never read as a state."""

import json
import random
import tracemalloc
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.errors import StateError
from detection.outbox import (
    Outbox,
    PendingRows,
    Row,
)
from detection.ranking.baseline import Baseline
from detection.rule.ledger import Ledger
from detection.rule.reported import Reported, encode_operations
from detection.rule.ticks import DAY, HOUR, MINUTE, parse_time
from detection.state import State
from detection.state.codec import decode, encode
from tests.support.states import STATES, content, numbered

TEN = parse_time("2026-03-14T10:00:00Z")

DAMAGE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.floats(-2, 2), st.text(max_size=2)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=4,
)


@given(STATES)
def test_a_state_survives_encoding_and_decoding(state: State) -> None:
    """A decoded state equals the encoded one, to the tick and in order."""
    expected = content(state)
    assert content(decode(encode(state), "state")) == expected


@given(STATES)
def test_encoding_a_decoded_state_gives_the_same_bytes(state: State) -> None:
    """A state that is decoded and encoded unchanged has the same bytes."""
    body = encode(state)
    assert encode(decode(body, "state")) == body


@given(STATES, st.randoms(use_true_random=False))
def test_equal_states_give_equal_bytes(state: State, shuffler: random.Random) -> None:
    """The order in which groups and operations were added does not change the bytes."""

    def shuffled(mapping: dict[bytes, int]) -> dict[bytes, int]:
        return dict(shuffler.sample(list(mapping.items()), len(mapping)))

    groups = {
        key: [
            Reported(
                each.finding_id,
                each.revision,
                each.opened,
                each.last_seen,
                encoded=encode_operations(shuffled(each.operations())),
                summary=each.summary,
            )
            for each in findings
        ]
        for key, findings in shuffler.sample(
            list(state.ledger.groups.items()), len(state.ledger.groups)
        )
    }
    other = replace(state, ledger=Ledger(groups, state.ledger.known_from))
    assert content(other) == content(state)
    assert encode(other) == encode(state)


def test_a_baseline_of_an_earlier_release_is_read_again() -> None:
    """A baseline that counts days without naming them is left out: the next run reads a new one."""
    state = replace(
        numbered(7), baseline=Baseline(20_014, 7, {"id": {"a/write": 3}}, {"id": {"rg": 3}})
    )
    body = encode(state)
    assert decode(body, "state").baseline == state.baseline
    assert decode(body.replace(b"log_days", b"length"), "state").baseline is None


def test_a_finding_without_a_sum_is_read() -> None:
    """An earlier release wrote no sum of a finding; then the sum begins with the next revision."""
    document = orjson.loads(encode(numbered(7)))
    for group in document["groups"]:
        for finding in group["findings"]:
            del finding["summary"]
    read = decode(orjson.dumps(document), "state")
    assert {each.summary for findings in read.ledger.groups.values() for each in findings} == {b""}


@pytest.mark.parametrize("summary", ["AAAA", "?", 5, []])
def test_an_impossible_sum_is_damage(summary: object) -> None:
    """Bytes that no encoder writes are not read as a finding's sum."""
    document = orjson.loads(encode(numbered(7)))
    document["groups"][0]["findings"][0]["summary"] = summary
    with pytest.raises(StateError, match="is damaged"):
        decode(orjson.dumps(document), "state")


def test_a_state_of_the_previous_version_is_read() -> None:
    """Version 3 has no `known_from`, which then follows from the default settings."""
    until = TEN - 10 * MINUTE
    state = replace(numbered(7), watermark=TEN, arrivals_until=until)
    document = orjson.loads(encode(state)) | {"version": 3}
    del document["known_from"], document["outbox"]["begin"]
    read = decode(orjson.dumps(document), "state")
    assert read.ledger.known_from == until - DAY - HOUR - 1
    state.ledger.known_from = read.ledger.known_from
    assert content(read) == content(state)


@pytest.mark.parametrize("moment", [2**63, -(2**63) - 1, 2**70, 1.5, True, None, "soon"])
def test_an_impossible_time_is_damage(moment: object) -> None:
    """A number outside all times is not read as the time of an operation."""
    document = orjson.loads(encode(numbered(7)))
    document["groups"][0]["findings"][0]["last_seen"] = moment
    with pytest.raises(StateError, match="is damaged"):
        decode(json.dumps(document).encode(), "state")


@pytest.mark.parametrize("operations", ["AAAA", "?", 5, {"00": 1}, []])
def test_impossible_operations_are_damage(operations: object) -> None:
    """Bytes that no encoder writes are not read as a finding's operations."""
    document = orjson.loads(encode(numbered(7)))
    document["groups"][0]["findings"][0]["operations"] = operations
    with pytest.raises(StateError, match="is damaged"):
        decode(orjson.dumps(document), "state")


@pytest.mark.parametrize("place", ["model", "findings"])
@pytest.mark.parametrize(
    "damage",
    ["beginning lost", "end lost", "something else", "more after it"],
)
def test_a_damaged_row_is_found_on_reading(place: str, damage: str) -> None:
    """A waiting finding that cannot be decompressed is damage, found before any delivery."""
    outbox = Outbox([{"Operations": ["one", "another"], "Revision": n} for n in range(3)])
    document = orjson.loads(encode(State(outbox=outbox)))
    holder: Any = document["outbox"]
    key: str | int = place
    if place == "findings":
        holder, key = holder[place], 1
    text = holder[key]
    holder[key] = {
        "beginning lost": text[4:],
        "end lost": text[:-4],
        "something else": "AAAA",
        "more after it": text.rstrip("=")[: len(text) // 4 * 4 - 4] + "AAAA" + text[-4:],
    }[damage]
    with pytest.raises(StateError, match="is damaged"):
        decode(orjson.dumps(document), "state")


def test_waiting_rows_take_little_memory() -> None:
    """A state with many long rows is encoded and decoded in less memory than their JSON takes."""
    queries = [f"AzureActivity | where Caller =~ '{n}' | take {n}" for n in range(150)]
    rows = PendingRows[Row].of({"Number": n, "Investigate": queries} for n in range(2000))
    size = sum(len(orjson.dumps(row)) for row in rows)
    tracemalloc.start()
    try:
        state = decode(encode(State(outbox=Outbox(rows))), "state")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size > 10_000_000
    assert peak < size
    assert state.outbox.findings == rows


def test_a_new_state_is_encoded_like_any() -> None:
    """A new state has no times, no groups and no rows."""
    assert decode(encode(State()), "state") == State()


@pytest.mark.parametrize("cut", range(40))
def test_a_truncated_state_is_refused(cut: int) -> None:
    """A part of a state is damage, never a smaller state."""
    body = encode(numbered(7))
    with pytest.raises(StateError, match="is damaged"):
        decode(body[: len(body) * cut // 40], "state")


@pytest.mark.parametrize(
    "body",
    [
        *(b"null", b"[]", b"1", b'"version"', b"{}", b'{"version":3}', b"\x00\x01", b"\xff"),
        *(encode(State()).replace(b'"watermark":null', b'"watermark":' + moment)
          for moment in (b"5", b'""', b'"soon"', b"[]", b'"2026-03-14T99:00:00Z"')),
        *(encode(State()).replace(b'"groups":[]', b'"groups":' + groups)
          for groups in (b"null", b"[1]", b"[{}]", b'[{"key":["a","b"],"findings":[]}]')),
        *(encode(State()).replace(b'"runs":[]', b'"runs":' + runs) for runs in (b"null", b"3")),
    ],
)  # fmt: skip
def test_damage_is_an_error_with_the_way_to_recover(body: bytes) -> None:
    """The error is one line with the state's name, the problem and the remedy."""
    with pytest.raises(StateError) as caught:
        decode(body, "folder/state-1.json")
    message = str(caught.value)
    assert message.startswith("folder/state-1.json is damaged")
    for advice in ("nothing was changed", "Restore an earlier copy", "backfill"):
        assert advice in message


@pytest.mark.parametrize("version", [0, 1, 2, 5, 99, "4", None, [1]])
def test_another_version_is_refused(version: object) -> None:
    """A state of another release is refused, whatever it contains."""
    document = orjson.loads(encode(State())) | {"version": version}
    for body in (orjson.dumps(document), orjson.dumps({"version": version, "else": {}})):
        with pytest.raises(StateError) as caught:
            decode(body, "state")
        message = str(caught.value)
        assert "another release" in message
        assert f"{version!r}" in message
        assert "nothing was changed" in message


@given(DAMAGE, st.data())
def test_any_damage_gives_a_state_or_a_state_error(damage: object, data: st.DataObject) -> None:
    """Damage in any one place gives a state or a StateError, and no other exception."""
    document = orjson.loads(encode(data.draw(STATES)))
    node, key = document, data.draw(st.sampled_from(sorted(document)))
    while isinstance(node[key], (dict, list)) and node[key] and data.draw(st.booleans()):
        node = node[key]
        keys = sorted(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
    node[key] = damage
    try:
        decode(orjson.dumps(document), "state")
    except StateError as error:
        message = str(error)
        if "nothing was changed" not in message:
            raise
