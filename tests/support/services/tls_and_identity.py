"""The environment of the stand-in services: TLS in front of them, and a token endpoint.

With these, environment variables alone make a process use the stand-ins as if they were Azure:
`REQUESTS_CA_BUNDLE` for the certificates, `IDENTITY_ENDPOINT` and `IDENTITY_HEADER` for tokens.
"""

import contextlib
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import trustme
from azure.storage.blob import ContainerClient

from tests.support.services.client import TOKEN
from tests.support.services.ingestion import RULE_ID, IngestionService
from tests.support.services.log_analytics import WORKSPACE, LogAnalyticsService

IDENTITY_HEADER = "only-for-stand-ins"


class Authority:
    """A certificate authority for one test."""

    def __init__(self, folder: Path) -> None:
        """Write the authority's certificate, which clients must trust, to a file in `folder`."""
        authority = trustme.CA()
        self.bundle = folder / "authority.pem"
        authority.cert_pem.write_to_path(str(self.bundle))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self._context)

    @contextlib.contextmanager
    def in_front_of(self, endpoint: str) -> Iterator[str]:
        """Forward TLS connections to a plain endpoint, and yield the https address."""
        port = urlsplit(endpoint).port
        with socket.create_server(("127.0.0.1", 0)) as listener:
            accepting = threading.Thread(target=self._accept, args=(listener, port), daemon=True)
            accepting.start()
            yield f"https://127.0.0.1:{listener.getsockname()[1]}"
            # A thread in accept() is not woken by close(), but by shutdown().
            listener.shutdown(socket.SHUT_RDWR)
        accepting.join()

    def _accept(self, listener: socket.socket, port: int) -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                plain, _ = listener.accept()
                threading.Thread(target=self._serve, args=(plain, port), daemon=True).start()

    def _serve(self, plain: socket.socket, port: int) -> None:
        with (
            contextlib.suppress(OSError),
            self._context.wrap_socket(plain, server_side=True) as outside,
            socket.create_connection(("127.0.0.1", port)) as inside,
        ):
            for side in (outside, inside):  # otherwise data in two pieces takes 40 ms
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=_copy, args=(inside, outside), daemon=True)
            back.start()
            _copy(outside, inside)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def stand_in_environment(
    folder: Path, logs: LogAnalyticsService, ingestion: IngestionService, container: ContainerClient
) -> Iterator[dict[str, str]]:
    """Yield the environment of a process that uses the stand-ins; certificates go to `folder`."""
    authority = Authority(folder)
    with (
        identity_endpoint() as identity,
        authority.in_front_of(logs.endpoint) as query_endpoint,
        authority.in_front_of(ingestion.endpoint) as ingestion_endpoint,
    ):
        yield {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            **identity,
            "REQUESTS_CA_BUNDLE": str(authority.bundle),
            "WORKSPACE_IDS": WORKSPACE,
            "LOGS_QUERY_ENDPOINT": query_endpoint,
            "LOGS_INGESTION_ENDPOINT": ingestion_endpoint,
            "LOGS_INGESTION_RULE_ID": RULE_ID,
            "STATE_ACCOUNT_URL": container.url.removesuffix(f"/{container.container_name}"),
            "STATE_CONTAINER": container.container_name,
        }


@contextlib.contextmanager
def identity_endpoint() -> Iterator[dict[str, str]]:
    """Serve tokens as an app's managed identity; yield the environment that points here."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Identity))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.005,))
    thread.start()
    try:
        yield {
            "IDENTITY_ENDPOINT": f"http://127.0.0.1:{server.server_address[1]}/msi/token",
            "IDENTITY_HEADER": IDENTITY_HEADER,
        }
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Identity(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answer with the token that the stand-ins accept."""
        parameters = parse_qs(urlsplit(self.path).query)
        allowed = (
            self.headers.get("X-IDENTITY-HEADER") == IDENTITY_HEADER and "resource" in parameters
        )
        token = {
            "access_token": TOKEN,
            "expires_on": str(int(time.time()) + 3600),
            "resource": parameters.get("resource", [""])[0],
            "token_type": "Bearer",
        }
        refusal = {"statusCode": 400, "message": "No such identity."}
        body = json.dumps(token if allowed else refusal).encode()
        self.send_response(200 if allowed else 400)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
