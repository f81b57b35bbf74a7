"""The Logs Ingestion sink, with the real client, against a strict and scripted stand-in."""

import base64
import gzip
import logging
import re
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from io import BytesIO
from typing import Any

import orjson
import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.monitor.ingestion import LogsIngestionClient
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detection.errors import DeliveryError
from detection.outbox import Outbox, Row
from detection.pipeline.invocation import Invocation
from detection.pipeline.job import run
from detection.rule.ticks import HOUR, MINUTE, parse_time
from detection.schema import Finding, columns, empty_run_record
from detection.sinks.ingestion import (
    CALL_BYTES,
    FIELD_BYTES,
    IngestionSink,
    batches,
    encode_row,
    shorten_row,
)
from emulator.services.identity import TOKEN
from emulator.services.ingestion import RULE_ID
from tests.support.services.client import FakeCredential, loopback
from tests.support.services.ingestion import (
    FINDINGS_STREAM,
    RUNS_STREAM,
    Answer,
    IngestionService,
)
from tests.support.simulation import Event, Simulation, Stream

SECRET = "ring-of-the-nibelung"  # noqa: S105 - stands for the content of a row
MOMENT = "2026-03-14T10:00:00.0000000Z"
VALUES: dict[str, object] = {
    "string": SECRET,
    "datetime": MOMENT,
    "dynamic": [SECRET, "b"],
    "long": 2,
    "int": 1,
    "boolean": False,
}
HTML = {"Content-Type": "text/html; charset=utf-8"}
JSON = {"Content-Type": "application/json"}
NAUGHTY = '"\\/\n\x00\x1f\x7f\u2028\xe9\u0130\ud7ff\ue000\uffff\U0001f600\U0010ffff e\u0301'
TEXTS = st.builds(
    lambda text, times, tail: text * times + tail,
    st.text(st.one_of(st.sampled_from(NAUGHTY), st.characters(codec="utf-8")), max_size=12),
    st.integers(0, 30_000),
    st.text(max_size=3),
)
FIELDS = st.one_of(
    TEXTS,
    st.lists(TEXTS, max_size=12),
    st.lists(st.dictionaries(st.text(max_size=3), TEXTS, max_size=3), max_size=3),
    st.integers(0, 9),
    st.none(),
)


def finding(number: int = 0, **values: object) -> Row:
    """Return a row of the findings' table."""
    row = {name: VALUES[kind] for name, kind in columns(Finding)}
    return {**row, "FindingId": str(number), **values}


def run_row(number: int = 0, **values: object) -> Row:
    """Return a row of the runs' table."""
    times = dict.fromkeys(("TimeGenerated", "WindowStart", "WindowEnd"), MOMENT)
    row = {"RunId": str(number), "WorkspaceId": "w", "Status": "Success", "Mode": "Scheduled"}
    return {**empty_run_record(), **times, **row, **values}


def lines(*rows: Row) -> list[bytes]:
    """Return the bytes of rows that are not shortened."""
    return [orjson.dumps(row) for row in rows]


@contextmanager
def sink_of(
    endpoint: str, credential: object = None, *, timeout: float = 5.0, **options: object
) -> Iterator[IngestionSink]:
    """Return a sink with the real client."""
    known: Any = credential or FakeCredential()
    with LogsIngestionClient(endpoint, known, **loopback(**options)) as client:
        yield IngestionSink(
            client,
            rule_id=RULE_ID,
            findings_stream=FINDINGS_STREAM,
            runs_stream=RUNS_STREAM,
            timeout=timeout,
        )


@pytest.fixture
def service() -> Iterator[IngestionService]:
    """Give a new service to each test."""
    with IngestionService() as service:
        yield service


@pytest.fixture
def sink(service: IngestionService) -> Iterator[IngestionSink]:
    """Give a sink that is connected to the service."""
    with sink_of(service.endpoint) as sink:
        yield sink


def delivery_failure(sink: IngestionSink, outbox: Outbox) -> str:
    """Deliver and return the error; it is one line and contains no row and no token."""
    with pytest.raises(DeliveryError) as caught:
        sink.deliver(outbox)
    message = str(caught.value)
    assert "\n" not in message
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in shown
    assert TOKEN not in shown
    return message


