"""The app as Azure runs it: the real worker, the real clients, TLS, an identity, Azurite."""

import contextlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from detection.rule.ticks import MINUTE, from_datetime, text_of
from detection.settings import DEFAULTS, FORMS
from tests.servers import Containers
from tests.standins.azure import Authority, identity_endpoint
from tests.standins.ingestion import FINDINGS_STREAM, RULE_ID, RUNS_STREAM, IngestionService
from tests.standins.log_analytics import WORKSPACE, LogAnalyticsService, Reply

ROOT = Path(__file__).parent.parent
needs_worker = pytest.mark.skipif(
    sys.version_info < (3, 13), reason="the worker is a package from Python 3.13 on"
)


@dataclass
class World:
    """All that the app needs, and the environment in which it finds it."""

    logs: LogAnalyticsService
    ingestion: IngestionService
    environment: dict[str, str]

    def invoke(self, *, past_due: bool = False) -> dict[str, Any]:
        """Run the timer once, in a worker of its own."""
        done = subprocess.run(
            [sys.executable, "-m", "tests.worker", str(ROOT), str(past_due)],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    def rows(self, stream: str) -> list[dict[str, Any]]:
        """Return the rows that a stream has taken."""
        return [json.loads(row) for row in self.ingestion.accepted[stream]]


@pytest.fixture
def world(containers: Containers, tmp_path: Path) -> Iterator[World]:
    """Set up stand-ins whose logs hold one finding of the last hour."""
    now = from_datetime(datetime.now(UTC))
    identity = str(uuid.uuid4())
    sign_in = {
        "TimeGenerated": text_of(now - 30 * MINUTE),
        "ServicePrincipalId": identity,
        "ServicePrincipalName": "func-orders",
        "ResultType": "0",
        "ResourceDisplayName": "Azure Key Vault",
        "Id": "s1",
    }
    operation = {
        "TimeGenerated": text_of(now - 20 * MINUTE),
        "Caller": identity,
        "OperationNameValue": "MICROSOFT.AUTHORIZATION/LOCKS/DELETE",
        "ActivityStatusValue": "Success",
        "ResourceGroup": "rg-orders",
        "EventDataId": "o1",
    }
    tables = {"AADManagedIdentitySignInLogs": [sign_in], "AzureActivity": [operation]}
    authority = Authority(tmp_path)
    with contextlib.ExitStack() as stack:
        logs = stack.enter_context(LogAnalyticsService(tables))
        ingestion = stack.enter_context(IngestionService())
        container = containers.new()
        environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            **stack.enter_context(identity_endpoint()),
            "REQUESTS_CA_BUNDLE": str(authority.bundle),
            "DETECTION_SCHEDULE": "0 0 * * * *",
            "WORKSPACE_IDS": WORKSPACE,
            "LOGS_QUERY_ENDPOINT": stack.enter_context(authority.in_front_of(logs.endpoint)),
            "LOGS_INGESTION_ENDPOINT": stack.enter_context(
                authority.in_front_of(ingestion.endpoint)
            ),
            "LOGS_INGESTION_RULE_ID": RULE_ID,
            "STATE_ACCOUNT_URL": containers.server.url,
            "STATE_CONTAINER": container.container_name,
        }
        yield World(logs, ingestion, environment)


@needs_worker
def test_the_worker_indexes_and_runs_the_timer(world: World) -> None:
    """The app has one timer, which reads, detects and delivers; again it has nothing new."""
    answer = world.invoke()
    assert answer["failure"] == ""
    assert answer["bindings"] == [
        {
            "direction": "IN",
            "type": "timerTrigger",
            "name": "timer",
            "schedule": "%DETECTION_SCHEDULE%",
            "runOnStartup": False,
            "useMonitor": True,
        }
    ]
    (finding,) = world.rows(FINDINGS_STREAM)
    assert finding["ServicePrincipalName"] == "func-orders"
    assert finding["Operations"] == ["MICROSOFT.AUTHORIZATION/LOCKS/DELETE"]
    assert world.invoke(past_due=True)["failure"] == ""
    assert len(world.rows(FINDINGS_STREAM)) == 1
    assert [run["FindingsNew"] for run in world.rows(RUNS_STREAM)] == [1, 0]
    assert world.logs.complaints == world.ingestion.complaints == []


@needs_worker
def test_a_workspace_that_refuses_fails_the_run_and_is_on_record(world: World) -> None:
    """Where reading is refused, the host learns of it and the runs table holds the cause."""
    world.logs.script("sign_ins", Reply(403, b'{"error": {"code": "Forbidden"}}'))
    failure = world.invoke()["failure"]
    assert "Log Analytics" in failure
    (run,) = world.rows(RUNS_STREAM)
    assert run["Status"] == "Failure"
    assert run["Error"] in failure


@needs_worker
def test_settings_that_are_missing_are_named_in_the_failure(world: World) -> None:
    """Without its settings the app is indexed all the same, and a run says what is missing."""
    for name in ("WORKSPACE_IDS", "LOGS_INGESTION_RULE_ID"):
        del world.environment[name]
    answer = world.invoke()
    assert answer["indexed"] == ["detect"]
    assert "WORKSPACE_IDS" in answer["failure"]
    assert "LOGS_INGESTION_RULE_ID" in answer["failure"]


@needs_worker
def test_a_dry_run_delivers_nothing_and_remembers_nothing(world: World) -> None:
    """With DRY_RUN nothing is delivered, and a real run afterwards finds everything new."""
    world.environment["DRY_RUN"] = "true"
    assert world.invoke()["failure"] == ""
    assert world.ingestion.batches == []
    world.environment["DRY_RUN"] = "false"
    assert world.invoke()["failure"] == ""
    assert len(world.rows(FINDINGS_STREAM)) == 1


def test_the_sample_shows_every_setting() -> None:
    """The sample of local settings has each setting, and with its default where it has one."""
    sample = json.loads((ROOT / "local.settings.sample.json").read_bytes())["Values"]
    host = {"FUNCTIONS_WORKER_RUNTIME", "AzureWebJobsStorage", "DETECTION_SCHEDULE"}
    assert set(sample) == host | {"WORKSPACE_IDS"} | set(DEFAULTS) | set(FORMS)
    defaults = DEFAULTS | {name: form.default for name, form in FORMS.items() if form.default}
    assert {name: sample[name] for name in defaults} == defaults


def test_the_host_waits_longer_than_the_budget() -> None:
    """The time that catching up and asking may take ends well before the host ends the run."""
    budget = (ROOT / "function_app.py").read_text("utf-8").partition("BUDGET = ")[2].split("#")[0]
    minutes = int(json.loads((ROOT / "host.json").read_bytes())["functionTimeout"].split(":")[1])
    seconds = eval(budget)  # noqa: S307 - our own arithmetic
    assert seconds * 1.4 < minutes * 60
    assert "LAST_QUERY = BUDGET + 5 * 60" in (ROOT / "function_app.py").read_text("utf-8")
    assert seconds + 5 * 60 <= (minutes - 5) * 60
