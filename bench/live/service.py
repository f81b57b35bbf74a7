"""A stand-in for a workspace and an ingestion endpoint on loopback, for `python -m bench.live`.

`python -m bench.live.service CASE HOURS` prints its address and serves until its input ends. Its
clock shows the time `HOURS` after the logs end.
"""

import json
import re
import sys
import threading
from collections.abc import Sequence
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bench import rows
from bench.cases import NOW
from bench.live.logs import CASES, OPERATIONS, SIGN_INS, TABLES, folder_of, parts_of
from detection.kql.render import FOLDER
from detection.rule.exclusions import EXCLUSIONS_TABLE
from detection.rule.log_rows import OPERATION_TABLE
from detection.rule.ticks import HOUR, format_time, parse_time
from detection.sources.workspace.context import LATE_CHANGES_SHAPE
from detection.sources.workspace.counts import COUNT_COLUMNS

KINDS = {path.read_text("utf-8").partition("\n")[0]: path.stem for path in FOLDER.glob("*.kql")}
# Answers that do not depend on the query's values.
ALWAYS: dict[str, tuple[Sequence[str], list[Any]]] = {
    "allowlist": (["IPOrRange"], [[entry] for entry in rows.ALLOWLIST]),
    "latest": (["Latest"], [[NOW]]),
    "arrivals": (["Earliest", "Late", "TooLate"], [[None, 0, 0]]),
    "exclusions": (EXCLUSIONS_TABLE.columns, []),
    "actions": ([*OPERATION_TABLE.columns, "IngestionTime"], []),
    "near_misses": (LATE_CHANGES_SHAPE.columns, []),
}


class Workspace:
    """One case's logs, and the answers to the product's queries about them."""

    def __init__(self, folder: Path, hours: int) -> None:
        self._folder = folder
        self._now = format_time(parse_time(NOW) + hours * HOUR)
        self._parts = {table: parts_of(folder, table) for table in TABLES}

    def answer(self, query: str) -> bytes:
        """Answer a query of the product."""
        kind = KINDS[query.partition("\n")[0]]
        if kind.startswith("read_"):
            return self._rows(SIGN_INS if kind == "read_sign_ins" else OPERATIONS, query)
        if kind == "clock":
            return _response(["Now"], [[self._now]])
        if kind in ALWAYS:
            return _response(*ALWAYS[kind])
        if kind == "count_sign_ins":
            counts = [[bucket, part.rows] for bucket, part in self._parts[SIGN_INS].items()]
            return _response(["Bucket", "Matched"], counts)
        if kind == "count_operations":
            names = ["Bucket", *COUNT_COLUMNS]
            counts = []
            for bucket, part in self._parts[OPERATIONS].items():
                pairs = part.rows if bucket in self._parts[SIGN_INS] else 0
                counts.append([bucket, pairs, 0, part.rows - pairs, 0, 0])
            return _response(names, counts)
        raise ValueError(f"{kind} is not expected here")

    def _rows(self, table: str, query: str) -> bytes:
        """Read the rows of a range of buckets from their file."""
        between = re.search(r"Bucket between \((\d+) \.\. (\d+)\)", query)
        if between is None:
            raise ValueError("the query names no buckets")
        low, high = map(int, between.groups())
        parts = [part for bucket, part in self._parts[table].items() if low <= bucket <= high]
        cut = b""
        if parts:
            with (self._folder / f"{table}.rows").open("rb") as file:
                file.seek(parts[0].start)
                cut = file.read(parts[-1].stop - parts[0].start)
        head, tail = _response(list(TABLES[table][0]), []).split(b'"rows": []')
        return b"".join((head, b'"rows": [', cut, b"]", tail))


def _response(columns: Sequence[str], found: Sequence[Sequence[object]]) -> bytes:
    described = [{"name": name, "type": "string"} for name in columns]
    table = {"name": "PrimaryResult", "columns": described, "rows": found}
    return json.dumps({"tables": [table]}).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, workspace: Workspace, *arguments: object) -> None:
        self._workspace = workspace
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_POST(self) -> None:
        """Answer a query, or accept delivered rows."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        taken = "/streams/" in self.path
        content = b"" if taken else self._workspace.answer(json.loads(body)["query"])
        self.send_response(204 if taken else 200)
        self.send_header("Content-Type", "application/json")
        if not taken:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Write no log."""


def main(name: str, hours: int) -> None:
    """Serve a case until the input ends, `hours` after the logs end."""
    handler = partial(_Handler, Workspace(folder_of(CASES[name]), hours))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
