"""TLS in front of the emulated services, since Azure's clients send tokens to https only."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import trustme


class Authority:
    """A certificate authority for the services of one emulator."""

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
