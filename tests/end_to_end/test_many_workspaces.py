"""Many workspaces in one invocation, over real sockets: each in its turn, none in another's way."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from azure.monitor.query import LogsQueryClient

from detection.errors import DetectionError
from detection.outbox import Outbox
from detection.pipeline.workspaces import CONCURRENT_WORKSPACES, Connections, run_workspaces
from detection.rule.ticks import HOUR, MINUTE, format_time, parse_time
from detection.settings import rule_settings
from detection.sources.log_analytics.client import Limits
from detection.sources.workspace.source import WorkspaceSource
from detection.state import ReadOnlyStore
from detection.state.blob import BlobStore, least_recently_written
from tests.support import NOW, OPERATIONS, SIGN_INS, Collected
from tests.support.histories import Event, Simulation, Stream
from tests.support.services.log_analytics import LogAnalyticsService, Reply, client_for
from tests.support.services.servers import Containers

TEN = parse_time(NOW)
GUIDS = [f"00000000-0000-0000-0000-0000000000{number:02}" for number in range(50)]
LIMITS = Limits(concurrent_queries=5, rows_per_partition=1000).shared(CONCURRENT_WORKSPACES)
SETTINGS = rule_settings({})


@pytest.fixture
def service() -> Iterator[LogAnalyticsService]:
    """Serve fifty workspaces, each with one finding."""
    sign_in = {
        "TimeGenerated": format_time(TEN - HOUR),
        "ServicePrincipalId": "identity",
        "ResultType": "0",
        "ResourceDisplayName": "Azure Key Vault",
        "Id": "s1",
    }
    operation = {
        "TimeGenerated": format_time(TEN - HOUR + MINUTE),
        "Caller": "identity",
        "OperationNameValue": "MICROSOFT.KEYVAULT/VAULTS/DELETE",
        "ActivityStatusValue": "Success",
        "ResourceGroup": "rg",
        "EventDataId": "o1",
    }
    with LogAnalyticsService({SIGN_INS: [sign_in], OPERATIONS: [operation]}) as running:
        running.workspaces = set(GUIDS)
        yield running
    assert running.complaints == []


@pytest.fixture
def client(service: LogAnalyticsService) -> Iterator[LogsQueryClient]:
    """Return a client for them, shared as in the app."""
    with client_for(service.endpoint) as opened:
        yield opened


def source(client: LogsQueryClient, workspace_id: str, limits: Limits = LIMITS) -> WorkspaceSource:
    """Read one of them."""
    return WorkspaceSource(client=client, workspace_id=workspace_id, limits=limits)


class Telling(Collected):
    """A sink that tells when it was given something."""

    def __init__(self, tell: Callable[[], None]) -> None:
        super().__init__()
        self._tell = tell

    def deliver(self, outbox: Outbox) -> None:
        """Keep every row, and say so."""
        super().deliver(outbox)
        self._tell()


def ended(service: LogAnalyticsService, names: Sequence[str]) -> list[float]:
    """Return when each answer of these workspaces was given."""
    return [call.ended for call in service.calls if call.workspace in names]


def test_fifty_workspaces_share_five_queries(
    service: LogAnalyticsService, client: LogsQueryClient
) -> None:
    """All are run, several at a time, and never more than five queries are under way at once."""
    service.pace = 0.005
    sinks = {name: Collected() for name in GUIDS}
    records = run_workspaces(
        GUIDS,
        lambda name: Connections(source(client, name), sinks[name], ReadOnlyStore()),
        SETTINGS,
        now=TEN,
        has_time=lambda: True,
    )
    assert sorted(record["WorkspaceId"] for record in records) == GUIDS
    assert [len(sink.findings) for sink in sinks.values()] == [1] * 50
    at_once = [
        sum(other.began <= call.began < other.ended for other in service.calls)
        for call in service.calls
    ]
    assert 2 <= max(at_once) <= 5


def test_slow_and_failing_ones_hold_up_no_other(
    service: LogAnalyticsService, client: LogsQueryClient
) -> None:
    """With four at the front that answer last of all and one that refuses, 45 are done first."""
    slow, refusing, others = GUIDS[:4], GUIDS[4], GUIDS[5:]
    done = threading.Event()

    def tell() -> None:
        if all(sinks[name].findings for name in others):
            done.set()

    sinks = {name: Telling(tell) for name in GUIDS}
    service.always = {name: Reply(after=done) for name in slow}
    service.always[refusing] = Reply(403, b'{"error": {"code": "Forbidden"}}')
    with pytest.raises(DetectionError, match=refusing) as caught:
        run_workspaces(
            GUIDS,
            lambda name: Connections(source(client, name), sinks[name], ReadOnlyStore()),
            SETTINGS,
            now=TEN,
            has_time=lambda: True,
        )
    assert not any(name in str(caught.value) for name in GUIDS if name != refusing)
    assert [len(sinks[name].findings) for name in GUIDS] == [1] * 4 + [0] + [1] * 45
    assert max(ended(service, others)) < min(ended(service, slow))


def test_one_that_never_answers_is_given_up_in_time(
    service: LogAnalyticsService, client: LogsQueryClient
) -> None:
    """When the time to ask is up, the run ends, and says which workspace did not answer."""
    service.always = {GUIDS[0]: Reply(delay=60)}
    limits = {GUIDS[0]: LIMITS._replace(deadline=time.monotonic() + 1)}
    sinks = {name: Collected() for name in GUIDS[:3]}
    began = time.monotonic()
    with pytest.raises(DetectionError, match=GUIDS[0]):
        run_workspaces(
            GUIDS[:3],
            lambda name: Connections(
                source(client, name, limits.get(name, LIMITS)), sinks[name], ReadOnlyStore()
            ),
            SETTINGS,
            now=TEN,
            has_time=lambda: True,
        )
    assert time.monotonic() - began < 30
    assert [run["Status"] for run in sinks[GUIDS[0]].runs] == ["Failure"]
    assert [len(sinks[name].findings) for name in GUIDS[1:3]] == [1, 1]


def test_what_did_not_fit_comes_first_next_time(
    client: LogsQueryClient, containers: Containers, caplog: pytest.LogCaptureFixture
) -> None:
    """Run after run with time for a few, all have their turn before any has another."""
    container = containers.new()
    names = GUIDS[:12]
    done: list[set[str]] = []
    for hour in range(3):
        if hour:
            time.sleep(1.1)  # the service tells when a state was written by the second
        left = iter([True] * 5)

        def has_time(left: Iterator[bool] = left) -> bool:
            return next(left, False)

        records = run_workspaces(
            least_recently_written(container, names),
            lambda name: Connections(
                source(client, name),
                Collected(),
                BlobStore(container=container, workspace_id=name),
            ),
            SETTINGS,
            now=TEN + hour * HOUR,
            has_time=has_time,
        )
        done.append({record["WorkspaceId"] for record in records})
    first, second, third = done
    assert len(first) == 5
    assert not first & second
    assert set(names) <= first | second | third
    assert "no time was left for 7 workspaces" in caplog.text
    assert names[-1] in caplog.text


def quiet(hours: int) -> Simulation:
    """Return a workspace that was last run some hours ago."""
    simulation = Simulation(Stream([Event(TEN, TEN, "a", "Azure Key Vault", "1")], []))
    simulation.run(TEN - hours * HOUR)
    return simulation


def test_one_with_much_to_catch_up_gives_way() -> None:
    """A workspace begins no further window once its turn is over, and has another at the end."""
    simulations = {name: quiet(hours=6) for name in GUIDS[:CONCURRENT_WORKSPACES]}
    simulations |= {name: quiet(hours=1) for name in GUIDS[CONCURRENT_WORKSPACES:10]}
    records = run_workspaces(
        simulations,
        lambda name: Connections(simulations[name], simulations[name], simulations[name]),
        SETTINGS,
        now=TEN,
        has_time=lambda: True,
        turn=0,
    )
    order = [record["WorkspaceId"] for record in records]
    assert sorted(order) == sorted(
        GUIDS[:CONCURRENT_WORKSPACES] * 6 + GUIDS[CONCURRENT_WORKSPACES:10]
    )
    assert set(order[:20]) >= set(GUIDS[CONCURRENT_WORKSPACES:10])
    ends = [record["WindowEnd"] for record in records if record["WorkspaceId"] == GUIDS[0]]
    assert ends == [format_time(TEN - hours * HOUR) for hours in range(5, -1, -1)]


def test_a_mistake_in_the_program_costs_no_other_its_turn() -> None:
    """Whatever goes wrong with one workspace, the others are run, and the run fails in the end."""
    simulations = {name: quiet(hours=1) for name in GUIDS[:20]}

    def connect(name: str) -> Connections:
        if name in GUIDS[:6]:
            raise ZeroDivisionError("a mistake")
        return Connections(simulations[name], simulations[name], simulations[name])

    with pytest.raises(DetectionError, match="ZeroDivisionError: a mistake"):
        run_workspaces(simulations, connect, SETTINGS, now=TEN, has_time=lambda: True)
    assert [simulations[name].version > 2 for name in GUIDS[:20]] == [False] * 6 + [True] * 14
