"""Whatever goes wrong while rows are handed over says where, why and what to do."""

import errno
import os

import pytest

from detection.errors import DeliveryError
from detection.sinks.failures import as_delivery_error


def raised(error: BaseException) -> BaseException:
    """Return what becomes of an exception."""
    with pytest.raises(BaseException) as caught, as_delivery_error("the place", "make room"):  # noqa: PT011
        raise error
    return caught.value


def test_what_the_system_refuses_names_the_remedy() -> None:
    """The place, the system's reason and the remedy are in one line."""
    error = raised(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert isinstance(error, DeliveryError)
    assert str(error) == "the place could not be written: No space left on device: make room"


def test_a_mistake_in_the_program_is_a_failed_delivery() -> None:
    """So that rows wait and the run goes on; hostile text in it is made harmless."""
    error = raised(KeyError("\x1b[31m\nno such column"))
    assert isinstance(error, DeliveryError)
    assert "report it" in str(error)
    assert str(error).isprintable()


def test_an_error_without_a_reason_is_named() -> None:
    """A system error that carries no text is told by its kind."""
    assert "TimeoutError" in str(raised(TimeoutError()))


def test_a_failed_delivery_stays_what_it_is() -> None:
    """What has been told already is not told again around it."""
    error = DeliveryError("told", 503)
    assert raised(error) is error


def test_a_reader_that_has_gone_ends_the_program() -> None:
    """It is no failure: the status is that of a Unix tool whose pipe was closed."""
    ended = raised(BrokenPipeError())
    assert isinstance(ended, SystemExit)
    assert ended.code == 141


def test_an_interruption_is_let_through() -> None:
    """Ctrl-C is not taken for a failed delivery."""
    assert isinstance(raised(KeyboardInterrupt()), KeyboardInterrupt)
