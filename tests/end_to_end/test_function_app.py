"""The function app in the real worker, with real clients, TLS, an identity and Azurite."""

import json
import sys
from pathlib import Path
from typing import Any

from detection.settings import SETTINGS
from emulator.worker import App
from tests.support import ROOT, SIGN_INS
from tests.support.services.ingestion import FINDINGS_STREAM, RUNS_STREAM
from tests.support.services.log_analytics import Reply
from tests.support.services.world import World, needs_worker

ESCAPE = "\x1b[2J"
MISTAKEN = """\
import azure.functions as func
from detection.pipeline.workspaces import run_workspaces
from detection.settings import rule_settings

app = func.FunctionApp()


def connect(workspace_id):
    raise KeyError("what a row\x1b[2J holds")


@app.timer_trigger(schedule="0 0 * * * *", arg_name="timer")
def detect(timer: func.TimerRequest) -> None:
    run_workspaces(["w"], connect, rule_settings({}), now=0, has_time=lambda: True)
"""


def logged(answer: dict[str, Any]) -> list[tuple[str, str]]:
    """Return level and text of the product's log lines, which must all have the invocation's id."""
    lines = [line for line in answer["lines"] if line["logger"].startswith("detection")]
    for line in lines:
        assert line["invocations"] == ["1", "1"], line
        assert line["text"].replace("\n", " ").isprintable()
    return [(line["level"], line["text"]) for line in lines]


@needs_worker
def test_the_worker_indexes_and_runs_the_timer(world: World) -> None:
    """The app has one timer, which reads, detects and delivers; a second run has nothing new."""
    world.environment["DEPLOYMENT_NAME"] = "ours"
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
    runs = world.rows(RUNS_STREAM)
    assert [run["FindingsNew"] for run in runs] == [1, 0]
    assert {row["Deployment"] for row in [finding, *runs]} == {"ours"}
    assert world.logs.complaints == world.ingestion.complaints == []


@needs_worker
def test_a_workspace_that_refuses_fails_the_run(world: World) -> None:
    """If reading is refused, the host gets a failure and the runs table holds the cause."""
    world.logs.script("sign_ins", Reply(403, b'{"error": {"code": "Forbidden"}}'))
    failure = world.invoke()["failure"]
    assert "Log Analytics" in failure
    (run,) = world.rows(RUNS_STREAM)
    assert run["Status"] == "Failure"
    assert run["Error"] in failure


@needs_worker
def test_missing_settings_are_named(world: World) -> None:
    """Without its settings the app is still indexed, and a run names those that are missing."""
    for name in ("WORKSPACE_IDS", "LOGS_INGESTION_RULE_ID"):
        del world.environment[name]
    answer = world.invoke()
    assert answer["indexed"] == ["detect"]
    assert "WORKSPACE_IDS" in answer["failure"]
    assert "LOGS_INGESTION_RULE_ID" in answer["failure"]


@needs_worker
def test_a_misspelt_setting_is_named(world: World) -> None:
    """An app setting that resembles another is a warning of the invocation, which goes on."""
    world.environment["LOOKBCK"] = "PT3H"
    answer = world.invoke()
    assert answer["failure"] == ""
    assert logged(answer)[0] == (
        "WARNING",
        "LOOKBCK is not a setting: did you mean LOOKBACK?",
    )


@needs_worker
def test_a_dry_run_delivers_and_saves_nothing(world: World) -> None:
    """With DRY_RUN nothing is delivered, and a later real run finds everything new."""
    world.environment["DRY_RUN"] = "true"
    assert world.invoke()["failure"] == ""
    assert world.ingestion.batches == []
    world.environment["DRY_RUN"] = "false"
    assert world.invoke()["failure"] == ""
    assert len(world.rows(FINDINGS_STREAM)) == 1


@needs_worker
def test_each_window_is_a_line_of_the_invocation(world: World) -> None:
    """A window is logged at INFO, or at WARNING, with the invocation's id."""
    ((level, line),) = logged(world.invoke())
    assert level == "INFO"
    assert "1 findings new" in line
    del world.logs.tables[SIGN_INS]
    ((level, line),) = logged(world.invoke())
    assert level == "WARNING"
    assert f"Table {SIGN_INS} is missing" in line


def test_the_host_keeps_the_lines() -> None:
    """The host keeps a function's lines from INFO on, without sampling."""
    kept = json.loads((ROOT / "host.json").read_bytes())["logging"]
    assert kept["logLevel"]["Function"] == "Information"  # Function.detect.User is below it
    assert "Trace" in kept["applicationInsights"]["samplingSettings"]["excludedTypes"].split(";")


@needs_worker
def test_a_failure_is_a_line_of_the_invocation(world: World) -> None:
    """A window that cannot be read is a warning, and its workspace an error at the end."""
    said = b'{"error": {"code": "Forbidden", "message": "No\\u001b[2J access."}}'
    world.logs.script("sign_ins", Reply(403, said))
    assert [level for level, _ in logged(world.invoke())] == ["WARNING", "ERROR"]


@needs_worker
def test_a_mistake_in_the_program_keeps_its_traceback(world: World, tmp_path: Path) -> None:
    """An unexpected exception is logged with its traceback and the invocation's id."""
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "function_app.py").write_text(MISTAKEN, "utf-8")
    (folder / "host.json").write_text("{}", "utf-8")
    (folder / "detection").symlink_to(ROOT / "detection")
    answer = world.invoke(App(folder, Path(sys.executable)))
    (level, trace), (last, _) = logged(answer)
    assert level == last == "ERROR"
    assert "Traceback (most recent call last)" in trace
    assert "in connect" in trace
    assert "KeyError" in answer["failure"]
    assert ESCAPE not in answer["failure"]


@needs_worker
def test_the_clients_log_no_request(world: World) -> None:
    """The Azure SDKs log warnings only, as lines about requests would cost much."""
    names = {line["logger"] for line in world.invoke()["lines"]}
    assert not {name for name in names if name.startswith(("azure.core", "azure.identity"))}


def test_the_sample_shows_every_setting() -> None:
    """The sample of local settings has each setting, with its default if it has one."""
    sample = json.loads((ROOT / "local.settings.sample.json").read_bytes())["Values"]
    host = {"FUNCTIONS_WORKER_RUNTIME", "AzureWebJobsStorage", "DETECTION_SCHEDULE"}
    assert set(sample) == host | set(SETTINGS)
    defaults = {name: setting.default for name, setting in SETTINGS.items() if setting.default}
    assert {name: sample[name] for name in defaults} == defaults


def test_the_host_s_timeout_exceeds_the_budgets() -> None:
    """The time budgets for catching up and for queries end well before the host's time-out."""
    budget = (ROOT / "function_app.py").read_text("utf-8").partition("BUDGET = ")[2].split("#")[0]
    minutes = int(json.loads((ROOT / "host.json").read_bytes())["functionTimeout"].split(":")[1])
    seconds = eval(budget)  # noqa: S307 - arithmetic of this project
    assert seconds * 1.4 < minutes * 60
    assert "LAST_QUERY = BUDGET + 5 * 60" in (ROOT / "function_app.py").read_text("utf-8")
    assert seconds + 5 * 60 <= (minutes - 5) * 60
