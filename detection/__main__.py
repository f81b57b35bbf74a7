"""`python -m detection`."""

import gc
import os
import sys

try:
    from detection.cli import main
except ModuleNotFoundError as error:
    sys.exit(
        f"The command line needs the package {error.name}: `make run` installs it, or "
        "`pip install -r requirements-cli.txt`."
    )

if __name__ == "__main__":
    gc.disable()  # one run and the process ends: millions of rows, and no garbage among them
    status = main()
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:  # nobody takes it, which was reported as an error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)
