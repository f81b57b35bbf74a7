"""The forms of findings on stdout and in files, the exit status that they cause, and --quiet."""

import csv
import io
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from detection.cli.output.outputs import FORMS
from detection.sinks.row_formats import Csv
from tests.support import (
    DEMO,
    NOW,
    command,
    environment,
    json_lines,
    pick,
    run_cli,
    run_on_terminal,
    snapshot,
)

RUN = ("run", "--recorded", DEMO, "--now", NOW)
BACKFILL = ("run", "--recorded", DEMO, "--since", "6h", "--now", "2026-03-14T12:00:00Z")


def rows_of(form: str, text: str) -> list[dict[str, Any]]:
    """Read findings in a form for programs."""
    if form == "json":
        rows: list[dict[str, Any]] = json.loads(text)
        return rows
    if form == "csv":
        return list(csv.DictReader(io.StringIO(text, newline="")))
    return json_lines(text)


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
@pytest.mark.parametrize("arguments", [RUN, BACKFILL], ids=["run", "backfill"])
def test_a_form_holds_every_finding(form: str, arguments: tuple[str | Path, ...]) -> None:
    """Each form has the rows of --json, in its order, and nothing else is on stdout."""
    expected = json_lines(run_cli(*arguments, "--json").stdout)
    done = run_cli(*arguments, "--format", form)
    assert done.returncode == 0, done.stderr
    rows = rows_of(form, done.stdout)
    assert [row["FindingId"] for row in rows] == [row["FindingId"] for row in expected]
    assert len(rows) >= 2
    if form == "json":
        assert rows == expected


@pytest.mark.parametrize(
    ("suffix", "form"), [("json", "json"), ("csv", "csv"), ("jsonl", "jsonl"), ("log", "jsonl")]
)
def test_the_suffix_of_a_file_gives_its_form(tmp_path: Path, suffix: str, form: str) -> None:
    """Without --format the suffix decides, other suffixes are JSON Lines; stdout stays empty."""
    path = tmp_path / f"findings.{suffix.upper()}"
    done = run_cli(*BACKFILL, "--output", path)
    assert (done.returncode, done.stdout) == (0, "")
    assert path.read_text("utf-8") == run_cli(*BACKFILL, "--format", form).stdout


def test_the_format_comes_before_the_suffix(tmp_path: Path) -> None:
    """With --format both stdout and the file have that form, and a table leaves it the suffix."""
    path = tmp_path / "findings.txt"
    done = run_cli(*RUN, "--format", "csv", "--output", path)
    assert path.read_text("utf-8") == done.stdout
    assert done.stdout.startswith(",".join(Csv.columns[:3]))
    path = tmp_path / "findings.csv"
    done = run_cli(*RUN, "--format", "table", "--output", path)
    assert done.stdout.startswith("RiskScore\t")
    assert path.read_text("utf-8").startswith(",".join(Csv.columns[:3]))


def test_markdown_is_a_list_by_risk(tmp_path: Path) -> None:
    """Markdown has one table of a backfill, on stdout and in a file, and --top limits it."""
    done = run_cli(*BACKFILL, "--format", "markdown", "--top", "1")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("| Risk | Severity |")
    assert [line for line in lines[2:] if line.startswith("|")] == [lines[2]]
    assert "1 finding not shown" in done.stdout
    path = tmp_path / "ticket.md"
    assert run_cli(*BACKFILL, "--output", path, "--top", "1").stdout == ""
    assert path.read_text("utf-8") == done.stdout


def test_a_dash_is_standard_output(tmp_path: Path) -> None:
    """--output - prints JSON Lines, or the form of --format, and writes no file."""
    assert run_cli(*RUN, "--output", "-", cwd=tmp_path).stdout == run_cli(*RUN, "--json").stdout
    done = run_cli(*RUN, "--output", "-", "--format", "csv", cwd=tmp_path)
    assert done.stdout == run_cli(*RUN, "--format", "csv").stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", ["json", "csv", "markdown"])
