"""Turns every failure of a delivery into an error that names the remedy."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from traceback import extract_tb
from typing import Final

from detection.errors import DeliveryError
from detection.printable import one_line

CLOSED_PIPE_STATUS: Final = 141  # exit status of a Unix tool that wrote to a closed pipe


@contextlib.contextmanager
def as_delivery_error(destination: str, remedy: str) -> Iterator[None]:
    """Turn any failure into a DeliveryError that names the destination and the remedy.

    A closed pipe, as with `| head`, is no failed delivery: it ends the program silently with
    SystemExit, as it ends every Unix tool. The rows stay in the outbox.
    """
    try:
        yield
    except DeliveryError:
        raise
    except BrokenPipeError:
        raise SystemExit(CLOSED_PIPE_STATUS) from None
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise DeliveryError(f"{destination} could not be written: {why}: {remedy}") from error
    except Exception as error:
        why = one_line(f"{type(error).__name__}: {error}")
        frame = extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        raise DeliveryError(
            f"{destination} could not be written: {why:.200} ({where}): this is a bug in the "
            "program, please report it"
        ) from error


def standard_output_errors() -> contextlib.AbstractContextManager[None]:
    """Turn any failure to write to standard output into a DeliveryError, or into SystemExit."""
    return as_delivery_error(
        "standard output", "free space or redirect it to another place, and run again"
    )
