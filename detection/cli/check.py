"""`check`: tries every part of the set-up and says what to fix."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import click
from rich.console import Console
from rich.markup import escape

from detection.cli.options import current_time, describe_error, verbose_option
from detection.errors import DeliveryError, DetectionError
from detection.pipeline.schedule import (
    check_clock,
    warn_if_behind,
)
from detection.printable import one_line, shortened
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
STYLES: Final = {OK: "green", WARNING: "yellow", FAILED: "red"}


class Checked(NamedTuple):
    """How one part is, and what was seen or is to be done."""

    part: str
    status: str
    remark: str


@click.command("check")
@verbose_option
def check_command(*, verbose: bool) -> int:
    """Try every part of the set-up and say what to fix.

    Asks for a token, compares each workspace's clock with this machine's, reads the last minute of
    both tables and the watchlists of each workspace, asks every query that a run may need about a
    time without rows, sends empty calls to the ingestion endpoint, and reads the state and writes
    beside it. Nothing is reported and no state changes.

    Exit status: 0 everything works, with or without warnings; 1 something does not; 2 bad settings.
    """
    del verbose
    settings = read_settings(os.environ, complete=False)
    console = Console(highlight=False, emoji=False)
    failed = False
    for found in _all(settings, current_time()):
        failed = failed or found.status == FAILED
        status = f"[{STYLES[found.status]}]{found.status:<8}[/]"
        remark = escape(one_line(f"{found.part}: {found.remark}"))
        console.print(f"{status} {remark}", soft_wrap=True)
    return int(failed)


def _all(settings: Settings, now: int) -> Iterator[Checked]:
    """Try one part after another; each is tried whatever became of those before it."""
    from detection.azure_clients import AzureClients  # noqa: PLC0415 - half a second that --help need not wait

    deployment = settings.deployment
    azure = AzureClients(deployment)
    yield Checked("settings", OK, f"{len(deployment.workspace_ids)} workspaces")
    credential = _tried("credential", partial(_token, azure, deployment))
    yield credential
    for workspace_id in deployment.workspace_ids:
        yield from _workspace(azure, settings, workspace_id, now, token=credential.status != FAILED)
    if deployment.ingestion_endpoint:
        yield _tried("ingestion", partial(_ingestion, azure))
    else:
        yield Checked("ingestion", WARNING, "LOGS_INGESTION_ENDPOINT is not set: nothing is sent")
    if not deployment.state_account_url:
        yield Checked("state", WARNING, "STATE_ACCOUNT_URL is not set: nothing is remembered")
        return
    for workspace_id in deployment.workspace_ids:
        yield _tried(f"{workspace_id} state", partial(_state, azure, workspace_id))


def _workspace(
    azure: "AzureClients", settings: Settings, workspace_id: str, now: int, *, token: bool
) -> Iterator[Checked]:
    """Try all that is asked of one workspace."""

    def tried(part: str, look: Callable[..., tuple[str, str]], *more: object) -> Checked:
        return _tried(f"{workspace_id} {part}", lambda: look(azure.source(workspace_id), *more))

    yield tried("clock", _clock)
    for shape in (SIGN_IN_TABLE, OPERATION_TABLE):
        yield tried(shape.name, _table, shape, now, settings.rule)
    yield tried(f"watchlist {settings.deployment.watchlist_alias}", _allowlist)
    yield tried(f"watchlist {settings.deployment.exclusions_alias}", _exclusions, now)
    if token:
        yield tried("queries", _queries, now, settings.rule)
    else:  # which each query would wait for
        yield Checked(f"{workspace_id} queries", FAILED, "not tried without a token")


def _tried(part: str, look: Callable[[], tuple[str, str]]) -> Checked:
    try:
        return Checked(part, *look())
    except DetectionError as error:
        return Checked(part, FAILED, " ".join(str(error).split()))
    except Exception as error:  # noqa: BLE001 - a mistake in one part hides none of the others
        return Checked(part, FAILED, describe_error(error))


def _ingestion(azure: "AzureClients") -> tuple[str, str]:
    try:
        azure.sink().probe()
    except DeliveryError as error:
        if error.status != 400:
            raise
        # Microsoft does not say how the service takes a call without rows.
        return WARNING, "answered 400 to a call without rows: only a run can tell more"
    return OK, "both streams take calls"


def _state(azure: "AzureClients", workspace_id: str) -> tuple[str, str]:
    azure.store(workspace_id).probe()
    return OK, "can be read and written"


def _token(azure: "AzureClients", settings: DeploymentSettings) -> tuple[str, str]:
    azure.check_credential()
    return OK, f"has a token for {settings.query_endpoint}"


def _clock(source: "WorkspaceSource") -> tuple[str, str]:
    clock = source.clock()
    now = current_time()
    check_clock(now, clock)
    late = warn_if_behind(now, clock)
    return (WARNING, late) if late else (OK, f"agrees with this machine's: {format_time(clock)}")


def _table(
    source: "WorkspaceSource", shape: TableShape, now: int, settings: RuleSettings
) -> tuple[str, str]:
    state, latest = source.probe(shape, now, settings)
    if state is SourceState.MISSING:
        return WARNING, f"is missing: {shape.remedy}"
    if latest is None:
        return WARNING, (
            "has no row of the last day: nothing happened, the identity may not read this table, "
            f"or nothing is sent to the workspace: {shape.remedy}"
        )
    return OK, f"newest row {format_time(latest)}"


def _allowlist(source: "WorkspaceSource") -> tuple[str, str]:
    entries = source.allowlist()
    if entries is None:
        return WARNING, f"cannot be had, no sign-in is left out: {ALLOWLIST_TABLE.remedy}"
    allowlist = Allowlist.of(entries)
    if allowlist.invalid:
        named = ", ".join(map(repr, allowlist.invalid[:10]))
        number = len(allowlist.invalid)
        return WARNING, f"{number} entries cannot be read: {shortened(named, 300)}"
    if allowlist.problem:
        return WARNING, allowlist.problem
    if not allowlist.entries:
        return WARNING, (
            "has no entry: no sign-in is left out; if there should be some, check WATCHLIST_ALIAS"
        )
    return OK, f"{allowlist.entries} entries"


def _exclusions(source: "WorkspaceSource", now: int) -> tuple[str, str]:
    exclusions = Exclusions.of(source.context.exclusions(), now)
    unusable = (*exclusions.expired, *exclusions.invalid)
    if exclusions.problem:
        return WARNING, exclusions.problem
    if unusable:
        named = shortened("; ".join(unusable), 300)
        return WARNING, f"{len(unusable)} exclusions leave nothing out: {named}"
    return OK, f"{len(exclusions.active)} exclusions in force"


def _queries(source: "WorkspaceSource", now: int, settings: RuleSettings) -> tuple[str, str]:
    """Say whether all queries run, or which do not: for want of a table, or for another reason."""
    tried = source.try_queries(now, settings)
    failed = [one for one in tried if one.problem]
    if failed:
        problems = "; ".join(dict.fromkeys(one.problem for one in failed))
        which = _names(failed) if len(failed) < len(tried) else f"all {len(tried)}"
        return FAILED, f"{which} fail: {problems}"
    waiting = [one for one in tried if one.missing in {SIGN_IN_TABLE.name, OPERATION_TABLE.name}]
    if waiting:
        missing = " and ".join(sorted({one.missing for one in waiting}))
        return WARNING, f"{_names(waiting)} do not run as long as {missing} is missing"
    return OK, f"all {len(tried)} run"


def _names(tried: "list[CheckedQuery]") -> str:
    return ", ".join(one.name for one in tried)
