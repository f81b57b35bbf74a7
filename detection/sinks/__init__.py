"""The places that findings and run records are delivered to."""

from typing import Protocol

from detection.errors import DeliveryError
from detection.outbox import Outbox


class FindingSink(Protocol):
    """Takes rows that are decided and saved in the state already."""

    def deliver(self, outbox: Outbox) -> None:
        """Hand over every row, oldest first.

        Raises DeliveryError if the sink did not take all rows. The rows that are not counted in its
        `taken` are handed over again later, unchanged.
        """
        ...


class FanOutSink:
    """Hands the same rows to several sinks in turn."""

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
    """Takes no rows: for a dry run, whose log shows the findings."""

    def deliver(self, outbox: Outbox) -> None:
        """Leave every row undelivered."""
