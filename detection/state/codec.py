"""Encodes a state as one JSON document with a version number."""

import gzip
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from typing import Any

import orjson

from detection.errors import StateError
from detection.outbox import Outbox, OutboxPosition, PendingRows, Row, pending
from detection.ranking.baseline import Baseline, DaySets
from detection.ranking.summary import Summary
from detection.rule import ticks
from detection.rule.correlate import GroupKey
from detection.rule.filters import RuleSettings
from detection.rule.ledger import Ledger
from detection.rule.reported import Reported, decode_operations, encode_operations
from detection.state import State
from detection.window import forget_until

VERSION = 4
PREVIOUS_VERSION = 3  # without `known_from`, `reopened_from` and the position of the outbox
_INTEGER_LIMIT = 2**63  # ticks and counts lie in [-limit, limit)
# The errors that decoding a damaged document can raise.
_DAMAGE_ERRORS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, zlib.error)
RECOVERY = (
    "nothing was changed. Restore an earlier copy, or move it away to start a new state, which "
    "examines the last hours again and repeats their findings: run a backfill for earlier hours"
)


def compress(state: State) -> bytes:
    """Return the encoded state, compressed piece by piece to save memory; gzip adds a checksum."""
    compressed = BytesIO()
    # Without a name and a time equal states give equal bytes.
    with gzip.GzipFile("", "wb", compresslevel=6, fileobj=compressed, mtime=0) as file:
        for piece in encoded_pieces(state):
            file.write(piece)
    return compressed.getvalue()


def decompress(compressed: bytes, where: str) -> State:
    """Decode the output of compress(); raises StateError as decode() does."""
    try:
        body = gzip.decompress(compressed)
    except (OSError, EOFError, zlib.error) as error:
        raise StateError(
            f"{where} is damaged ({type(error).__name__}: {error!s:.80}); {RECOVERY}"
        ) from error
    return decode(body, where)


def encode(state: State) -> bytes:
    """Return the encoded state."""
    return b"".join(encoded_pieces(state))


def encoded_pieces(state: State) -> Iterator[bytes]:
    """Yield the encoded state in pieces, because the whole may be large."""
    head = {
        "version": VERSION,
        "watermark": _text_of(state.watermark),
        "arrivals_until": _text_of(state.arrivals_until),
        "watched_from": _text_of(state.watched_from),
        "known_from": state.ledger.known_from,
        "reopened_from": _text_of(state.reopened_from),
        "history": _baseline(state.baseline),
    }
    yield orjson.dumps(head)[:-1] + b',"groups":['
    yield from _listed(map(_group, sorted(state.ledger.groups.items())))
    yield b'],"outbox":{"begin":' + orjson.dumps(list(state.outbox.begin)) + b","
    yield from _waiting(state.outbox.findings)
    yield b'],"runs":['
    yield from _listed(state.outbox.runs)
    yield b"]}}"


def _waiting(findings: Sequence[Row]) -> Iterator[bytes]:
    """Yield the dictionary ("model") and then the findings, each compressed to about a tenth."""
    rows = pending(findings)
    yield b'"model":' + orjson.dumps(b64encode(rows.dictionary).decode()) + b',"findings":['
    yield from _listed(b64encode(body).decode() for body in rows.bodies)


def _listed(items: Iterable[object]) -> Iterator[bytes]:
    comma = b""
    for item in items:
        yield comma + orjson.dumps(item)
        comma = b","


def _group(item: tuple[GroupKey, list[Reported]]) -> dict[str, object]:
    key, findings = item
    return {
        "key": list(key),
        "findings": [
            {
                "id": finding.finding_id,
                "revision": finding.revision,
                "opened": finding.opened,
                "last_seen": finding.last_seen,
                "operations": b64encode(encode_operations(finding.operations())).decode(),
                "summary": b64encode(finding.summary).decode(),
            }
            for finding in findings
        ],
    }


def decode(body: bytes, where: str) -> State:
    """Decode a state; `where` names it in errors.

    Raises StateError, with the way to recover, if it is damaged or written by another release.
    """
    try:
        document = orjson.loads(body)
        version = document["version"]
        if type(version) is int and version == PREVIOUS_VERSION:
            document = _upgrade(document)
        if type(version) is int and version in (PREVIOUS_VERSION, VERSION):
            return _decode_state(document)
    except _DAMAGE_ERRORS as error:
        raise StateError(
            f"{where} is damaged ({type(error).__name__}: {error!s:.80}); {RECOVERY}"
        ) from error
    raise StateError(
        f"{where} has version {version!r:.20}, this program reads {VERSION}: it was written by "
        f"another release; use that release, or: {RECOVERY}"
    )


