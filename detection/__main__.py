"""`python -m detection`."""

import contextlib
import gc
import os
import sys

try:
    from detection.cli.main import main
except ModuleNotFoundError as error:
    sys.exit(
        f"The command line needs the package {error.name}: `make run` installs it, or "
        "`pip install -r requirements-cli.txt`."
    )
except KeyboardInterrupt:
    sys.exit("error: interrupted before anything was examined")

if __name__ == "__main__":
    if sys.stdout is not None and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # like stderr, where it is not UTF-8
    gc.disable()  # one run and the process ends: millions of rows, and no garbage among them
    status = main()
    for stream in (sys.stdout, sys.stderr):
        # A closed pipe was already reported by the sink.
        with contextlib.suppress(OSError, AttributeError):
            stream.flush()
    os._exit(status)  # the interpreter would flush again, and fail again on a closed pipe
