"""Each failure of a delivery says where it happened, why, and what to do."""

import errno
import os

import pytest

from detection.errors import DeliveryError
from detection.sinks.failures import as_delivery_error


def raised(error: BaseException) -> BaseException:
    """Return the exception that the guard raises for an error."""
    with pytest.raises(BaseException) as caught, as_delivery_error("the place", "make room"):  # noqa: PT011
        raise error
    return caught.value


def test_a_system_error_names_the_remedy() -> None:
    """The message has the place, the system's reason and the remedy in one line."""
    error = raised(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert isinstance(error, DeliveryError)
    assert str(error) == "the place could not be written: No space left on device: make room"


def test_a_mistake_in_the_program_is_a_failed_delivery() -> None:
    """A mistake in the program is a failed delivery, so rows wait; its text is printable."""
    error = raised(KeyError("\x1b[31m\nno such column"))
    assert isinstance(error, DeliveryError)
    assert "report it" in str(error)
    assert str(error).isprintable()


def test_an_error_without_a_reason_is_named_by_its_type() -> None:
    """A system error without a text is named by its type."""
    assert "TimeoutError" in str(raised(TimeoutError()))


def test_a_failed_delivery_is_unchanged() -> None:
    """A DeliveryError passes through unchanged."""
    error = DeliveryError("refused", 503)
    assert raised(error) is error


def test_a_closed_pipe_ends_the_program() -> None:
    """A closed pipe ends the program with the status of a Unix tool, not with a failure."""
    ended = raised(BrokenPipeError())
    assert isinstance(ended, SystemExit)
    assert ended.code == 141


def test_an_interruption_passes_through() -> None:
    """Ctrl-C is not a failed delivery."""
    assert isinstance(raised(KeyboardInterrupt()), KeyboardInterrupt)