def _upgrade(document: dict[str, Any]) -> dict[str, Any]:
    """Return a state of the previous version in the current form.

    The previous version did not store `known_from`. It is computed with the default settings, which
    most likely applied when the state was written.
    """
    until, watermark = map(_ticks_of, (document["arrivals_until"], document["watermark"]))
    usual = RuleSettings()
    known_from = 0
    if until is not None and watermark is not None:
        known_from = max(forget_until(usual, watermark, until, until), 0)
    outbox = document["outbox"] | {"begin": [0, 0]}
    return document | {"known_from": known_from, "reopened_from": None, "outbox": outbox}


def _decode_state(document: dict[str, Any]) -> State:
    groups = {}
    written = document["groups"]
    written.reverse()
    while written:
        group = written.pop()  # frees it: both forms of all groups would take much memory
        identity, name, resource_group = map(str, group["key"])
        groups[GroupKey(identity, name, resource_group)] = [
            Reported(
                finding_id=str(finding["id"]),
                revision=int(finding["revision"]),
                opened=_checked_integer(finding["opened"]),
                last_seen=_checked_integer(finding["last_seen"]),
                encoded=encode_operations(
                    decode_operations(b64decode(finding["operations"], validate=True))
                ),
                summary=_checked_summary(finding.get("summary", "")),
            )
            for finding in group["findings"]
        ]
    outbox = document["outbox"]
    return State(
        watermark=_ticks_of(document["watermark"]),
        arrivals_until=_ticks_of(document["arrivals_until"]),
        watched_from=_ticks_of(document["watched_from"]),
        ledger=Ledger(groups, _checked_integer(document["known_from"])),
        outbox=Outbox(
            _findings(outbox),
            [dict(row) for row in outbox["runs"]],
            _checked_position(*outbox["begin"]),
        ),
        baseline=_baseline_of(document["history"]),
        reopened_from=_ticks_of(document["reopened_from"]),
    )


def _findings(outbox: dict[str, Any]) -> PendingRows[Row]:
    """Return the findings that wait, compressed."""
    bodies = [b64decode(body, validate=True) for body in outbox["findings"]]
    rows = PendingRows[Row](b64decode(outbox["model"], validate=True), bodies)
    for row in rows:
        dict(row)  # raises for a damaged row now, and not at the delivery
    return rows


def _checked_summary(written: str) -> bytes:
    """Return the sum of a finding; raises an error if it is damaged. Older states have none."""
    summary = b64decode(written, validate=True)
    Summary.decode(summary)
    return summary


def _checked_integer(written: object) -> int:
    """Return the number of ticks or rows; raises ValueError if it cannot be either."""
    if type(written) is not int or not -_INTEGER_LIMIT <= written < _INTEGER_LIMIT:
        raise ValueError(f"{written!r:.40} is neither a time nor a count")
    return written


def _checked_position(findings: object, runs: object) -> OutboxPosition:
    """Return the position in the outbox; raises ValueError if it cannot be one."""
    position = OutboxPosition(_checked_integer(findings), _checked_integer(runs))
    if min(position) < 0:
        raise ValueError(f"{position!r:.60} is not a position in the outbox")
    return position


def _baseline(baseline: Baseline | None) -> dict[str, Any] | None:
    if baseline is None:
        return None
    return {
        "end_day": baseline.end_day,
        "log_days": baseline.log_days,
        "operations": baseline.operations,
        "groups": baseline.groups,
        "networks": baseline.networks,
    }


def _baseline_of(document: dict[str, Any] | None) -> Baseline | None:
    """Return the stored baseline, if there is one; an earlier release's is not used: read again."""
    if document is None or "log_days" not in document:
        return None
    return Baseline(
        _checked_integer(document["end_day"]),
        _checked_integer(document["log_days"]),
        _day_sets(document["operations"]),
        _day_sets(document["groups"]),
        _day_sets(document["networks"]),
    )


def _day_sets(document: dict[str, Any]) -> DaySets:
    return {
        str(who): {str(subject): _checked_integer(days) for subject, days in known.items()}
        for who, known in document.items()
    }


def _text_of(moment: int | None) -> str | None:
    return None if moment is None else ticks.format_time(moment)


def _ticks_of(text: str | None) -> int | None:
    return None if text is None else ticks.parse_time(text)
