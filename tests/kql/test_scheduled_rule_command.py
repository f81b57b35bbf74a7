"""`python -m detection kql` prints the query and the rule, with the settings of the environment."""

import json
import os
import subprocess

import pytest

from detection.rule.filters import RuleSettings
from detection.rule.ticks import HOUR, parse_time
from detection.sentinel.query import Period, logs_page_query, scheduled_query
from detection.sentinel.rule import as_arm, as_yaml
from scripts.sentinel import files
from tests.support import command, environment, run_cli

ALIAS = "NetworkAllowlist"
TIMES = ("--from", "2026-03-14T08:00:00Z", "--to", "2026-03-14T10:00:00Z")
CHOSEN = {
    "LOOKBACK": "PT3H",
    "CORRELATION_SPAN": "PT2H",
    "MAX_LATENESS": "PT6H",
    "SUCCESS_STATUSES": "Success, Succeeded",
    "WATCHLIST_ALIAS": "OfficeNetworks",
}
RULE = RuleSettings(
    span=2 * HOUR,
    success_statuses=("Success", "Succeeded"),
    lookback=3 * HOUR,
    max_lateness=6 * HOUR,
)


def printed(*arguments: str, **settings: str) -> str:
    """Return what the command prints, and nothing on stderr."""
    done = run_cli("kql", *arguments, settings=settings)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_query_needs_no_settings() -> None:
    """Without settings the query for the Logs page has the defaults."""
    assert printed() == logs_page_query(RuleSettings(), ALIAS)
    assert "let Start = ago(2h);\nlet End = now();\n" in printed()


def test_the_query_has_the_settings() -> None:
    """The settings of the rule are in the query."""
    text = printed(**CHOSEN)
    assert text == logs_page_query(RULE, "OfficeNetworks")
    for part in ("ago(3h)", "Span = 2h", '"Success", "Succeeded"', '"OfficeNetworks"'):
        assert part in text


def test_the_query_has_the_times() -> None:
    """The rows between --from and --to are read."""
    start, end = parse_time(TIMES[1]), parse_time(TIMES[3])
    assert printed(*TIMES) == logs_page_query(RuleSettings(), ALIAS, Period(start, end))


@pytest.mark.parametrize("form", ["yaml", "arm"])
def test_the_rule_is_that_of_the_file(form: str) -> None:
    """With the defaults the rule is the committed one, and the settings change it."""
    made = {"yaml": as_yaml, "arm": as_arm}[form]
    assert printed("--rule", form) in files().values()
    assert printed("--rule", form, **CHOSEN) == made(RULE, "OfficeNetworks")


def test_the_rule_has_the_settings() -> None:
    """The scheduled rule reads as many hours as rows may be late."""
    (rule,) = json.loads(printed("--rule", "arm", **CHOSEN))["resources"]
    assert rule["properties"]["query"] == scheduled_query(RULE, "OfficeNetworks")
    assert rule["properties"]["queryPeriod"] == "PT10H"


@pytest.mark.parametrize(
    ("arguments", "settings", "problem"),
    [
        (TIMES[:2], {}, "--from and --to go together"),
        (("--from", TIMES[3], "--to", TIMES[1]), {}, "is not before --to"),
        (("--rule", "yaml", *TIMES), {}, "--from and --to are for the Logs page"),
        (("--rule", "json"), {}, "'json' is not one of 'yaml', 'arm'"),
        ((), {"LOOKBACK": "x", "WATCHLIST_ALIAS": "a b"}, "WATCHLIST_ALIAS is not a watchlist's"),
        (("--rule", "arm"), {"MAX_LATENESS": "P20D"}, "reads at most 14 days"),
    ],
)
def test_wrong_use_is_refused(
    arguments: tuple[str, ...], settings: dict[str, str], problem: str
) -> None:
    """Wrong options and settings are one line on stderr and status 2."""
    done = run_cli("kql", *arguments, settings=settings)
    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_closed_pipe_ends_the_command_silently() -> None:
    """If nobody reads the output, the status is that of other Unix tools."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        command("kql"), env=environment(), stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_the_help_shows_an_example() -> None:
    """The help text has an example on a line of its own, as somebody would type it."""
    lines = [line.strip() for line in printed("--help").splitlines()]
    assert "python -m detection kql --rule arm >rule.json" in lines
