"""Facts of the runs behind a report: the extent of what was examined, and its gaps."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from detection.printable import counted
from detection.rule.log_rows import ALLOWLIST_TABLE, OPERATION_TABLE, SIGN_IN_TABLE

Run = Mapping[str, Any]

STATES: Final = {
    "SignInsState": SIGN_IN_TABLE.name,
    "OperationsState": OPERATION_TABLE.name,
    "AllowlistState": ALLOWLIST_TABLE.name,
}
STATUSES: Final = {"Success": "succeeded", "Warning": "with a warning", "Failure": "failed"}


class RunFacts(NamedTuple):
    """Facts of the run records: name and text of each, and sentences on what may be missing."""

    facts: dict[str, str]
    warnings: list[str]


def run_facts(runs: Sequence[Run]) -> RunFacts:
    """Return the facts of some run records; without a record there are none."""
    if not runs:
        return RunFacts({}, [])
    warnings = filter(None, map(_warning_of, runs))
    facts = {
        "Windows": _windows(runs),
        "Sign-ins": _matched(runs, "SignIns"),
        "Operations": _matched(runs, "Operations"),
        "Tables": _tables(runs),
    }
    if excluded := _total(runs, "FindingsExcluded"):
        facts["Excluded"] = f"{counted(excluded, 'finding')} left out by exclusions"
    if missed := _total(runs, "NearMisses"):
        facts["Near misses"] = f"{counted(missed, 'grave change')} too long after a sign-in"
    return RunFacts(facts, list(dict.fromkeys(warnings)))


def _windows(runs: Sequence[Run]) -> str:
    """Return the number of windows, and of each status that some of them have."""
    statuses = Counter(STATUSES.get(str(run.get("Status")), "failed") for run in runs)
    parts = ", ".join(f"{number} {status}" for status, number in sorted(statuses.items()))
    return f"{counted(len(runs), 'window')}: {parts}"


def _matched(runs: Sequence[Run], prefix: str) -> str:
    """Return the numbers of matching and read rows; a workspace may count matches unread."""
    matched, read = _total(runs, f"{prefix}Matched"), _total(runs, f"{prefix}Read")
    return f"{matched:,} matched, {read:,} read"


def _tables(runs: Sequence[Run]) -> str:
    """Return which tables were missing in how many windows."""
    missing = {
        table: sum(run.get(state) == "Missing" for run in runs) for state, table in STATES.items()
    }
    parts = [
        f"{table} missing in {number} of {counted(len(runs), 'window')}"
        for table, number in missing.items()
        if number
    ]
    return "; ".join(parts) or "none missing"


def _total(runs: Sequence[Run], column: str) -> int:
    return sum(int(run.get(column) or 0) for run in runs)


def _warning_of(run: Run) -> str:
    """Return the error or reason of a run that may have missed findings; "" if it succeeded."""
    if run.get("Status") == "Success":
        return ""
    return str(run.get("Error") or run.get("Reason") or "")
