"""Checks that keep a run at a terminal from disturbing the deployed app's state and deliveries."""

import sys
from dataclasses import replace
from pathlib import Path

from detection.cli.options import current_time
from detection.errors import UsageError
from detection.pipeline.invocation import Invocation
from detection.rule.ticks import format_time
from detection.settings import DeploymentSettings


def check_times(invocation: Invocation, *, remembers: bool) -> None:
    """Raise UsageError for future times if the run remembers, and for a useless --set-watermark.

    A future window would be remembered as examined before its rows exist.
    """
    latest = invocation.now if invocation.backfill is None else invocation.backfill[1]
    if remembers and latest > current_time():
        option = "--now" if invocation.backfill is None else "--to"
        raise UsageError(
            f"{option} {format_time(latest)} is later than the present: this run would remember "
            "all hours until then as examined; give an earlier time, or --dry-run"
        )
    if invocation.watermark is not None and (not remembers or invocation.backfill is not None):
        raise UsageError(
            "--set-watermark needs a scheduled run with a state: give --state-dir or set "
            "STATE_ACCOUNT_URL, and omit --from, --to and --dry-run"
        )


def separate_from_app(settings: DeploymentSettings, state_dir: Path | None) -> DeploymentSettings:
    """Return the settings without deliveries that would repeat the app's; raises UsageError.

    A run that shares the app's state must deliver to the app's tables. A run with another state, or
    with none, must not.
    """
    if settings.dry_run:
        return settings
    if state_dir is not None and settings.state_account_url and settings.ingestion_endpoint:
        print(
            "Findings are shown and not sent: the state in --state-dir does not hold the findings "
            "that the app has sent.",
            file=sys.stderr,
        )
        return replace(settings, ingestion_endpoint="", ingestion_rule_id="")
    if state_dir is None and settings.state_account_url and not settings.ingestion_endpoint:
        raise UsageError(
            "STATE_ACCOUNT_URL is set and LOGS_INGESTION_ENDPOINT is not: findings that only this "
            "terminal has shown would count as delivered. Set both or neither, or give --state-dir "
            "or --dry-run"
        )
    if state_dir is None and settings.ingestion_endpoint and not settings.state_account_url:
        raise UsageError(
            "LOGS_INGESTION_ENDPOINT is set and there is no state: each run would send the same "
            "findings again. Set STATE_ACCOUNT_URL, or give --state-dir or --dry-run"
        )
    return settings
