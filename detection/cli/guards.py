"""What keeps a run at a terminal from taking, or repeating, what is the app's."""

import sys
from dataclasses import replace
from pathlib import Path

from detection.cli.options import current_time
from detection.errors import UsageError
from detection.pipeline.invocation import Invocation
from detection.rule.ticks import format_time
from detection.settings import DeploymentSettings


def check_times(asked: Invocation, *, remembers: bool) -> None:
    """Refuse a moment of the future where it would be remembered, and to set back what is not.

    The hours up to it would count as examined before their rows are there.
    """
    latest = asked.now if asked.backfill is None else asked.backfill[1]
    if remembers and latest > current_time():
        option = "--now" if asked.backfill is None else "--to"
        raise UsageError(
            f"{option} {format_time(latest)} is later than the present, and this run would "
            "remember that everything up to then was examined: give an earlier time, or --dry-run"
        )
    if asked.watermark is not None and (not remembers or asked.backfill is not None):
        raise UsageError(
            "--set-watermark is for a run of the schedule that remembers: give --state-dir or set "
            "STATE_ACCOUNT_URL, without --from, --to and --dry-run"
        )


def separate_from_app(settings: DeploymentSettings, state_dir: Path | None) -> DeploymentSettings:
    """Return the settings without what belongs to the app; raise UsageError for a mixture.

    A run that shares the app's state must deliver as the app does, and one with another state, or
    none, must not deliver where the app has.
    """
    if settings.dry_run:
        return settings
    if state_dir is not None and settings.state_account_url and settings.ingestion_endpoint:
        print(
            "Findings are shown and not sent: --state-dir does not know what the app has sent.",
            file=sys.stderr,
        )
        return replace(settings, ingestion_endpoint="", ingestion_rule_id="")
    if state_dir is None and settings.state_account_url and not settings.ingestion_endpoint:
        raise UsageError(
            "STATE_ACCOUNT_URL is set and LOGS_INGESTION_ENDPOINT is not: what only this terminal "
            "has shown would count as delivered. Set both or neither, or give --state-dir or "
            "--dry-run"
        )
    if state_dir is None and settings.ingestion_endpoint and not settings.state_account_url:
        raise UsageError(
            "LOGS_INGESTION_ENDPOINT is set and nothing remembers what was sent: each run would "
            "send the same findings again. Set STATE_ACCOUNT_URL, or give --state-dir or --dry-run"
        )
    return settings