def test_rows_arrive_byte_for_byte_and_in_order(
    service: IngestionService, sink: IngestionSink
) -> None:
    """Findings come before run records, oldest first, each as the JSON of its row."""
    found = [finding(n, ResourceGroup=NAUGHTY) for n in range(3)]
    records = [run_row(n, AllowlistInvalid=[NAUGHTY]) for n in range(2)]
    sink.deliver(Outbox(found, records))
    assert service.accepted == {FINDINGS_STREAM: lines(*found), RUNS_STREAM: lines(*records)}
    assert service.order == [FINDINGS_STREAM, RUNS_STREAM]
    assert not service.complaints


def test_an_empty_outbox_makes_no_call(service: IngestionService, sink: IngestionSink) -> None:
    """Without rows there is no call, not even with an empty array."""
    sink.deliver(Outbox())
    sink.deliver(Outbox([], [run_row()]))
    assert service.order == [RUNS_STREAM]


def test_the_token_is_for_azure_monitor(service: IngestionService) -> None:
    """The client requests the ingestion scope and no other."""
    credential = FakeCredential()
    with sink_of(service.endpoint, credential) as sink:
        sink.deliver(Outbox([finding()]))
    assert credential.scopes == ["https://monitor.azure.com/.default"]


@settings(max_examples=12)
@given(
    st.lists(
        st.builds(
            lambda size, text, parts: finding(
                ServicePrincipalName=text * (size // len(text.encode())),
                Resources=[text * 300] * parts,
            ),
            st.integers(0, 70_000),
            st.sampled_from(["a", "\xe9", "\U0001f600", '"', "\x01"]),
            st.integers(0, 60),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_batches_are_within_the_limit_for_any_rows(rows: list[Row]) -> None:
    """The service accepts every batch, and no row is lost or out of order."""
    with IngestionService() as service, sink_of(service.endpoint) as sink:
        sink.deliver(Outbox(rows))
        assert not service.complaints
        assert service.accepted[FINDINGS_STREAM] == [encode_row(row) for row in rows]
        sizes = [len(batch) for batch in service.batches]
        firsts = [len(orjson.dumps(orjson.loads(batch)[0])) for batch in service.batches]
        assert max(sizes) <= CALL_BYTES
        # no batch could have held the row after it
        assert all(
            size + 1 + first > CALL_BYTES for size, first in zip(sizes, firsts[1:], strict=False)
        )


@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_a_batch_is_filled_to_the_last_byte(beyond: int) -> None:
    """Exactly 1,000,000 bytes are one batch, and one byte more makes two."""
    small = [{"n": "x" * 49_990}] * 19
    rest = CALL_BYTES - 2 - 19 * (len(orjson.dumps(small[0])) + 1) - len(b'{"n":""}')
    full = [*small, {"n": "x" * rest}]
    last = {"n": "x" * (rest + beyond)}
    sizes = [len(batch.body) for batch in batches([*full, *small, last])]
    assert sizes[0] == CALL_BYTES
    if beyond > 0:
        assert sizes[2] == len(orjson.dumps(last)) + 2
    else:
        assert sizes[1:] == [CALL_BYTES + beyond]


def test_a_row_larger_than_a_call_is_shortened(
    service: IngestionService, sink: IngestionSink
) -> None:
    """The long fields of a row are shortened until the row fits into a call."""
    texts = [name for name, kind in columns(Finding) if kind == "string"]
    arrays = [name for name, kind in columns(Finding) if kind == "dynamic"]
    long = {
        **finding(),
        **dict.fromkeys(texts, "x" * 70_000),
        **dict.fromkeys(arrays, ["y" * 99] * 900),
    }
    sink.deliver(Outbox([long, finding(1)]))
    row, other = map(orjson.loads, service.accepted[FINDINGS_STREAM])
    assert row["Shortened"]
    assert all(len(orjson.dumps(row[name])) > FIELD_BYTES // 4 - 200 for name in texts + arrays)
    assert other == finding(1)
    assert not service.complaints


def test_long_fields_are_shortened_and_flagged(
    service: IngestionService, sink: IngestionSink
) -> None:
    """A text keeps its beginning, an array its first elements, and the row has the flag."""
    name, items = "\U0001f600" * 30_000, [f"item {n}" + "x" * 500 for n in range(400)]
    row = finding(ServicePrincipalName=name, Resources=items)
    record = run_row(AllowlistInvalid=["y" * 200_000, "z"])
    sink.deliver(Outbox([row, finding(1)], [record, run_row(1)]))
    cut, whole = map(orjson.loads, service.accepted[FINDINGS_STREAM])
    kept = cut["Resources"]
    assert cut["ServicePrincipalName"] == name[: (FIELD_BYTES - 2) // 4]
    assert kept == items[: len(kept)]
    assert len(orjson.dumps(items[: len(kept) + 1])) > FIELD_BYTES
    changed = {"ServicePrincipalName", "Resources", "Shortened"}
    assert {key for key in row if cut[key] != row[key]} == changed
    assert (cut["Shortened"], whole) == (True, finding(1))
    first, second = orjson.loads(service.accepted[RUNS_STREAM][0])["AllowlistInvalid"]
    assert first == "y" * len(first)
    assert len(first) > 4_000
    assert second == "z"
    assert not service.complaints


@pytest.mark.parametrize("beyond", [0, 1])
def test_a_field_is_unchanged_up_to_the_last_byte(beyond: int) -> None:
    """65,535 bytes of JSON are unchanged, and 65,536 are shortened."""
    for value in ("x" * (FIELD_BYTES - 2 + beyond), ["x" * (FIELD_BYTES - 4 + beyond)]):
        row: Row = {"field": value, "Shortened": False}
        assert (shorten_row(row) == row) is not beyond
        assert shorten_row(row)["Shortened"] is bool(beyond)


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from("abcdef"), FIELDS), st.sampled_from([FIELD_BYTES, 99, 20]))
@example({"a": "\U0001f600" * 16_384}, FIELD_BYTES)
@example({"a": [[["\x00" * 99_999]]], "b": {"key": ["y" * 99_999]}}, FIELD_BYTES)
def test_shortening_keeps_the_beginning(row: dict[str, Any], limit: int) -> None:
    """Shortened fields fit, are prefixes of the original, and are not shortened again."""
    short = shorten_row(row, limit)
    assert shorten_row(short, limit) == short
    assert orjson.loads(orjson.dumps(short)) == short
    cut = [name for name in row if len(orjson.dumps(row[name])) > limit]
    assert short.get("Shortened", False) is bool(cut)
    for name, value in row.items():
        kept: Any = short[name]
        assert len(orjson.dumps(kept)) <= limit
        if name not in cut:
            assert kept == value
        elif isinstance(value, str):
            assert value.startswith(kept)
            assert len(orjson.dumps(value[: len(kept) + 1])) > limit
        else:
            assert len(kept) <= len(value)


def test_a_row_without_the_flag_is_delivered_as_it_was_saved(
    service: IngestionService, sink: IngestionSink
) -> None:
    """A row of an older state gets no flag, or the same flag each time."""
    old = {name: value for name, value in finding().items() if name != "Shortened"}
    long = old | {"ResourceGroup": "x" * 99_999}
    outbox = Outbox([old, long])
    sink.deliver(outbox)
    sink.deliver(outbox)
    accepted = service.accepted[FINDINGS_STREAM]
    assert accepted[0] == orjson.dumps(old)
    assert orjson.loads(accepted[1])["Shortened"] is True
    assert accepted[:2] == accepted[2:]


@pytest.mark.parametrize(
    "bad",
    ["\ud800", {1: "x"}, object(), 2**64],
    ids=["half a character", "number as a name", "object", "number beyond 64 bits"],
)
def test_a_row_that_cannot_be_encoded_sends_nothing(
    service: IngestionService, sink: IngestionSink, bad: object
) -> None:
    """All rows are encoded before the first byte is sent."""
    with pytest.raises(DeliveryError, match="nothing was sent"):
        sink.deliver(Outbox([finding(n) for n in range(2000)], [run_row(Reason=bad)]))
    assert not service.bodies


def test_bodies_do_not_depend_on_the_time(service: IngestionService, sink: IngestionSink) -> None:
    """The same outbox gives the same compressed bytes at any time."""
    sink.deliver(Outbox([finding()]))
    sink.deliver(Outbox([finding()]))
    assert service.bodies[0] == service.bodies[1]


def error_of(code: str) -> bytes:
    """Return an error body in the service's form."""
    return orjson.dumps({"error": {"code": code, "message": f"what of {SECRET}?"}})


ERROR = error_of("OperationFailed")
ECHO = f"<html><body>{SECRET} {TOKEN}</body></html>".encode()
ANSWERS = {
    "400": (Answer(400, JSON, ERROR), r"answered 400 \(OperationFailed\).*deploy"),
    "400 page": (Answer(400, HTML, ECHO), r"the answer was 400, but the sender was not .*proxy"),
    "400 empty": (Answer(400), "the answer was 400, but the sender was not the Logs Ingestion API"),
    "400 broken": (Answer(400, JSON, b'{"error":'), "the answer was 400, but the sender was not"),
    "400 other": (
        Answer(400, JSON, b'{"status": "bad"}'),
        "the answer was 400, but the sender was not",
    ),
    "400 deep": (Answer(400, JSON, b"[" * 200_000), "the answer was 400, but the sender was not"),
    "400 stream": (Answer(400, JSON, error_of("InvalidStream")), "LOGS_INGESTION_RULE_ID"),
    "401": (Answer(401, JSON, ERROR), "answered 401.*LOGS_INGESTION_ENDPOINT.*30 minutes"),
    "403": (Answer(403, JSON, ERROR), "403.*Monitoring Metrics Publisher.*30 minutes"),
    "401 empty": (Answer(401), "answered 401: .*AZURE_CLOUD"),
    "401 cloud": (
        Answer(401, JSON, error_of("InvalidAudience")),
        r"\(InvalidAudience\): .*AZURE_CLOUD",
    ),
    "403 page": (Answer(403, HTML, ECHO), "the answer was 403, but the sender was not .*firewall"),
    "403 empty": (Answer(403), "answered 403: .*Monitoring Metrics Publisher"),
    "404 page": (Answer(404, HTML, ECHO), "the answer was 404, but the sender was not"),
    "404": (Answer(404, JSON, ERROR), "answered 404.*LOGS_INGESTION_RULE_ID"),
    "404 empty": (Answer(404), "answered 404: .*LOGS_INGESTION_ENDPOINT"),
    "413": (Answer(413, HTML, ECHO), "answered 413: .*CALL_BYTES"),
    "408": (Answer(408), "answered 408: the service has a problem"),
    "429": (Answer(429, JSON, ERROR), "answered 429.*over its limit"),
    "500": (Answer(500, JSON, ERROR), "answered 500.*has a problem"),
    "502 page": (Answer(502, HTML, ECHO), "answered 502: .*has a problem"),
    "503 broken": (Answer(503, JSON, b'{"error":'), "answered 503: .*has a problem"),
    "503 unknown": (Answer(503, {"Content-Type": "odd/kind"}, b"\xff"), "answered 503: "),
    "503 deep": (Answer(503, JSON, b"[" * 200_000), "answered 503: "),
    "504 without type": (Answer(504, {}, ECHO), "answered 504: .*has a problem"),
    "599": (Answer(599), "answered 599: .*has a problem"),
    "200": (Answer(200, JSON, b"{}"), "answered 200: .*only 204"),
    "200 page": (Answer(200, HTML, ECHO), "answered 200: .*only 204"),
    "200 broken": (Answer(200, JSON, ECHO), "answered 200: .*only 204"),
    "202": (Answer(202), "answered 202: .*only 204"),
    "304": (Answer(304), "answered 304: .*only 204"),
    "409": (Answer(409), "answered 409: .*only 204"),
    "409 code": (Answer(409, JSON, ERROR), r"answered 409 \(OperationFailed\): check LOGS_ING"),
    "code with a row": (
        Answer(400, JSON, orjson.dumps({"error": {"code": SECRET, "message": TOKEN}})),
        "answered 400: ",
    ),
    "unread": (Answer(hang_up="unread"), "connection .* broke"),
    "unanswered": (Answer(hang_up="unanswered"), r"connection .* broke .*RemoteDisconnected"),
    "midway": (Answer(503, JSON, ERROR, hang_up="midway"), "connection .* broke"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_each_failure_names_its_cause_and_loses_nothing(
    service: IngestionService, sink: IngestionSink, name: str
) -> None:
    """The error says what happened and what to do; afterwards the same rows arrive complete."""
    answer, cause = ANSWERS[name]
    outbox = Outbox([finding(n) for n in range(3)], [run_row()])
    service.script(*[answer] * 9)
    message = delivery_failure(sink, outbox)
    assert message.startswith(f"{FINDINGS_STREAM}: rows not accepted: ")
    assert re.search(cause, message)
    assert "next run" not in message  # the caller that keeps the rows knows whether there is one
    assert not any(service.accepted.values())
    service.recover()
    sink.deliver(outbox)
    assert service.accepted == {
        FINDINGS_STREAM: lines(*outbox.findings),
        RUNS_STREAM: lines(*outbox.runs),
    }
    assert len(set(service.bodies)) == 2
    assert not service.complaints


@pytest.mark.parametrize("name", ["429", "500", "502 page", "503 broken", "599", "unread"])
def test_a_temporary_failure_is_tried_four_times(
    service: IngestionService, sink: IngestionSink, name: str
) -> None:
    """A failure that ends within three tries has no effect, and each try sends the whole body."""
    service.script(*[ANSWERS[name][0]] * 3)
    sink.deliver(Outbox([finding()]))
    assert service.accepted[FINDINGS_STREAM] == lines(finding())
    assert len(service.arrivals) == 4
    assert len(set(service.bodies)) == 1
    assert not service.complaints


@pytest.mark.parametrize("name", ["400", "401", "403", "404", "413", "200", "202"])
def test_a_permanent_failure_is_tried_once(
    service: IngestionService, sink: IngestionSink, name: str
) -> None:
    """A refusal is not retried."""
    service.script(ANSWERS[name][0])
    delivery_failure(sink, Outbox([finding()]))
    assert len(service.arrivals) == 1


def test_a_call_whose_answer_was_lost_is_repeated(
    service: IngestionService, sink: IngestionSink
) -> None:
    """Rows that were accepted before the connection broke arrive twice, and are equal."""
    service.script(Answer(hang_up="unanswered", taken=True))
    sink.deliver(Outbox([finding()]))
    assert service.accepted[FINDINGS_STREAM] == lines(finding()) * 2


def test_nothing_is_sent_after_a_failed_call(
    service: IngestionService, sink: IngestionSink
) -> None:
    """After a failure nothing is sent, so rows arrive oldest first."""
    rows = [finding(n, ResourceGroup="x" * 60_000) for n in range(40)]
    service.script(Answer(taken=True), Answer(403))
    message = delivery_failure(sink, Outbox(rows, [run_row()]))
    assert "403" in message
    assert service.order == [FINDINGS_STREAM]
    assert (
        service.accepted[FINDINGS_STREAM] == lines(*rows)[: len(orjson.loads(service.batches[0]))]
    )


@pytest.mark.parametrize("status", [400, 404, 413])
def test_a_refused_stream_does_not_stop_the_other(
    status: int, service: IngestionService, sink: IngestionSink
) -> None:
    """Run records arrive though findings are refused, and the error counts the rows of each."""
    rows = [finding(n, ResourceGroup="x" * 60_000) for n in range(40)]
    body = b'{"error": {"code": "InvalidRequest", "message": "no"}}'
    refusal = Answer(status, {"Content-Type": "application/json"}, body)
    service.script(Answer(taken=True), refusal)
    with pytest.raises(DeliveryError) as caught:
        sink.deliver(Outbox(rows, [run_row(), run_row(1)]))
    assert service.order == [FINDINGS_STREAM, RUNS_STREAM]
    assert caught.value.taken == (len(service.accepted[FINDINGS_STREAM]), 2)
    assert 0 < caught.value.taken[0] < 40


def test_the_failed_stream_is_named(service: IngestionService, sink: IngestionSink) -> None:
    """An error about run records does not name the findings."""
    service.script(Answer(taken=True), Answer(404))
    assert delivery_failure(sink, Outbox([finding()], [run_row()])).startswith(RUNS_STREAM)


def test_retry_after_is_obeyed(service: IngestionService, sink: IngestionSink) -> None:
    """The client waits as long as Retry-After says."""
    service.script(Answer(429, {"Retry-After": "1"}))
    sink.deliver(Outbox([finding()]))
    began, again = service.arrivals
    assert again - began >= 1
    assert service.accepted[FINDINGS_STREAM] == lines(finding())


LATER = format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)


@pytest.mark.parametrize(
    "headers",
    [{"Retry-After": "86400"}, {"Retry-After": LATER}, {"x-ms-retry-after-ms": "7200000"}],
    ids=["seconds", "date", "milliseconds"],
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_long_wait_is_left_to_a_later_run(
    service: IngestionService, sink: IngestionSink, status: int, headers: dict[str, str]
) -> None:
    """A service that asks for a wait of hours does not block the function."""
    service.script(Answer(status, headers))
    began = time.monotonic()
    assert f"{status} and asked to wait" in delivery_failure(sink, Outbox([finding()]))
    assert time.monotonic() - began < 60  # far from an hour


@pytest.mark.parametrize("header", ["Retry-After", "retry-after-ms", "x-ms-retry-after-ms"])
@pytest.mark.parametrize("wait", ["soon", "", "Fri, 99 Foo 2026 99:99:99 GMT"])
def test_204_means_accepted_with_any_headers(
    service: IngestionService, sink: IngestionSink, header: str, wait: str
) -> None:
    """A 204 is a success, even beside a Retry-After that cannot be read."""
    service.script(Answer(204, {header: wait}, taken=True))
    sink.deliver(Outbox([finding()]))
    assert len(service.arrivals) == 1


@pytest.mark.parametrize("header", ["Retry-After", "x-ms-retry-after-ms"])
@pytest.mark.parametrize("status", [429, 503])
def test_an_unreadable_retry_after_is_ignored(
    service: IngestionService, sink: IngestionSink, status: int, header: str
) -> None:
    """A temporary failure with an unreadable Retry-After is retried as if it had none."""
    service.script(Answer(status, {header: "soon"}))
    sink.deliver(Outbox([finding()]))
    assert len(service.arrivals) == 2
    service.script(*[Answer(status, {header: "soon"})] * 9)
    assert f"answered {status}: " in delivery_failure(sink, Outbox([finding()]))


def test_a_silent_service_is_a_failed_delivery(service: IngestionService) -> None:
    """A service that accepts a connection and never answers is a failed delivery."""
    service.script(*[Answer(delay=1.0)] * 4)
    with sink_of(service.endpoint, timeout=0.2, retry_total=1) as sink:
        assert "no complete answer within 0.2 s" in delivery_failure(sink, Outbox([finding()]))


@pytest.mark.parametrize("status", [200, 403, 503])
def test_a_dripping_answer_ends_with_the_call(service: IngestionService, status: int) -> None:
    """An answer that comes byte by byte has the time of the call and no more."""
    service.script(*[Answer(status, JSON, ERROR, drip=0.02)] * 4)
    with sink_of(service.endpoint, timeout=0.4) as sink:
        began = time.monotonic()
        assert "no complete answer within 0.4 s" in delivery_failure(sink, Outbox([finding()]))
        assert time.monotonic() - began < 2
        time.sleep(0.02 * len(ERROR))  # the connection is closed after the answer
    assert len(service.arrivals) == 1


def test_retries_and_waits_end_with_the_call(service: IngestionService) -> None:
    """A service that asks for one short wait after another is given up in time."""
    service.script(*[Answer(429, {"x-ms-retry-after-ms": "300"})] * 20)
    with sink_of(service.endpoint, timeout=1.0) as sink:
        began = time.monotonic()
        assert "429" in delivery_failure(sink, Outbox([finding()]))
        assert time.monotonic() - began < 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(
    service: IngestionService, sink: IngestionSink, status: int
) -> None:
    """Rows and token go to the configured endpoint only, and never with an empty body."""
    with IngestionService() as elsewhere:
        service.script(Answer(status, {"Location": f"{elsewhere.endpoint}/elsewhere"}))
        assert f"answered {status}" in delivery_failure(sink, Outbox([finding()]))
        assert not elsewhere.arrivals
    assert not service.complaints


def test_a_renewed_token_sends_the_whole_body_again(
    service: IngestionService,
) -> None:
    """After a claims challenge the client repeats the call with another token and all rows."""
    claims = base64.b64encode(b'{"access_token":{}}').decode()
    challenge = f'Bearer realm="", error="insufficient_claims", claims="{claims}"'
    service.script(Answer(401, {"WWW-Authenticate": challenge}))
    credential = FakeCredential()
    with sink_of(service.endpoint, credential) as sink:
        sink.deliver(Outbox([finding()]))
    assert credential.claims == ['{"access_token":{}}']
    assert service.accepted[FINDINGS_STREAM] == lines(finding())
    assert not service.complaints


def test_a_wrong_token_is_a_failed_delivery(service: IngestionService) -> None:
    """A 401 of the service is not reported as a credential without a token."""
    with sink_of(service.endpoint, FakeCredential("another")) as sink:
        assert "answered 401 (Refused): the token was refused" in delivery_failure(
            sink, Outbox([finding()])
        )


class NoCredential(FakeCredential):
    """A credential that has no token."""

    def get_token_info(self, *scopes: str, options: object = None) -> Any:
        """Fail as azure-identity does."""
        del scopes, options
        raise ClientAuthenticationError(message="no response from IMDS\nAttempted: a, b, c")


def test_a_missing_token_is_a_failed_delivery(service: IngestionService) -> None:
    """A credential without a token is named as the cause, and nothing is sent."""
    with sink_of(service.endpoint, NoCredential()) as sink:
        message = delivery_failure(sink, Outbox([finding()]))
    assert (
        ": rows not sent: no token was obtained: no response from IMDS Attempted: a, b, c"
        in message
    )
    assert not service.arrivals


@pytest.mark.parametrize(
    ("endpoint", "cause"),
    [
        ("http://127.0.0.1:9", "Connection refused"),
        ("http://nowhere.invalid", r"cannot be reached \((?!ServiceRequestError)"),
        ("https://127.0.0.1:{port}", "SSL"),
    ],
    ids=["refused", "no such host", "not TLS"],
)
def test_an_unreachable_endpoint_is_named(
    service: IngestionService, endpoint: str, cause: str
) -> None:
    """The error has the system's words for the cause, and names the setting to check."""
    port = service.endpoint.rpartition(":")[2]
    with sink_of(endpoint.replace("{port}", port)) as sink:
        message = delivery_failure(sink, Outbox([finding()]))
    assert re.search(cause, message)


def test_plain_http_is_refused() -> None:
    """Without a test's permission the client sends its token over TLS only."""
    with sink_of("http://127.0.0.1:9", per_call_policies=[]) as sink:
        assert "LOGS_INGESTION_ENDPOINT (https)" in delivery_failure(sink, Outbox([finding()]))


def test_nothing_secret_is_logged(
    service: IngestionService, sink: IngestionSink, caplog: pytest.LogCaptureFixture
) -> None:
    """Even at DEBUG, neither the token nor rows are in the logs, for any answer."""
    caplog.set_level(logging.DEBUG)
    outbox = Outbox([finding()], [run_row(Reason=SECRET)])
    sink.deliver(outbox)
    for answer, _ in ANSWERS.values():
        service.script(*[answer] * 4)
        delivery_failure(sink, outbox)
        service.recover()
    assert "Request URL" in caplog.text
    assert SECRET not in caplog.text
    assert TOKEN not in caplog.text


NOW = parse_time("2026-03-14T10:00:00Z")


def events(where: Callable[[int], str]) -> list[Event]:
    """Return an event of each of four hours."""
    times = [NOW + hour * HOUR - 30 * MINUTE for hour in range(4)]
    return [
        Event(time, time, f"identity-{hour}", where(hour), f"{where(hour)} {hour}")
        for hour, time in enumerate(times)
    ]


def test_waiting_rows_of_a_failing_service_arrive_oldest_first(
    service: IngestionService, sink: IngestionSink
) -> None:
    """Hours of failure delay the rows of a job, and change neither a byte nor their order."""
    stream = Stream(events(lambda _: "Azure Key Vault"), events(lambda hour: f"group-{hour}"))
    calm = Simulation(stream)
    failing = Simulation(stream)
    waiting = []
    for hour in range(4):
        now = NOW + hour * HOUR
        calm.run(now)
        service.script(*[Answer(503)] * 99 if hour < 3 else [])
        outcome = run(failing, sink, failing, Invocation("workspace", now))
        service.recover()
        waiting.append(len(failing.load()[0].outbox))
        assert bool(outcome.failures) is (hour < 3)
        assert all("answered 503" in reason for reason in outcome.failures)
    assert waiting == [2, 4, 6, 0]
    found = service.accepted[FINDINGS_STREAM]
    assert [orjson.loads(row)["ResourceGroup"] for row in found] == [
        f"group-{hour}" for hour in range(4)
    ]
    assert found == [row for row in calm.delivered if b'"FindingId"' in row]
    assert [orjson.loads(row)["WindowEnd"] for row in service.accepted[RUNS_STREAM]] == [
        orjson.loads(row)["WindowEnd"] for row in calm.delivered if b'"Status"' in row
    ]
    assert not service.complaints


def test_the_client_does_not_compress_again(service: IngestionService) -> None:
    """The client recognises gzip and does not compress the body again, as the sink needs."""
    row = finding()
    body = gzip.compress(b"[" + orjson.dumps(row) + b"]")
    credential: Any = FakeCredential()
    with LogsIngestionClient(service.endpoint, credential, **loopback()) as client:
        client.upload(RULE_ID, FINDINGS_STREAM, BytesIO(body))
    assert service.bodies == [body]


def changed(**values: object) -> bytes:
    """Return a call's body with one changed finding."""
    return orjson.dumps([{**finding(), **values}])


BAD = {
    "an object": (orjson.dumps(finding()), 400),
    "cut": (changed()[:-9], 400),
    "not UTF-8": (changed().replace(b"ring", b"\xff"), 400),
    "half a character": (changed().replace(b"ring", b"\\ud800"), 400),
    "a column twice": (changed().replace(b"[{", b'[{"Revision":1,'), 400),
    "another column": (changed(Title="x"), 400),
    "no time": (changed().replace(b"TimeGenerated", b"FirstEvent"), 400),
    "a time without zone": (changed(FirstEvent="2026-03-14T10:00:00"), 400),
    "text for a number": (changed(Revision="1"), 400),
    "truth for a number": (changed(Revision=True), 400),
    "a number beyond int": (changed(Revision=2**31), 400),
    "a fraction": (changed(NewOperations=1.5), 400),
    "null for text": (changed(FindingId=None), 400),
    "text for an array": (changed(Resources="x"), 400),
    "a number for truth": (changed(Shortened=0), 400),
    "a long field": (changed(ResourceGroup="x" * (FIELD_BYTES - 1)), 400),
    "too much": (b"[" + b",".join(lines(*[finding()] * 2000)) + b"]", 413),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("packed", [True, False], ids=["gzip", "plain"])
def test_the_stand_in_accepts_only_valid_calls(
    service: IngestionService, name: str, packed: bool
) -> None:
    """Each kind of wrong call is a complaint, so a test without complaints had valid calls."""
    content, status = BAD[name]
    credential: Any = FakeCredential()
    with (
        LogsIngestionClient(service.endpoint, credential, **loopback()) as client,
        pytest.raises(HttpResponseError) as caught,
    ):
        client.upload(
            RULE_ID, FINDINGS_STREAM, BytesIO(gzip.compress(content) if packed else content)
        )
    assert caught.value.status_code == (status if packed else 400)
    assert len(service.complaints) == 1
    assert not service.order


@pytest.mark.parametrize(
    ("rule_id", "stream"), [("dcr-another", FINDINGS_STREAM), (RULE_ID, "Custom-Another_CL")]
)
def test_the_stand_in_knows_its_rule_and_streams(
    service: IngestionService, rule_id: str, stream: str
) -> None:
    """An unknown rule or stream is not found, and the sink blames the settings."""
    credential: Any = FakeCredential()
    with LogsIngestionClient(service.endpoint, credential, **loopback()) as client:
        sink = IngestionSink(client, rule_id=rule_id, findings_stream=stream, runs_stream="-")
        assert "404 (Refused): check LOGS_INGESTION_RULE_ID" in delivery_failure(
            sink, Outbox([finding()])
        )
    assert len(service.complaints) == 1
