"""The command line: its commands, and the exit status of their errors.

Exit status 0: the run succeeded, with or without findings; 1: a run failed, and no finding is lost;
2: bad usage or settings; 3: a finding reaches the severity of --fail-on, and no run failed; 130:
stopped by Ctrl-C; 143: stopped by SIGTERM; 141, without a message: the output pipe is closed, as
with `| head`. Errors are one line on stderr, with a traceback only with `--verbose`.
"""

import sys
from collections.abc import Sequence
from typing import Any, Final

import click

from detection.cli.check import check_command
from detection.cli.demo import demo_command
from detection.cli.inspect import inspect_command
from detection.cli.kql import kql_command
from detection.cli.options import describe_error, print_error
from detection.cli.output.outcome import FAILED
from detection.cli.query import query_command
from detection.cli.record import record_command
from detection.cli.run import run_command
from detection.cli.shell.completion import complete, completion_command
from detection.cli.shell.help import Command
from detection.cli.shell.program import PACKAGE, program_name, version
from detection.cli.shell.stops import Stopped, explain_stop
from detection.errors import DetectionError, SettingsError, UsageError
from detection.sinks.failures import CLOSED_PIPE_STATUS

BAD_USAGE: Final = 2


class _Group(Command, click.Group):
    """The program, which says so if it is stopped."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; raises Stopped before click can make another error of it."""
        with explain_stop("the command has not ended, and nothing more is done"):
            return super().invoke(ctx)


def _print_version(context: click.Context, option: click.Parameter, requested: bool) -> None:
    """Print the version and exit."""
    del option
    if requested:
        click.echo(f"{PACKAGE} {version()}")
        context.exit()


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    examples=("demo", "run --recorded my-logs --now 2026-03-14T10:00:00Z", "run --help"),
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version and exit.",
)
def cli() -> None:
    """Find managed identities that sign in to Key Vault or Storage and then change Azure.

    A finding is an identity that wrote or deleted something through the management plane soon after
    it signed in to Key Vault or Storage (within CORRELATION_SPAN, an hour by default).
    """


for command in (
    *(run_command, demo_command, record_command, check_command, inspect_command),
    *(query_command, kql_command, completion_command),
):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status = complete(cli)
        if status is None:
            status = cli.main(args=given, prog_name=program_name(), standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return BAD_USAGE
    except SystemExit:  # only a sink raises it, if the output pipe is closed
        return CLOSED_PIPE_STATUS
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - a bug, too, is one line
        message, status = _explained(error)
        print_error(message, verbose="--verbose" in given)
        return status
    return status if isinstance(status, int) else 0


def _explained(error: BaseException) -> tuple[str, int]:
    """Return the message and the exit status of an error."""
    if isinstance(error, click.ClickException):
        return f"{error.format_message()} (see --help)", BAD_USAGE
    if isinstance(error, DetectionError):
        is_usage = isinstance(error, UsageError | SettingsError)
        return str(error), BAD_USAGE if is_usage else FAILED
    if isinstance(error, KeyboardInterrupt):
        error = Stopped(error, "nothing was begun")
    if isinstance(error, Stopped):
        return str(error), error.status
    return describe_error(error), FAILED
