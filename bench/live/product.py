"""The product in a process of its own: one window of a workspace, read, detected, delivered.

`python -m bench.live.product ADDRESS FOLDER TOGETHER HOURS` runs it through the real clients, keeps
its state in FOLDER, and prints what it came to and what it cost.
"""

import json
import logging
import re
import sys
import time
from pathlib import Path

from azure.monitor.ingestion import LogsIngestionClient
from azure.monitor.query import LogsQueryClient

from bench.cases import NOW
from detection.pipeline.workspaces import Connections, run_workspaces
from detection.rule.ticks import HOUR, parse_time
from detection.settings import rule_settings
from detection.sinks.ingestion import IngestionSink
from detection.sources.log_analytics.client import Limits
from detection.sources.workspace.source import WorkspaceSource
from detection.state.folder import FolderStore
from tests.support.services.client import FakeCredential, loopback

WORKSPACE = "11111111-2222-3333-4444-555555555555"


def main(address: str, folder: Path, together: int, hours: int) -> dict[str, object]:
    """Run once, `hours` after the logs end; return the counts, the seconds and the megabytes."""
    started, credential = time.perf_counter(), FakeCredential()
    with (
        LogsQueryClient(credential, endpoint=address, **loopback()) as client,
        LogsIngestionClient(address, credential, **loopback()) as ingestion,
    ):
        source = WorkspaceSource(
            client=client,
            workspace_id=WORKSPACE,
            limits=Limits(rows_per_partition=together, rows_in_process=float("inf")),
        )
        sink = IngestionSink(
            ingestion, rule_id="dcr-bench", findings_stream="findings", runs_stream="runs"
        )
        (record,) = run_workspaces(
            [WORKSPACE],
            lambda _: Connections(source, sink, FolderStore(folder)),
            rule_settings({}),
            now=parse_time(NOW) + hours * HOUR,
            has_time=lambda: True,
        )
    status = Path("/proc/self/status").read_text("utf-8")
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    return {
        "seconds": time.perf_counter() - started,
        "cpu": time.process_time(),
        "peak": int(peak[1]) * 1024 / 1e6 if peak else float("nan"),
        "state": sum(path.stat().st_size for path in folder.iterdir()) / 1e6,
        "record": record,
    }


if __name__ == "__main__":
    logging.disable()
    where, kept, at_once, later = sys.argv[1:]
    print(json.dumps(main(where, Path(kept), int(at_once), int(later))))
