"""`python -m bench.startup`: the time that the app adds to the start of its worker.

A cold start imports function_app.py, and most of that time goes to Azure's packages. This imports
function_app.py, and those packages alone, in turn, each in a process of its own. Exit status 1 if
the target is missed.
"""

import statistics
import sys

from bench.measure import Cost, python

ROUNDS = 15
TARGET = 1.15  # times the import of the packages alone
PACKAGES = (
    *("azure.functions", "azure.identity", "azure.monitor.query", "azure.monitor.ingestion"),
    "azure.storage.blob",
)


def main() -> int:
    """Measure the imports, print the ratio and check the target."""
    python(f"import {', '.join(PACKAGES)}, function_app")  # once without measuring, to fill caches
    pairs = [
        (python(f"import {', '.join(PACKAGES)}"), python("import function_app"))
        for _ in range(ROUNDS)
    ]
    ratio = statistics.median(app.cpu / packages.cpu for packages, app in pairs)
    print(
        f"Import of function_app: {ratio:.2f} times that of the five Azure packages alone "
        f"({_median([app for _, app in pairs])} against {_median([one for one, _ in pairs])}, "
        f"median of {ROUNDS} rounds; target {TARGET})"
    )
    return int(ratio > TARGET)


def _median(costs: list[Cost]) -> str:
    return f"{statistics.median(cost.cpu for cost in costs) * 1000:.0f} ms CPU"


if __name__ == "__main__":
    sys.exit(main())
