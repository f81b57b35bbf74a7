"""What becomes of whatever goes wrong while rows are handed over: an error that says what to do."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from traceback import extract_tb
from typing import Final

from detection.errors import DeliveryError
from detection.printable import one_line

CLOSED_PIPE_STATUS: Final = 141  # the exit status of a Unix tool that wrote into a closed pipe


@contextlib.contextmanager
def as_delivery_error(to: str, remedy: str) -> Iterator[None]:
    """Turn any failure into a DeliveryError that names the place and says what to do.

    A pipe that nobody reads any more, as with `| head`, ends the program as it ends every tool:
    silently, and by an exception that is no failed delivery. The rows wait.
    """
    try:
        yield
    except DeliveryError:
        raise
    except BrokenPipeError:
        raise SystemExit(CLOSED_PIPE_STATUS) from None
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise DeliveryError(f"{to} could not be written: {why}: {remedy}") from error
    except Exception as error:
        why = one_line(f"{type(error).__name__}: {error}")
        place = extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        raise DeliveryError(
            f"{to} could not be written: {why:.200} ({where}): this is a mistake in the program, "
            "please report it"
        ) from error
