"""`completion`: prints a script that completes commands and options in a shell."""

import os
from typing import Final

import click
from click.shell_completion import get_completion_class, shell_complete

from detection.cli.shell.help import Command
from detection.cli.shell.program import SCRIPT

VARIABLE: Final = f"_{SCRIPT.replace('-', '_').upper()}_COMPLETE"
SHELLS: Final = ("bash", "zsh", "fish")


@click.command(
    "completion",
    cls=Command,
    short_help="Print a script that completes commands and options in a shell.",
    examples=(
        'completion bash  # in ~/.bashrc: eval "$(managed-identity-impact completion bash)"',
        'completion zsh   # in ~/.zshrc: eval "$(managed-identity-impact completion zsh)"',
        "completion fish >~/.config/fish/completions/managed-identity-impact.fish",
    ),
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion_command(context: click.Context, shell: str) -> int:
    """Print a script that completes commands, options and file names of managed-identity-impact.

    The shell must know that command: `pip install .` and `pipx install .` add it. A shell cannot
    complete `python -m detection`.
    """
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click has these three
    click.echo(kind(context.find_root().command, {}, SCRIPT, VARIABLE).source())
    return 0


def complete(cli: click.Command) -> int | None:
    """Answer a shell that asks for completions, and return the exit status; None if none asks."""
    instruction = os.environ.get(VARIABLE)
    return shell_complete(cli, {}, SCRIPT, VARIABLE, instruction) if instruction else None
