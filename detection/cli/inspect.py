"""`inspect`: says what a recorded folder holds, and what a run would use of it."""

import os
import shlex
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from detection.cli.options import verbose_option
from detection.cli.shell.help import Command
from detection.cli.shell.program import program_name
from detection.printable import counted, one_line
from detection.settings import rule_settings
from detection.sinks.failures import as_delivery_error
from detection.sinks.terminal import short_time
from detection.sources.recorded.files.inspection import (
    FolderContent,
    TableContent,
    inspect_folder,
)

WIDTH: Final = 80


@click.command(
    "inspect",
    cls=Command,
    short_help="Say what a recorded folder holds, and what a run would use of it.",
    examples=("inspect my-logs",),
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@verbose_option
def inspect_command(*, folder: Path, verbose: bool) -> int:
    """Say what a recorded folder holds, and what a run would use of it.

    For each table: its files and their formats, the number and the times of its rows, the columns
    that are missing, and the rows that the rule does not use, by reason. Then the files that are
    not read, and why.

    Exit status: 0 if `run --recorded DIR` can use the folder; 1 if a table or a column that the
    rule requires is missing, or a file of a table cannot be read; 2 if DIR is not a folder.
    """
    del verbose
    content = inspect_folder(folder, rule_settings(os.environ))
    text = "".join(f"{line}\n" for line in _lines(folder, content))
    with as_delivery_error("standard output", "free space or redirect it to another place"):
        sys.stdout.write(text)
        sys.stdout.flush()
    return 1 if content.problems else 0


def _lines(folder: Path, content: FolderContent) -> Iterator[str]:
    for table in content.tables:
        yield from _table(folder, table)
        yield ""
    if content.others:
        yield "Not read:"
        for other in content.others:
            yield from _wrapped(f"{_name(folder, other.path)}: {other.reason}", "  ")
        yield ""
    for title, sentences in (("Warnings:", content.warnings), ("To mend:", content.problems)):
        if sentences:
            yield title
            for sentence in sentences:
                yield from _wrapped(sentence, "  ")
            yield ""
    if content.problems:
        yield "A run fails, or finds nothing, until this is mended."
    else:
        yield "To examine it:"
        yield f"  {program_name()} run --recorded {shlex.quote(one_line(str(folder)))}"


def _table(folder: Path, table: TableContent) -> Iterator[str]:
    yield f"{table.shape.name}: {counted(table.rows, 'row')}"
    if table.times:
        first, last = map(short_time, table.times)
        yield f"  From {first} to {last} UTC"
    for each in table.files:
        rows = counted(each.rows, "row")
        yield from _wrapped(f"{_name(folder, each.file.path)}: {rows}, {each.file.form}", "  ")
    known = [name for name in table.shape.columns if name in table.columns]
    others = len(table.columns) - len(known)
    more = f", and {others} more" if others else ""
    yield from _wrapped(f"Columns: {', '.join(known) or 'none'}{more}", "  ")
    for kind, missing in (
        ("Required columns", table.missing_required),
        ("Columns with names, ids or addresses", table.missing_optional),
    ):
        if missing:
            yield from _wrapped(f"{kind} that are missing: {', '.join(missing)}", "  ")
    if left_out := table.left_out:
        yield f"  Used by the rule: {counted(table.rows - left_out.total(), 'row')}; left out:"
        for reason, number in left_out.most_common():
            yield from _wrapped(f"{counted(number, 'row')}: {reason}", "    ")
    elif table.rows and table.shape.timed:
        yield f"  Used by the rule: {counted(table.rows, 'row')}"


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _wrapped(text: str, indent: str) -> list[str]:
    """Return lines of at most 80 columns, unless a word such as a path is longer."""
    return textwrap.wrap(
        one_line(text),
        WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
