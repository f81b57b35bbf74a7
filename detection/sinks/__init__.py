"""The places that findings and run records are delivered to."""

from typing import Protocol

from detection.errors import DeliveryError
from detection.outbox import Outbox


class FindingSink(Protocol):
    """Delivers rows, which the state holds already."""

    def deliver(self, outbox: Outbox) -> None:
        """Deliver every row, oldest first.

        Raises DeliveryError if the sink did not take all rows. Its `taken` counts the rows that the
        sink took; the others are delivered again later, unchanged.
        """
        ...


class FanOutSink:
    """Delivers the same rows to several sinks in turn."""

    def __init__(self, *sinks: FindingSink) -> None:
        self._sinks = sinks

    def deliver(self, outbox: Outbox) -> None:
        """Deliver to each sink in order. The first failure stops the delivery.

        Rows count as taken only if every sink took them.
        """
        for sink in self._sinks:
            try:
                sink.deliver(outbox)
            except DeliveryError as error:
                if sink is not self._sinks[-1]:
                    error.taken = (0, 0)
                raise


class NullSink:
    """Drops every row: for a run that sends nothing."""

    def deliver(self, outbox: Outbox) -> None:
        """Drop the rows; they count as delivered."""
