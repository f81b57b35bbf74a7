"""`python -m bench.span`: the price of a span as long as a token lives, on a generated workspace.

Each identity gets a token for Key Vault or Storage once a day, at any time, as Azure caches it, and
changes Azure all day. A day of hourly runs is examined with each span; means per run are printed.
"""

import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.cases import NOW
from detection.pipeline.invocation import Invocation
from detection.pipeline.job import run
from detection.rule.ticks import DAY, HOUR, MINUTE, format_time, parse_time
from detection.settings import rule_settings
from detection.sources.recorded.folder import RecordedSource
from detection.state.folder import FolderStore
from tests.support import Collected, write_logs

IDENTITIES = 500
CHANGES_A_DAY = 48  # of each identity
DAYS = 3  # of logs; the last one is examined
RUNS = 24
SETTINGS = {
    "PT1H": {},
    "PT4H": {"CORRELATION_SPAN": "PT4H", "LOOKBACK": "PT5H"},
    "P1D": {"CORRELATION_SPAN": "P1D", "LOOKBACK": "P1DT1H"},
}
# Nine of ten changes are everyday ones.
OPERATIONS = (
    *["MICROSOFT.RESOURCES/DEPLOYMENTS/WRITE"] * 5,
    *["MICROSOFT.RESOURCES/TAGS/WRITE"] * 4,
    "MICROSOFT.AUTHORIZATION/ROLEASSIGNMENTS/WRITE",
)

Row = dict[str, Any]


def logs(now: int) -> tuple[list[Row], list[Row]]:
    """Return sign-ins and operations of DAYS days before `now` (ticks); always the same."""
    rng = random.Random(1)
    sign_ins: list[Row] = []
    operations: list[Row] = []
    for number in range(IDENTITIES):
        identity, service = f"identity-{number}", rng.choice(("Azure Key Vault", "Azure Storage"))
        for moment in _daily(rng, now, 1):
            sign_ins.append(
                {
                    "TimeGenerated": format_time(moment),
                    "ServicePrincipalId": identity,
                    "ServicePrincipalName": identity,
                    "ResultType": "0",
                    "ResourceDisplayName": service,
                    "Id": f"s{len(sign_ins)}",
                }
            )
        for moment in _daily(rng, now, CHANGES_A_DAY):
            operations.append(
                {
                    "TimeGenerated": format_time(moment),
                    "Caller": identity,
                    "OperationNameValue": rng.choice(OPERATIONS),
                    "ActivityStatusValue": "Success",
                    "ResourceGroup": f"rg-{number}",
                    "EventDataId": f"o{len(operations)}",
                }
            )
    return sign_ins, operations


def _daily(rng: random.Random, now: int, number: int) -> Iterator[int]:
    """Yield times at intervals of a day divided by `number`, from some time on."""
    step = DAY // number
    yield from range(now - DAYS * DAY + rng.randrange(step // MINUTE) * MINUTE, now, step)


def measure(source: RecordedSource, settings: dict[str, str], folder: Path, now: int) -> str:
    """Examine a day in hourly runs; return the means per run, and the findings of the day."""
    sink, store = Collected(), FolderStore(folder)
    began = time.perf_counter()
    for hour in range(RUNS):
        invocation = Invocation("bench", now - (RUNS - 1 - hour) * HOUR, rule_settings(settings))
        run(source, sink, store, invocation)
    seconds = time.perf_counter() - began
    rows = sum(each["SignInsRead"] + each["OperationsRead"] for each in sink.runs)
    pairs = sum(each["Pairs"] for each in sink.runs)
    misses = sum(each["NearMisses"] for each in sink.runs)
    findings = len({each["FindingId"] for each in sink.findings})
    return (
        f"{rows // RUNS:>8,} {pairs // RUNS:>8,} {seconds / RUNS * 1000:>7,.0f} "
        f"{findings:>9,} {len(sink.findings):>10,} {misses:>12,}"
    )


def main() -> None:
    """Print a table with a line for each span."""
    now = parse_time(NOW)
    print("span   rows/run pairs/run ms/run  findings  revisions  near misses")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = RecordedSource(write_logs(folder / "logs", *logs(now)))
        for span, settings in SETTINGS.items():
            print(f"{span:6}", measure(source, settings, folder / span, now), flush=True)


if __name__ == "__main__":
    main()
