"""The errors that a person can act on.

    DetectionError
    ├── SettingsError      a setting cannot be used                  exit status 2
    ├── UsageError         an argument cannot be used                exit status 2
    ├── SourceError        log rows could not be read                exit status 1
    ├── ClockError         a clock is wrong                          exit status 1
    ├── DeliveryError      findings could not be delivered           exit status 1
    └── StateError         the remembered state cannot be used       exit status 1
        └── StateConflict  another run wrote the state first         exit status 1

Each message is one line: the event, the thing it happened to, and the remedy.
"""


class DetectionError(Exception):
    """Base of all errors whose message is meant for the user."""


class SettingsError(DetectionError):
    """One or more settings cannot be used; the message names every one of them."""


class UsageError(DetectionError):
    """The arguments contradict each other or name something that is not there."""


class SourceError(DetectionError):
    """Rows could not be read; their absence does not mean that nothing happened."""


class ClockError(DetectionError):
    """This machine's clock is wrong, or a run with a wrong clock wrote the watermark.

    `present` is the right time (ticks), if it is known.
    """

    def __init__(self, message: str, present: int | None = None) -> None:
        super().__init__(message)
        self.present = present


class DeliveryError(DetectionError):
    """A sink did not take all rows. `status` is the HTTP status, 0 if there was none.

    `taken` is the number of findings and of run records that it took, the oldest of each.
    """

    def __init__(self, message: str, status: int = 0, taken: tuple[int, int] = (0, 0)) -> None:
        super().__init__(message)
        self.status = status
        self.taken = taken


class StateError(DetectionError):
    """The state cannot be read or written; nothing resets it silently."""


class StateConflict(StateError):
    """Another run wrote the state after this run read it."""
