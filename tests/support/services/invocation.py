"""One invocation, as in `function_app.detect`, at a given time.

As a program with a time as its argument, it prints "ready" after all imports, and then runs.
"""

import os
import sys

from detection.azure_clients import AzureClients
from detection.pipeline.workspaces import run_workspaces
from detection.rule.ticks import parse_time
from detection.settings import read_settings


def main(now: int) -> None:
    """Run every window due at `now`."""
    settings = read_settings(os.environ)
    with AzureClients(settings.deployment) as azure:
        run_workspaces(
            settings.deployment.workspace_ids,
            azure.connector(),
            settings.rule,
            now=now,
            has_time=lambda: True,
            deployment=settings.deployment.name,
        )


if __name__ == "__main__":
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    main(parse_time(sys.argv[1]))
