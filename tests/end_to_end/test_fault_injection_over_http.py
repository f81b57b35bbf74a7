"""Days of faults with the real clients, whose services fail in every known way.

A failing test names the seed of its day.
"""

import random
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from operator import itemgetter

import pytest
from azure.core.exceptions import ServiceResponseError

from detection.errors import StateError
from detection.pipeline.invocation import Invocation, Outcome
from detection.pipeline.job import run
from detection.rule.ticks import HOUR, MINUTE
from detection.sources.log_analytics.client import Limits
from detection.sources.workspace.source import WorkspaceSource
from tests.sinks import test_ingestion
from tests.sources.workspace import test_source as test_workspace
from tests.support import OPERATIONS, SIGN_INS
from tests.support.effort import effort
from tests.support.random_streams import BEGIN, assert_each_reported_once, random_stream, tables_of
from tests.support.services.ingestion import Answer, IngestionService
from tests.support.services.log_analytics import WORKSPACE, LogAnalyticsService, Reply, client_for
from tests.support.services.servers import Containers, Line
from tests.support.services.storage_faults import InterceptingLine, KillableStore, LosingAnswers
from tests.support.simulation import Fuse, Killed

PARTS, DAYS = effort(desk=1, ci=4), 5  # seeds are those up to PARTS * DAYS
HOURS = 24
LATEST = 5 * HOUR  # later rows would only need more undisturbed runs
LASTING = 99  # answers, more than anybody asks for

QUERIES = (
    *("clock", "count_sign_ins", "count_operations", "sign_ins", "operations", "allowlist"),
    *(f"{kind} of {table}" for kind in ("arrivals", "latest") for table in (SIGN_INS, OPERATIONS)),
)
SILENCE = 0.15  # seconds without an answer that are too many, where that is the fault
REPLIES = {name: reply for name, (reply, *_) in test_workspace.FAILURES.items()} | {
    "silence": Reply(delay=SILENCE * 2)
}
MISSING_WATCHLIST = ("allowlist", "400-function")  # a missing watchlist, which is no failure
UNREADABLE = [
    (query, name) for name in REPLIES for query in QUERIES if (query, name) != MISSING_WATCHLIST
]
random.Random(0).shuffle(UNREADABLE)  # noqa: S311 - so that each part meets every query
TURNS = [
    [name for _, name in UNREADABLE[:place]].count(name)
    for place, (_, name) in enumerate(UNREADABLE)
]
# And every way to fail before any for the second time, so that few hours meet them all.
UNREADABLE = [pair for _, pair in sorted(zip(TURNS, UNREADABLE, strict=True), key=itemgetter(0))]
UNTAKEN = [answer for answer, _ in test_ingestion.ANSWERS.values()]
UNTAKEN += [replace(answer, taken=True) for answer in UNTAKEN if answer.hang_up != "unread"]
OTHERS = ("untaken", "answer lost", "state out of reach", "overtaken", "death", "overlap")


def lose_every_answer(_: str) -> None:
    """Lose every answer."""
    raise ServiceResponseError("the line went dead")


