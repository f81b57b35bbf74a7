"""The outputs of a run at a terminal: files, report and standard output."""

import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, Self

from rich.console import Console

from detection.cli.console import FoundLines, Messages, print_line
from detection.errors import UsageError
from detection.outbox import Outbox, PendingRows, Row, pending
from detection.report.findings import ALL, Selection, united
from detection.sinks.findings_list import FindingsList, FindingsView
from detection.sinks.jsonl import JsonLinesFile
from detection.sinks.row_formats import Csv, JsonArray, JsonLines, RowFormat, encoded
from detection.sinks.row_outputs import RowFile, RowStream
from detection.sinks.terminal import FindingsTable
from detection.sinks.text_tables import MarkdownTable, TabSeparated

if TYPE_CHECKING:
    from detection.sinks import FindingSink

TABLE: Final = "table"
JSON_LINES: Final = "jsonl"
MARKDOWN: Final = "markdown"
ROW_FORMATS: Final[dict[str, Callable[[], RowFormat]]] = {
    "json": JsonArray,
    JSON_LINES: JsonLines,
    "csv": Csv,
}
FORMS: Final = (TABLE, *ROW_FORMATS, MARKDOWN)
# The form of a file by its suffix; that of any other file is JSON Lines.
SUFFIXES: Final = {".json": "json", ".csv": "csv", ".md": MARKDOWN, ".markdown": MARKDOWN}


class OutputChoice(NamedTuple):
    """The outputs that the options ask for; None for a file or a form that is not requested."""

    form: str | None = None
    output: Path | None = None
    runs: Path | None = None
    report: Path | None = None
    selection: Selection = ALL
    has_all_details: bool = False

    def file_form(self) -> str:
        """Return the form of the file for findings."""
        if self.form in {None, TABLE}:
            return SUFFIXES.get(self.output.suffix.lower() if self.output else "", JSON_LINES)
        return str(self.form)

    def shown_form(self, *, dry_run: bool) -> str | None:
        """Return the form on standard output; None if it stays empty, because there is a file."""
        return self.form or (TABLE if self.output is None or dry_run else None)


class _Closing(Protocol):
    """A sink that writes its end when everything was delivered."""

    def deliver(self, outbox: Outbox) -> None: ...

    def close(self, *, failed: bool) -> None: ...


class Outputs:
    """The sinks of files and terminal, some of which write only at the end.

    `finish` ends a run; the end of the `with` block ends the command, which may have several runs.
    """

    def __init__(self, messages: Messages) -> None:
        self.messages = messages
        self.found = FoundLines(messages.notes)
        self.sinks: list[FindingSink] = [self.found]
        self._at_end: list[Callable[[], None]] = []
        self._closing: list[_Closing] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for sink in self._closing:
            sink.close(failed=kind is not None)

    def add_report(self, path: Path, selection: Selection) -> None:
        """Add the HTML report; raises UsageError if it cannot be written."""
        # Takes a quarter of a second to import, which only a report needs.
        from detection.sinks.html_report import ReportFile  # noqa: PLC0415

        report = ReportFile(path, selection)
        self.sinks.append(report)

        def finish() -> None:
            report.finish()
            if path.exists():
                print_line(self.messages.notes, f"The report is in {path}: open it in a browser.")

        self._at_end.append(finish)

    def add_list(self, view: FindingsView, selection: Selection, *, at_once: bool) -> None:
        """Add a list of findings on stdout."""
        shown = FindingsList(view, selection, at_once=at_once)
        self.sinks.append(shown)
        self._at_end.append(shown.finish)

    def add_closing(self, sink: _Closing) -> None:
        """Add a sink that writes its end when the command ends."""
        self.sinks.append(sink)
        self._closing.append(sink)

    def finish(self) -> None:
        """Write what waits for the end of a run; raises what a delivery raises."""
        for write in self._at_end:
            write()


def outputs_of(choice: OutputChoice, messages: Messages, *, dry_run: bool, append: bool) -> Outputs:
    """Return the outputs; `append` is True if a state remembers what they were given.

    Raises UsageError for options that have no effect together.
    """
    shown = choice.shown_form(dry_run=dry_run)
    _check_choice(choice, shown, append=append)
    outputs = Outputs(messages)
    if not dry_run:
        _add_files(outputs, choice, append=append)
    if shown is None:
        return outputs
    if sys.stdout is None:  # closed by the shell with >&-
        raise UsageError("standard output is closed: open it, or redirect it to a file")
    if shown in ROW_FORMATS:
        form = ROW_FORMATS[shown]()
        outputs.add_closing(RowStream(sys.stdout.buffer, _findings, form))
    else:
        view = _view(shown, messages, has_all_details=choice.has_all_details)
        outputs.add_list(view, choice.selection, at_once=append)
    # Where findings are printed with their window, no line has to announce them.
    outputs.found.is_wanted = not append and shown not in ROW_FORMATS
    return outputs


def _add_files(outputs: Outputs, choice: OutputChoice, *, append: bool) -> None:
    """Add the files; raises UsageError if one cannot be written."""
    form = choice.file_form()
    if choice.output is not None and form == JSON_LINES:
        outputs.sinks.append(JsonLinesFile(choice.output, _findings, append=append))
    elif choice.output is not None:
        content = partial(_file_content, form, choice.selection)
        outputs.add_closing(RowFile(choice.output, _findings, content))
    if choice.runs is not None:
        outputs.sinks.append(JsonLinesFile(choice.runs, _runs, append=append))
    if choice.report is not None:
        outputs.add_report(choice.report, choice.selection)


def _file_content(form: str, selection: Selection, rows: Sequence[Row]) -> Iterable[bytes]:
    if form in ROW_FORMATS:
        return encoded(ROW_FORMATS[form](), rows)
    texts: list[str] = []
    MarkdownTable(texts.append).show(*selection.of(united(rows)))
    return [text.encode() for text in texts]


def _view(form: str, messages: Messages, *, has_all_details: bool) -> FindingsView:
    """Return the list for a person; where no terminal shows it, the table is lines with tabs."""
    console = Console()
    if form == MARKDOWN:
        return MarkdownTable(_print)
    if console.is_terminal or has_all_details:
        return FindingsTable(console, has_all_details=has_all_details)
    return TabSeparated(_print, partial(print_line, messages.notes))


def _check_choice(choice: OutputChoice, shown: str | None, *, append: bool) -> None:
    if choice.has_all_details and shown != TABLE:
        raise UsageError(
            "--details is for the table: leave it out, or leave out --json, --format or --output"
        )
    has_list = {shown, choice.output and choice.file_form()} & {TABLE, MARKDOWN}
    if choice.selection != ALL and not has_list and choice.report is None:
        raise UsageError(
            "--min-risk and --top are for the table and the report, and --json and --output hold "
            "every finding: leave them out, or add --report FILE"
        )
    if append and choice.output is not None and choice.file_form() != JSON_LINES:
        raise UsageError(
            f"--output {choice.output} would be {choice.file_form()}, and a run with a state "
            "appends, which only JSON Lines allow: name a .jsonl file"
        )


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _findings(outbox: Outbox) -> PendingRows[Row]:
    """Return the findings of a delivery, highest score first."""
    return pending(outbox.findings).sorted(lambda row: -int(row["RiskScore"]))


def _runs(outbox: Outbox) -> Sequence[Row]:
    return outbox.runs
