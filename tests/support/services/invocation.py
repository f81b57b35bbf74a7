"""One invocation, as in `function_app.detect`, at a given time.

As a program with a time as its argument, it prints "ready" after all imports, and then runs.
"""

import os
import sys

from detection.azure_clients import AzureClients
from detection.pipeline.workspaces import run_workspaces
from detection.rule.ticks import parse_time
from detection.settings import Service, Settings


def main(now: int) -> None:
    """Run every window due at `now`."""
    settings, service = Settings.of(os.environ), Service.of(os.environ)
    with AzureClients(settings, service) as azure:
        run_workspaces(
            service.workspace_ids,
            azure.connector(),
            settings,
            now=now,
            has_time=lambda: True,
        )


if __name__ == "__main__":
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    main(parse_time(sys.argv[1]))
