"""The timer function: connects to Azure with the settings and runs the detection every hour."""
# ruff: noqa: E402 - the check comes first: on another Python the imports below it fail

from python_version import require_built_version

require_built_version()

import logging
import os
import time
from datetime import UTC, datetime

import azure.functions as func

from detection.azure_clients import AzureClients
from detection.misspelt import misspelt_settings
from detection.pipeline.workspaces import run_workspaces
from detection.rule.ticks import from_datetime
from detection.settings import read_settings

BUDGET = 20 * 60  # seconds; no window starts later, well before functionTimeout in host.json
LAST_QUERY = BUDGET + 5 * 60  # seconds; no query starts later

log = logging.getLogger("detection")
app = func.FunctionApp()


@app.timer_trigger(
    schedule="%DETECTION_SCHEDULE%", arg_name="timer", run_on_startup=False, use_monitor=True
)
def detect(timer: func.TimerRequest) -> None:
    """Examine every due window of each workspace; raises if any could not be examined."""
    del timer  # a late timer needs no handling: the watermark decides which windows are due
    began = time.monotonic()
    for sentence in misspelt_settings(os.environ):
        log.warning("%s", sentence)
    settings = read_settings(os.environ)
    with AzureClients(settings.deployment, deadline=began + LAST_QUERY) as azure:
        run_workspaces(
            azure.least_recent_first(),
            azure.connector(),
            settings.rule,
            now=from_datetime(datetime.now(UTC)),
            has_time=lambda: time.monotonic() - began < BUDGET,
            deployment=settings.deployment.name,
        )
