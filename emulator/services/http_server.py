"""A small HTTP server on a free port of the loopback interface."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class LoopbackServer:
    """Serves requests in threads of its own, inside a `with` block."""

    def __init__(self, handler: Callable[..., BaseHTTPRequestHandler]) -> None:
        """Take the class of the handlers, or what makes one from the usual arguments."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.005,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def endpoint(self) -> str:
        """Return the server's address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"


class QuietHandler(BaseHTTPRequestHandler):
    """Answers requests on connections that stay open, and writes no log."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # otherwise an answer on an open connection takes 40 ms

    def log_message(self, *_: Any) -> None:
        """Write no log."""

    def body(self) -> bytes:
        """Return the body of the request."""
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, status: int, document: object) -> None:
        """Send a JSON document; a 204 has none."""
        body = b"" if status == 204 else json.dumps(document).encode()
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