def test_without_findings_the_form_is_whole(tmp_path: Path, form: str) -> None:
    """If nothing is found or due, an array is empty, and CSV has its line of columns."""
    arguments = (*RUN, "--state-dir", tmp_path / "state", "--format", form)
    assert run_cli(*arguments).stdout
    expected = {"json": "[]\n", "csv": ",".join(Csv.columns) + "\n", "markdown": ""}
    done = run_cli(*arguments)
    assert (done.returncode, done.stdout) == (0, expected[form])
    assert "No window is due" in done.stderr


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--json", "--format", "csv"), "--json is --format jsonl"),
        (("--format", "yaml"), "'yaml' is not one of"),
        (("--report", "-"), "--report - is not possible"),
        (("--runs", "-"), "--runs - is not possible"),
        (("--format", "csv", "--details"), "--details is for the table"),
        (("--format", "markdown", "--details"), "--details is for the table"),
        (("--format", "csv", "--top", "1"), "hold every finding: leave them out"),
        (("--state-dir", "s", "--output", "x.csv"), "which only JSON Lines allow"),
        (("--state-dir", "s", "--output", "x", "--format", "json"), "which only JSON Lines allow"),
    ],
)
def test_options_without_effect_are_refused(
    tmp_path: Path, options: tuple[str, ...], problem: str
) -> None:
    """One line says which options do not go together, and nothing is written."""
    done = run_cli(*RUN, *options, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", FORMS)
def test_a_refused_run_prints_nothing(tmp_path: Path, form: str) -> None:
    """If the logs cannot be read, no form prints a beginning."""
    (tmp_path / "AzureActivity.json").write_text("[")
    done = run_cli("run", "--recorded", tmp_path, "--now", NOW, "--format", form)
    assert (done.returncode, done.stdout) == (1, "")


# --fail-on


@pytest.mark.parametrize(
    ("options", "status"),
    [((), 0), (("--fail-on", "low"), 3), (("--fail-on", "high"), 3)],
)
def test_findings_give_a_status_on_request(options: tuple[str, ...], status: int) -> None:
    """With --fail-on a finding of that severity gives status 3, and is shown as ever."""
    done = run_cli(*RUN, *options)
    assert done.returncode == status
    assert "rg-orders-prod" in done.stdout


def test_a_lower_severity_is_no_failure(tmp_path: Path) -> None:
    """Findings below the severity, and those of earlier runs, leave status 0."""
    folder = DEMO.parent / "a-deployment-pipeline-ranks-low"
    arguments = ("run", "--recorded", folder, "--now", NOW, "--json")
    severities = {row["SuggestedSeverity"] for row in json_lines(run_cli(*arguments).stdout)}
    assert "Low" in severities <= {"Informational", "Low"}
    assert run_cli(*arguments, "--fail-on", "low").returncode == 3
    assert run_cli(*arguments, "--fail-on", "medium").returncode == 0
    remembered = (*RUN, "--state-dir", tmp_path / "state", "--fail-on", "low")
    assert [run_cli(*remembered).returncode for _ in range(2)] == [3, 0]


def test_a_failure_comes_before_findings() -> None:
    """If findings cannot be written, the status is 1, whatever their severity."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command(*RUN, "--json", "--fail-on", "low"),
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 1


# --quiet


@pytest.mark.parametrize("option", ["-q", "--quiet"])
def test_quiet_leaves_findings_alone(tmp_path: Path, option: str) -> None:
    """With --quiet a run that succeeds prints nothing on stderr, and the same findings."""
    page = tmp_path / "report.html"
    done = run_cli(*BACKFILL, option, "--report", page, "--runs", tmp_path / "runs.jsonl")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == run_cli(*BACKFILL).stdout
    assert run_cli("demo", option).stderr == ""
    arguments = (*RUN, option, "--state-dir", tmp_path / "state")
    assert [run_cli(*arguments).stderr for _ in range(2)] == ["", ""]


def test_quiet_does_not_hide_warnings_and_errors(tmp_path: Path) -> None:
    """With --quiet a window with a warning, a misspelt setting and an error are still printed."""
    folder = DEMO.parent / "activity-table-missing"
    done = run_cli("run", "--recorded", folder, "--now", NOW, "-q", settings={"LOOKBCK": "PT3H"})
    lines = done.stderr.splitlines()
    assert lines[0] == "warning: LOOKBCK is not a setting: did you mean LOOKBACK?"
    assert lines[1].startswith("Warning 2026-03-14 08:00:00")
    assert len(lines) == 2
    refused = run_cli("run", "-q", "--recorded", tmp_path / "nowhere", "--now", NOW)
    assert refused.stderr.startswith("error: ")


# Long backfills.


def test_findings_of_a_long_backfill_appear_as_they_are_found() -> None:
    """Each new finding is a line on stderr before the result, and the list by risk comes last."""
    done = run_cli(*BACKFILL)
    lines = [line for line in done.stderr.splitlines() if line.startswith(("Found", "Updated"))]
    rows = json_lines(run_cli(*BACKFILL, "--json").stdout)
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        verb = "Found" if row["Revision"] == 1 else "Updated"
        assert line.startswith(f"{verb} {row['RiskScore']} {row['SuggestedSeverity']}: ")
        assert row["FindingTitle"] in line
    assert done.stderr.index(lines[-1]) < done.stderr.index("Success ")
    scores = [int(line.split("\t")[0]) for line in done.stdout.splitlines()[1:]]
    assert scores == sorted(scores, reverse=True)


def test_on_a_terminal_the_lines_come_before_the_table() -> None:
    """The lines stand above the progress bar, which is gone at the end."""
    shown, status = run_on_terminal(*BACKFILL, columns=200)
    assert status == 0
    assert shown.index("Found ") < shown.index("Resource group") < shown.index("Success ")


@pytest.mark.parametrize("options", [("--json",), ("--format", "csv"), ("-q",)])
def test_findings_that_stdout_shows_have_no_line(options: tuple[str, ...]) -> None:
    """Where findings are printed with their window, or with --quiet, no line announces them."""
    assert "Found " not in run_cli(*BACKFILL, *options).stderr


def test_a_short_run_announces_nothing() -> None:
    """A run of one window shows its findings at once."""
    assert "Found " not in run_cli(*RUN).stderr


# --since


def test_since_is_a_backfill_until_now() -> None:
    """--since with --now examines the hours until then, as --from and --to do."""
    since = run_cli("run", "--recorded", DEMO, "--since", "6h", "--now", NOW, "--json")
    minutes = run_cli("run", "--recorded", DEMO, "--since", "360m", "--now", NOW, "--json")
    assert minutes.stdout == since.stdout
    bounds = ("--from", "2026-03-14T04:00:00Z", "--to", NOW)
    between = json_lines(run_cli("run", "--recorded", DEMO, *bounds, "--json").stdout)
    compared = ("FindingId", "Revision", "RiskScore", "WindowStart", "WindowEnd", "NewOperations")
    assert between
    assert [pick(row, compared) for row in json_lines(since.stdout)] == [
        pick(row, compared) for row in between
    ]


def test_since_ends_at_the_present(tmp_path: Path) -> None:
    """Without --now the backfill ends now; a state accepts it, as it is not in the future."""
    done = run_cli("run", "--recorded", DEMO, "--since", "1d", "--state-dir", tmp_path / "state")
    assert done.returncode == 0
    assert "24 windows: 0 new findings" in done.stderr


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--since", "7d", "--from", "2026-03-14"), "--since is short for --from and --to"),
        (("--since", "7d", "--to", "2026-03-14"), "--since is short for --from and --to"),
        (("--since", "7"), "write it like 7d"),
        (("--since", "0d"), "write it like 7d"),
        (("--since", "-3h"), "write it like 7d"),
        (("--since", "P7D"), "write it like 7d"),
    ],
)
def test_a_wrong_since_is_refused(tmp_path: Path, options: tuple[str, ...], problem: str) -> None:
    """A span that cannot be read, or two kinds of a backfill, are one line with status 2."""
    before = snapshot(tmp_path)
    done = run_cli("run", "--recorded", DEMO, *options, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr
    assert snapshot(tmp_path) == before
