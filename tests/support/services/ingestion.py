"""The emulated Logs Ingestion service, which keeps what it was sent and can fail as scripted.

It keeps every complaint about a call, so that a test can assert that there was none.
"""

import json
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from emulator.services.identity import TOKEN
from emulator.services.ingestion import Refused, check

FINDINGS_STREAM = "Custom-ManagedIdentityImpact_CL"
RUNS_STREAM = "Custom-ManagedIdentityImpactRuns_CL"


@dataclass(frozen=True)
class Answer:
    """A scripted answer to any call.

    Its body takes `drip` seconds a byte. `hang_up` closes the connection: "unread" before the
    call's body is read, "unanswered" after, "midway" inside the answer's body. With `taken` the
    call's rows count as accepted.
    """

    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay: float = 0.0
    drip: float = 0.0
    hang_up: str = ""
    taken: bool = False


class IngestionService:
    """The service, which runs inside a `with` block."""

    def __init__(self, *, token: str = TOKEN) -> None:
        self.accepted: dict[str, list[bytes]] = {FINDINGS_STREAM: [], RUNS_STREAM: []}
        self.order: list[str] = []  # the stream of each call that was accepted
        self.batches: list[bytes] = []  # the accepted arrays
        self.bodies: list[bytes] = []  # the body of every call, as sent
        self.arrivals: list[float] = []  # the time of each call
        self.complaints: list[str] = []
        self.pace = 0.0  # seconds before rows are accepted, and again before the answer
        self._token = token
        self._script: deque[Answer] = deque()
        self._lock = threading.Lock()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.005,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        """Return the service's address."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def script(self, *answers: Answer) -> None:
        """Script answers to the next calls, one each; later calls are served."""
        self._script.extend(answers)

    def recover(self) -> None:
        """Drop the rest of the script."""
        self._script.clear()

    def answer(self) -> Answer | None:
        """Return the next scripted answer."""
        self.arrivals.append(time.monotonic())
        with self._lock:
            return self._script.popleft() if self._script else None

    def take(self, target: str, headers: Mapping[str, str], body: bytes) -> None:
        """Accept all rows of a call or none; raise Refused."""
        try:
            delivery = check(target, headers, body, self._token)
        except Refused as refusal:
            self.complaints.append(str(refusal))
            raise
        with self._lock:
            self.order.append(delivery.stream)
            self.batches.append(delivery.batch)
            self.accepted[delivery.stream].extend(delivery.rows)


class _Server(ThreadingHTTPServer):
    """A server that knows its service."""

    def __init__(self, service: IngestionService) -> None:
        self.service = service
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that close the connection; raise any other error."""
        del request, client_address
        error = sys.exception()
        if not isinstance(error, ConnectionError):
            self.service.complaints.append(f"the stand-in failed: {error!r}")


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # otherwise an answer on an open connection takes 40 ms
    timeout = 10.0

    def do_POST(self) -> None:
        """Answer from the script, else check the call."""
        service = self.server.service
        scripted = service.answer()
        if scripted is not None and scripted.hang_up == "unread":
            self._reset()
            return
        body = self._body()
        if len(body) < int(self.headers.get("Content-Length", 0)):  # the client died: no call
            self.close_connection = True
            return
        service.bodies.append(body)
        time.sleep(service.pace)
        answer = scripted or Answer(taken=True)
        if answer.taken:
            try:
                service.take(self.path, dict(self.headers.items()), body)
            except Refused as refusal:
                message = {"error": {"code": "Refused", "message": str(refusal)}}
                json_type = {"Content-Type": "application/json"}
                answer = Answer(refusal.status, json_type, json.dumps(message).encode())
        time.sleep(answer.delay or service.pace)
        if answer.hang_up == "unanswered":
            self.close_connection = True
            return
        with suppress(ConnectionError):  # the client closed the connection without waiting
            self._answer(answer)

    def do_GET(self) -> None:
        """Complain, since the product never reads from this service."""
        self.server.service.complaints.append(f"GET {self.path}")
        self._answer(Answer(405))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Write no log."""

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length")
        if length is None:
            self.server.service.complaints.append("a body without its length")
            self.close_connection = True
        return self.rfile.read(int(length or 0))

    def _answer(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        midway = answer.hang_up == "midway"
        body = answer.body[: len(answer.body) // 2] if midway else answer.body
        size = 1 if answer.drip else len(body)
        for start in range(0, len(body), size or 1):
            self.wfile.write(body[start : start + size])
            self.wfile.flush()
            time.sleep(answer.drip)
        self.close_connection |= midway

    def _reset(self) -> None:
        self.close_connection = True
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()
