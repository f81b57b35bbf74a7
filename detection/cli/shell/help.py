"""Help texts: examples at their end, and a list of commands in which no description is cut."""

from collections.abc import Sequence
from typing import Any

import click

from detection.cli.shell.program import program_name


class Command(click.Command):
    """A command whose help ends with examples: arguments as they follow the program's name."""

    def __init__(self, *arguments: Any, examples: Sequence[str], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, each on one line however long it is, so that it can be copied."""
        super().format_epilog(ctx, formatter)
        with formatter.section("Examples"):
            for example in self._examples:
                formatter.write(f"{'':{formatter.current_indent}}{program_name()} {example}\n")
