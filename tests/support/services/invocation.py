"""One invocation as `function_app.detect` makes it, at a moment of the caller's choice.

Called with a time, the module prints "ready" when everything is imported, and then runs.
"""

import os
import sys

from detection.azure_clients import AzureClients
from detection.pipeline.workspaces import run_workspaces
from detection.rule.ticks import parse_time
from detection.settings import read_settings


def main(now: int) -> None:
    """Examine every window due."""
    settings = read_settings(os.environ)
    with AzureClients(settings.deployment) as azure:
        run_workspaces(
            settings.deployment.workspace_ids,
            azure.connector(),
            settings.rule,
            now=now,
            has_time=lambda: True,
        )


if __name__ == "__main__":
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    main(parse_time(sys.argv[1]))
