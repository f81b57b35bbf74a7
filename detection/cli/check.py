"""`check`: tests every part of the set-up and prints what to fix."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import click
from rich.console import Console
from rich.markup import escape

from detection.cli.options import current_time, describe_error, verbose_option
from detection.cli.shell.help import Command
from detection.cli.shell.settings_file import settings_option
from detection.errors import DeliveryError, DetectionError
from detection.misspelt import misspelt_settings
from detection.pipeline.schedule import check_clock, warn_if_behind
from detection.printable import counted, one_line, shortened
from detection.ranking.classify import CHANGE_CLASSES
from detection.rule.allowlist import Allowlist
from detection.rule.exclusions import Exclusions
from detection.rule.filters import RuleSettings
from detection.rule.log_rows import (
    ALLOWLIST_TABLE,
    OPERATION_TABLE,
    SIGN_IN_TABLE,
    SourceState,
    TableShape,
)
from detection.rule.ticks import format_time
from detection.settings import DeploymentSettings, Settings, read_settings

if TYPE_CHECKING:
    from detection.azure_clients import AzureClients
    from detection.sources.workspace.query_checks import CheckedQuery
    from detection.sources.workspace.source import WorkspaceSource

OK, WARNING, FAILED = "ok", "warning", "failed"
NOT_TRIED: Final = "not tried, because there is no token"
STYLES: Final = {OK: "green", WARNING: "yellow", FAILED: "red"}


class CheckResult(NamedTuple):
    """The status of one part of the set-up, and a message with the observation or the remedy."""

    part: str
    status: str
    message: str


@click.command(
    "check",
    cls=Command,
    short_help="Test every part of the set-up and print what to fix.",
    examples=("check", "check --settings local.settings.json"),
)
@settings_option
@verbose_option
def check_command(*, verbose: bool) -> int:
    """Test every part of the set-up and print what to fix.

    The command gets a token, compares each workspace's clock with this machine's, reads the last
    minute of both tables and the watchlists of each workspace, tries every query over an empty time
    range, sends empty calls to the ingestion endpoint, reads each state, and writes and removes a
    blob next to it. It reports no finding and changes no state.

    Exit status: 0 if everything works, with or without warnings; 1 if something does not work; 2 if
    the settings are wrong.
    """
    del verbose
    console = Console(highlight=False, emoji=False)
    for sentence in misspelt_settings(os.environ):
        _print(console, CheckResult("settings", WARNING, sentence))
    failed = False
    for result in _check_all(read_settings(os.environ, complete=False), current_time()):
        failed = failed or result.status == FAILED
        _print(console, result)
    return int(failed)


def _print(console: Console, result: CheckResult) -> None:
    status = f"[{STYLES[result.status]}]{result.status:<8}[/]"
    line = escape(one_line(f"{result.part}: {result.message}"))
    console.print(f"{status} {line}", soft_wrap=True)


def _check_all(settings: Settings, now: int) -> Iterator[CheckResult]:
    """Check one part after another; a failure does not skip the parts after it."""
    from detection.azure_clients import AzureClients  # noqa: PLC0415 - half a second that --help need not wait

    deployment = settings.deployment
    azure = AzureClients(deployment)
    yield CheckResult("settings", OK, counted(len(deployment.workspace_ids), "workspace"))
    credential = _run_check("credential", partial(_check_credential, azure, deployment))
    yield credential
    has_token = credential.status != FAILED
    for workspace_id in deployment.workspace_ids:
        if has_token:
            yield from _check_workspace(azure, settings, workspace_id, now)
        else:  # each part would only repeat why
            yield CheckResult(workspace_id, FAILED, NOT_TRIED)
    if deployment.ingestion_endpoint and not has_token:
        yield CheckResult("ingestion", FAILED, NOT_TRIED)
    elif deployment.ingestion_endpoint:
        yield _run_check("ingestion", partial(_check_ingestion, azure))
    else:
        yield CheckResult(
            "ingestion",
            WARNING,
            "LOGS_INGESTION_ENDPOINT is not set: findings are not sent to a table",
        )
    if not deployment.state_account_url:
        yield CheckResult(
            "state", WARNING, "STATE_ACCOUNT_URL is not set: runs do not remember their findings"
        )
        return
    for workspace_id in deployment.workspace_ids:
        yield _run_check(f"{workspace_id} state", partial(_check_state, azure, workspace_id))


def _check_workspace(
    azure: "AzureClients", settings: Settings, workspace_id: str, now: int
) -> Iterator[CheckResult]:
    """Check the clock, the tables, the watchlists and the queries of one workspace."""

    def run(part: str, check: Callable[..., tuple[str, str]], *arguments: object) -> CheckResult:
        return _run_check(
            f"{workspace_id} {part}", lambda: check(azure.source(workspace_id), *arguments)
        )

    yield run("clock", _check_clock)
    for shape in (SIGN_IN_TABLE, OPERATION_TABLE):
        yield run(shape.name, _check_table, shape, now, settings.rule)
    yield run(f"watchlist {settings.deployment.watchlist_alias}", _check_allowlist)
    yield run(f"watchlist {settings.deployment.exclusions_alias}", _check_exclusions, now)
    yield run("queries", _check_queries, now, settings.rule)


def _run_check(part: str, check: Callable[[], tuple[str, str]]) -> CheckResult:
    try:
        return CheckResult(part, *check())
    except DetectionError as error:
        return CheckResult(part, FAILED, " ".join(str(error).split()))
    except Exception as error:  # noqa: BLE001 - a bug in one part must not hide the others
        return CheckResult(part, FAILED, describe_error(error))


def _check_ingestion(azure: "AzureClients") -> tuple[str, str]:
    try:
        azure.sink().probe()
    except DeliveryError as error:
        if error.status != 400:
            raise
        # Microsoft does not document how the service answers a call without rows.
        return (
            WARNING,
            "answered 400 to a call without rows: start a run to see whether it accepts rows",
        )
    return OK, "both streams accept calls"


def _check_state(azure: "AzureClients", workspace_id: str) -> tuple[str, str]:
    azure.store(workspace_id).probe()
    return OK, "can be read and written"


def _check_credential(azure: "AzureClients", settings: DeploymentSettings) -> tuple[str, str]:
    azure.check_credential()
    return OK, f"has a token for {settings.query_endpoint}"


def _check_clock(source: "WorkspaceSource") -> tuple[str, str]:
    clock = source.clock()
    now = current_time()
    check_clock(now, clock)
    warning = warn_if_behind(now, clock)
    if warning:
        return WARNING, warning
    return OK, f"agrees with this machine's: {format_time(clock)}"


def _check_table(
    source: "WorkspaceSource", shape: TableShape, now: int, settings: RuleSettings
) -> tuple[str, str]:
    state, latest = source.probe(shape, now, settings)
    if state is SourceState.MISSING:
        return WARNING, f"is missing: {shape.remedy}"
    if latest is None:
        return WARNING, (
            "no row of the last day: there was no activity, or the identity has no right to read "
            f"this table, or the workspace receives no rows: {shape.remedy}"
        )
    return OK, f"newest row {format_time(latest)}"


def _check_allowlist(source: "WorkspaceSource") -> tuple[str, str]:
    entries = source.allowlist()
    if entries is None:
        return WARNING, f"not found: no sign-in is excluded; {ALLOWLIST_TABLE.remedy}"
    allowlist = Allowlist.of(entries)
    if allowlist.invalid:
        listed = ", ".join(map(repr, allowlist.invalid[:10]))
        invalid = counted(len(allowlist.invalid), "invalid entry", "invalid entries")
        return WARNING, f"{invalid}, without effect: {shortened(listed, 300)}"
    if allowlist.problem:
        return WARNING, allowlist.problem
    if not allowlist.entries:
        return WARNING, (
            "no entry: no sign-in is excluded; if there should be entries, check WATCHLIST_ALIAS"
        )
    return OK, counted(allowlist.entries, "entry", "entries")


def _check_exclusions(source: "WorkspaceSource", now: int) -> tuple[str, str]:
    exclusions = Exclusions.of(source.context.exclusions(), now, CHANGE_CLASSES)
    ineffective = (*exclusions.expired, *exclusions.invalid)
    if exclusions.problem:
        return WARNING, exclusions.problem
    if ineffective:
        listed = shortened("; ".join(ineffective), 300)
        number = counted(len(ineffective), "exclusion")
        return WARNING, f"{number} expired or invalid, without effect: {listed}"
    return OK, counted(len(exclusions.active), "active exclusion")


def _check_queries(source: "WorkspaceSource", now: int, settings: RuleSettings) -> tuple[str, str]:
    """Return the status of the queries, and the names of those that fail or lack a table."""
    queries = source.try_queries(now, settings)
    failed = [query for query in queries if query.problem]
    if failed:
        problems = "; ".join(dict.fromkeys(query.problem for query in failed))
        which = _query_names(failed) if len(failed) < len(queries) else f"all {len(queries)}"
        return FAILED, f"failed: {which}: {problems}"
    log_tables = {SIGN_IN_TABLE.name, OPERATION_TABLE.name}
    waiting = [query for query in queries if query.missing in log_tables]
    if waiting:
        missing = " and ".join(sorted({query.missing for query in waiting}))
        return WARNING, f"cannot run while {missing} is missing: {_query_names(waiting)}"
    return OK, f"all {len(queries)} run"


def _query_names(queries: "list[CheckedQuery]") -> str:
    return ", ".join(query.name for query in queries)
