"""Real processes are killed at random times, and later runs continue from what they left."""

import logging
import random
import subprocess
import sys
import time
from collections import Counter
from itertools import chain
from pathlib import Path

import orjson
import pytest

from detection.rule.ticks import HOUR, format_time
from detection.state.blob import BlobStore
from tests.support import ROOT
from tests.support.effort import effort
from tests.support.random_streams import BEGIN, assert_each_reported_once, random_stream, tables_of
from tests.support.services.environment import stand_in_environment
from tests.support.services.ingestion import IngestionService
from tests.support.services.log_analytics import WORKSPACE, LogAnalyticsService
from tests.support.services.servers import Containers

KILLS = effort(desk=6, ci=12)
ATTEMPTS = 60  # until not all were killed in the same phase
HOURS = KILLS  # of sign-ins and operations
LATEST = 3 * HOUR
# Seconds that the stand-ins take over each answer, so that there is time between two steps.
QUERY_PACE, DELIVERY_PACE = 0.02, 0.2
PHASES = ("before the commit", "between commit and delivery", "after the delivery")

log = logging.getLogger(__name__)


class Runs:
    """Processes over a workspace of stand-ins."""

    def __init__(
        self,
        environment: dict[str, str],
        logs: LogAnalyticsService,
        ingestion: IngestionService,
        store: BlobStore,
    ) -> None:
        self._environment = environment
        self._logs = logs
        self._ingestion = ingestion
        self._store = store

    def start(self, now: int) -> subprocess.Popen[str]:
        """Start a run and wait until it has imported everything."""
        self._logs.present = now
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.services.invocation", format_time(now)],
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
        return process

    def run(self, now: int) -> int:
        """Run to the end; return the number of requests."""
        before = self.requests()
        with self.start(now) as process:
            _, said = process.communicate(timeout=300)
            assert process.returncode == 0, said
        return self.requests() - before

    def kill(self, now: int, request: int, after: float) -> bool:
        """Kill a run some seconds after one of its requests; return False if it ended before.

        Requests measure the progress of a run independently of the machine's speed.
        """
        last = self.requests() + request
        with self.start(now) as process:
            while self.requests() < last and process.poll() is None:
                time.sleep(0.005)
            time.sleep(after)
            process.kill()
            process.communicate()
        return process.returncode < 0

    def requests(self) -> int:
        """Return the number of requests so far."""
        return len(self._logs.calls) + len(self._ingestion.arrivals)

    def taken(self) -> list[bytes]:
        """Return all rows that the stand-in accepted."""
        return [*chain.from_iterable(self._ingestion.accepted.values())]

    def phase(self, watermark: int | None) -> str:
        """Return the phase that a run with this watermark reached."""
        state = self._store.load()[0]
        waiting = {orjson.dumps(row) for row in (*state.outbox.findings, *state.outbox.runs)}
        if state.watermark == watermark:
            return PHASES[0]
        return PHASES[1 if waiting - set(self.taken()) else 2]


@pytest.mark.seeded
def test_with_kills_in_every_phase_each_operation_is_reported_once(
    containers: Containers, tmp_path: Path, first_seed: int
) -> None:
    """Processes killed in all phases of a run, an hour apart, lose and repeat nothing."""
    rng = random.Random(first_seed or 20)  # noqa: S311 - repeatable, not secret
    stream = random_stream(rng, HOURS, LATEST)
    container = containers.new()
    store = BlobStore(container=container, workspace_id=WORKSPACE)
    phases = Counter[str]()
    with (
        LogAnalyticsService(tables_of(stream)) as logs,
        IngestionService() as ingestion,
        stand_in_environment(tmp_path, logs, ingestion, container) as environment,
    ):
        logs.pace, ingestion.pace = QUERY_PACE, DELIVERY_PACE
        runs = Runs(environment, logs, ingestion, store)
        runs.run(BEGIN)
        # A run with new findings sends more requests, for their context.
        first_hours = [BEGIN + hour * HOUR for hour in range(1, 5)]
        requests = max(map(runs.run, first_hours))
        now = first_hours[-1]
        attempts = 0
        while phases.total() < KILLS or (len(phases) == 1 and attempts < ATTEMPTS):
            attempts += 1
            now += HOUR
            watermark = store.load()[0].watermark
            # A later run may send more requests: reading the context of findings takes some.
            if runs.kill(now, rng.randint(0, 2 * requests), rng.uniform(0, DELIVERY_PACE)):
                phases[runs.phase(watermark)] += 1
        seen = max(event.arrival + event.unseen_for for event in stream.events())
        while True:
            runs.run(now := now + HOUR)
            if now >= seen:
                break
        assert logs.complaints == ingestion.complaints == []
    log.info("killed %s", dict(phases))  # --log-cli-level=INFO shows it
    assert len(phases) > 1
    assert_each_reported_once(runs.taken(), stream)
    assert len(store.load()[0].outbox) == 0
