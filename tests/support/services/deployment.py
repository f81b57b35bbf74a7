"""A stand-in for the deployment service of a function app, and an Azure CLI that leads there.

Its answers are those that Azure's own tools expect: the Azure CLI's enable_zip_deploy_flex
(Azure/azure-cli, appservice/custom.py), azd's funcapp_host_client.go (Azure/azure-dev) and
azure-app-kudu-service.ts (Azure/functions-action). No text of the service itself was at hand.
"""

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from emulator.services.tls import Authority

ID = "5d0a1c2e-0000-4000-8000-000000000001"
DONE = {"id": ID, "status": 4, "complete": True}
ACCEPTED = (202, ID)

# Notes how it was called, and answers like the Azure CLI with a login.
AZ = """\
#!/bin/sh
printf '%s\\n' "$*" >>"$CALLS"
case "$1 $2" in
"resource show") echo "$SCM_HOST" ;;
"account get-access-token") echo a-token ;;
*) exit 2 ;;
esac
"""


@dataclass
class Scm:
    """The deployment service: what it answers, and what it was asked.

    The last answer of each list is given again and again; None closes the connection.
    """

    publish: list[tuple[int, object] | None] = field(default_factory=lambda: [ACCEPTED])
    poll: list[tuple[int, object]] = field(default_factory=lambda: [(200, DONE)])
    logs: dict[str, object] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    received: list[bytes] = field(default_factory=list)


def handler(scm: Scm) -> type[BaseHTTPRequestHandler]:
    """Return the handler that answers for `scm`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            scm.received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer(scm.publish.pop(0) if len(scm.publish) > 1 else scm.publish[0])

        def do_GET(self) -> None:
            if self.path in scm.logs:
                self.answer((200, scm.logs[self.path]))
            elif self.path == f"/api/deployments/{ID}":
                self.answer(scm.poll.pop(0) if len(scm.poll) > 1 else scm.poll[0])
            else:
                self.answer((404, "nothing here"))

        def answer(self, given: tuple[int, object] | None) -> None:
            scm.asked.append((self.command, self.path))
            scm.tokens.add(self.headers["Authorization"])
            if given is None:
                self.close_connection = True
                return
            body = json.dumps(given[1]).encode()
            self.send_response(given[0])
            if given[0] == 302:
                self.send_header("Location", f"https://{self.headers['Host']}/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            del format, args

    return Handler


@contextlib.contextmanager
def served(scm: Scm, folder: Path) -> Iterator[dict[str, str]]:
    """Serve over TLS, and yield the environment of a process whose az leads there."""
    az = folder / "bin" / "az"
    az.parent.mkdir()
    az.write_text(AZ)
    az.chmod(0o755)
    authority = Authority(folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler(scm)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        with authority.in_front_of(f"http://127.0.0.1:{server.server_port}") as endpoint:
            yield {
                "PATH": f"{az.parent}:{os.environ['PATH']}",
                "CALLS": str(folder / "calls"),
                "SCM_HOST": endpoint.removeprefix("https://"),
                "SSL_CERT_FILE": str(authority.bundle),
                "NO_PROXY": "127.0.0.1",
            }
        server.shutdown()
        thread.join()
