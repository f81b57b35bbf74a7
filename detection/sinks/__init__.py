"""Where findings and run records go."""

from typing import Protocol

from detection.errors import DeliveryError
from detection.outbox import Outbox


class FindingSink(Protocol):
    """Takes rows that were decided and written down before."""

    def deliver(self, outbox: Outbox) -> None:
        """Hand over every row, oldest first.

        Raises DeliveryError if any was not taken; those after the ones that it says were taken are
        then handed over again, unchanged.
        """
        ...


class FanOutSink:
    """Hands the same rows to several sinks in turn."""

    def __init__(self, *sinks: FindingSink) -> None:
        self._sinks = sinks

    def deliver(self, outbox: Outbox) -> None:
        """Deliver to each; the first that fails stops the rest, which then have taken nothing."""
        for sink in self._sinks:
            try:
                sink.deliver(outbox)
            except DeliveryError as error:
                if sink is not self._sinks[-1]:
                    error.taken = (0, 0)
                raise


class NullSink:
    """Takes rows and does nothing with them: for a dry run, whose log says what it found."""

    def deliver(self, outbox: Outbox) -> None:
        """Leave everything undelivered."""
