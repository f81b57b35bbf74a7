"""Ctrl-C and SIGTERM: the exit status, and a sentence that says what is kept."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Final

INTERRUPTED_STATUS: Final = 130  # as a shell reports a program that SIGINT ended
TERMINATED_STATUS: Final = 143  # and one that SIGTERM ended


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived: the system or another program asks this one to end."""


class Stopped(Exception):
    """The program was stopped from outside. The message is a sentence for the user."""

    def __init__(self, cause: KeyboardInterrupt, kept: str) -> None:
        is_terminated = isinstance(cause, Terminated)
        super().__init__(f"{'terminated' if is_terminated else 'interrupted'}: {kept}")
        self.status: Final = TERMINATED_STATUS if is_terminated else INTERRUPTED_STATUS


@contextlib.contextmanager
def explain_stop(kept: str) -> Iterator[None]:
    """Raise Stopped with a sentence about what is kept, if Ctrl-C or SIGTERM ends the block."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise Stopped(stop, kept) from stop


def stop_on_sigterm() -> None:
    """Let SIGTERM end the program as Ctrl-C does, unless the caller has it ignored."""

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise Terminated

    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, stop)
