"""The command line: its commands, and the exit status of their errors.

Exit status 0: the run succeeded, with or without findings; 1: a run failed, and no finding is lost;
2: bad usage or settings; 141, without a message: the output pipe is closed, as with `| head`.
Errors are one line on stderr, with a traceback only with `--verbose`.
"""

import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from detection.cli.check import check_command
from detection.cli.demo import demo_command
from detection.cli.inspect import inspect_command
from detection.cli.kql import kql_command
from detection.cli.options import describe_error, print_error
from detection.cli.record import record_command
from detection.cli.run import run_command
from detection.errors import DetectionError, SettingsError, UsageError
from detection.sinks.failures import CLOSED_PIPE_STATUS

ROOT: Final = Path(__file__).parents[2]


def _print_version(context: click.Context, option: click.Parameter, requested: bool) -> None:
    """Print the version in pyproject.toml, which every checkout has, and exit."""
    del option
    if requested:
        pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
        click.echo(f"{pyproject['project']['name']} {pyproject['project']['version']}")
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
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
    run_command,
    demo_command,
    record_command,
    check_command,
    inspect_command,
    kql_command,
):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    verbose = "--verbose" in given
    try:
        status = cli.main(args=given, prog_name="python -m detection", standalone_mode=False)
        return status if isinstance(status, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        print_error(f"{error.format_message()} (see --help)", verbose=verbose)
        return 2
    except DetectionError as error:
        print_error(str(error), verbose=verbose)
        return 2 if isinstance(error, UsageError | SettingsError) else 1
    except SystemExit:  # only a sink raises it, if the output pipe is closed
        return CLOSED_PIPE_STATUS
    except (KeyboardInterrupt, click.Abort):
        print_error(
            "interrupted: windows not examined yet stay due; run again to continue", verbose=verbose
        )
    except Exception as error:  # noqa: BLE001 - a bug is one line on stderr like other errors
        print_error(describe_error(error), verbose=verbose)
    return 1
