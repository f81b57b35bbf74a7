"""`python -m detection`, and the command `managed-identity-impact` of an installation."""

import contextlib
import gc
import os
import sys
from typing import NoReturn

try:
    from detection.cli.main import main
    from detection.cli.shell.stops import stop_on_sigterm
except ModuleNotFoundError as error:
    sys.exit(
        f"The command line needs the package {error.name}: `make run` installs it, or "
        "`pip install -r requirements-cli.txt`."
    )
except KeyboardInterrupt:
    print("error: interrupted before anything was examined", file=sys.stderr)  # noqa: T201
    sys.exit(130)


def run_program() -> NoReturn:
    """Run the command line and end the process with its exit status."""
    if sys.stdout is not None and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # like stderr, where it is not UTF-8
    gc.disable()  # one run and the process ends: millions of rows, and no garbage among them
    stop_on_sigterm()
    status = main()
    for stream in (sys.stdout, sys.stderr):
        # A closed pipe was already reported by the sink.
        with contextlib.suppress(OSError, AttributeError):
            stream.flush()
    os._exit(status)  # the interpreter would flush again, and fail again on a closed pipe


if __name__ == "__main__":
    run_program()