class Day:
    """A workspace of stand-ins, a storage emulator for the state, and runs over them."""

    def __init__(self, seed: int, containers: Containers, closing: ExitStack) -> None:
        self.seed = seed
        self.rng = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
        self.occurred = Counter[str]()
        self.stream = random_stream(self.rng, HOURS, LATEST)
        self.logs = closing.enter_context(LogAnalyticsService(tables_of(self.stream)))
        self.ingestion = closing.enter_context(IngestionService())
        self._query = closing.enter_context(client_for(self.logs.endpoint))
        self._sink = closing.enter_context(test_ingestion.sink_of(self.ingestion.endpoint))
        self._containers = containers
        self._container = containers.new()

    def run(
        self,
        now: int,
        *,
        fuse: Fuse | None = None,
        line: Line | None = None,
        silence: float = 60,
    ) -> Outcome | None:
        """Run once, like a new process; return None if the run died."""
        container = self._container
        if line is not None:
            container = self._containers.client(container.container_name, transport=line)
        source = WorkspaceSource(
            client=self._query,
            workspace_id=WORKSPACE,
            sleep=lambda _: None,
            limits=Limits(read_timeout=silence),
        )
        self.logs.present = now
        try:
            state = KillableStore(container, WORKSPACE, fuse or Fuse())
            return run(source, self._sink, state, Invocation(WORKSPACE, now))
        except (Killed, StateError):
            return None

    def run_unreadable(self, now: int, query: str, name: str) -> None:
        """Run while a query fails, once or for the whole run, which must then report it."""
        lasting = self.rng.random() < 0.5
        before = len(self.logs.called(query.partition(" ")[0]))
        self.logs.script(query, *[REPLIES[name]] * (LASTING if lasting else 1))
        outcome = self.run(now, silence=SILENCE if name == "silence" else 60)
        self.logs.recover()
        assert outcome is not None
        if len(self.logs.called(query.partition(" ")[0])) == before:
            # Not read if there are no rows, or not reached if another query was silent as well.
            assert query in {"sign_ins", "operations"} or name == "silence"
            self.occurred["not queried"] += 1
            return
        assert outcome.failures or not lasting, f"silent about {name} of {query}"
        self.occurred["failed" if outcome.failures else "survived"] += 1

    def run_disturbed(self, now: int, kind: str) -> None:
        """Run with another kind of fault."""
        self.occurred[kind] += 1
        fuse = line = None
        times = self.rng.choice((1, 2, LASTING))
        match kind:
            case "untaken":
                self.ingestion.script(*[self.rng.choice(UNTAKEN)] * times)
            case "answer lost":
                line = InterceptingLine(LosingAnswers(times))
            case "state out of reach":
                line = InterceptingLine(lose_every_answer)
            case "overtaken":
                line = InterceptingLine(LosingAnswers(1, lambda: self.run(now)))
            case "death":
                fuse = Fuse(self.rng.randrange(6))
            case "overlap":
                fuse = Fuse(self.rng.randrange(6), lambda: self.run(now))
        outcome = self.run(now, fuse=fuse, line=line)
        # The store recovers from an answer that is lost once or twice.
        assert outcome is not None or kind != "answer lost" or times == LASTING
        assert outcome is None or kind != "state out of reach"
        self.ingestion.recover()

    def play(self) -> None:
        """Run for a day with faults, then without faults until every row is visible."""
        # Two runs begin at the same time, since no run reports the hours before the first one.
        self.run(BEGIN, fuse=Fuse(self.rng.randrange(4), lambda: self.run(BEGIN)))
        out = range(first := self.rng.randrange(HOURS * 2), first + self.rng.randint(2, 6))
        for hour in range(1, HOURS + 1):
            now = BEGIN + hour * HOUR
            if hour in out:
                self.occurred["outage"] += 1
                self.ingestion.script(*[Answer(503)] * LASTING)
            number = self.seed * HOURS + hour
            self.run_unreadable(now, *UNREADABLE[number % len(UNREADABLE)])
            while self.rng.random() < 0.4:
                now += MINUTE
                self.run_disturbed(now, self.rng.choice(OTHERS))
            self.ingestion.recover()
        seen = max(event.arrival + event.unseen_for for event in self.stream.events())
        quiet = BEGIN + (HOURS + 1) * HOUR
        for now in range(quiet, max(quiet, seen) + HOUR, HOUR):
            outcome = self.run(now)
            assert outcome is not None
            assert outcome.failures == []


@pytest.mark.seeded
@pytest.mark.parametrize("part", range(PARTS))
def test_with_any_service_faults_each_operation_is_reported_once(
    part: int, first_seed: int, containers: Containers
) -> None:
    """A day on which queries, deliveries and writes fail reports each operation once."""
    occurred = Counter[str]()
    for seed in range(first_seed + part * DAYS, first_seed + (part + 1) * DAYS):
        with ExitStack() as closing:
            day = Day(seed, containers, closing)
            try:
                day.play()
                taken = chain.from_iterable(day.ingestion.accepted.values())
                assert_each_reported_once(taken, day.stream)
                assert day.logs.complaints == day.ingestion.complaints == []
            except Exception as error:
                raise AssertionError(f"the day of seed {seed} went wrong") from error
            occurred += day.occurred
    assert first_seed or {"failed", "survived", "outage", *OTHERS} == set(occurred) - {
        "not queried"
    }


def test_every_failure_of_every_query_is_met() -> None:
    """The days have an hour for each failing query; in CI also for each way to fail."""
    hours = PARTS * DAYS * HOURS
    met = {UNREADABLE[number % len(UNREADABLE)] for number in range(1, hours + 1)}
    assert {query for query, _ in met} == set(QUERIES)
    assert {name for _, name in met} == set(REPLIES)
    assert len(met) == effort(desk=hours, ci=len(UNREADABLE))
