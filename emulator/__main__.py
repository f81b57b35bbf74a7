"""`make start`: runs the app on this machine.

With `--recorded DIR` it runs over recorded logs, with everything of Azure emulated. Otherwise it
runs in the Azure Functions host, with Azurite as storage.
"""

import argparse
import re
import signal
import sys
from pathlib import Path

from azure.core.exceptions import AzureError

from detection.errors import DetectionError, SettingsError, UsageError
from emulator.functions_host import run_in_host
from emulator.recorded_run import SETTINGS_FILE, run_recording
from scripts.node import NotInstalled


def main() -> int:
    """Run the app as the options say, and return the exit status."""
    options = _options()
    # A shell that starts this in the background makes it ignore Ctrl-C, the only way to end it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        if options.recorded is None:
            return run_in_host(only_azurite=options.azurite)
        return run_recording(
            options.recorded,
            runs=options.ticks,
            pause=options.every,
            settings_file=options.settings,
        )
    except KeyboardInterrupt:
        print("Ended.", flush=True)
    except (UsageError, SettingsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (DetectionError, NotInstalled, RuntimeError, AzureError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make start",
        description="Run the app on this machine. Options go into ARGS: "
        'make start ARGS="--recorded DIR".',
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--recorded",
        type=Path,
        metavar="DIR",
        help="run over the logs in this folder, with an emulated workspace and Azurite; settings "
        "of the rule, such as LOOKBACK, come from the environment",
    )
    kind.add_argument("--azurite", action="store_true", help="run Azurite alone")
    parser.add_argument(
        "--ticks",
        type=_positive,
        metavar="N",
        help="with --recorded: end after N runs of the timer; default: run every recorded hour and "
        "one more, and leave the workspace there until Ctrl-C",
    )
    parser.add_argument(
        "--every",
        type=_seconds,
        default=0.0,
        metavar="5s",
        help="with --recorded: the time between two runs; default: none",
    )
    parser.add_argument(
        "--settings",
        type=Path,
        default=SETTINGS_FILE,
        metavar="FILE",
        help="with --recorded: where to keep the settings for other commands while it runs; "
        "default: %(default)s",
    )
    return parser.parse_args()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("give 1 or more")
    return number


def _seconds(text: str) -> float:
    if not (match := re.fullmatch(r"(\d+(?:\.\d+)?)(s|m)?", text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 5s or 1m")
    return float(match[1]) * (60 if match[2] == "m" else 1)


if __name__ == "__main__":
    sys.exit(main())
