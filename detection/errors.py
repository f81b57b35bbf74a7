"""Everything that can go wrong for a reason a person can act on.

    DetectionError
    ├── SettingsError      a setting cannot be used                  exit status 2
    ├── UsageError         the command line asks for the impossible  exit status 2
    ├── SourceError        log rows could not be read                exit status 1
    ├── ClockError         a clock is wrong                          exit status 1
    ├── DeliveryError      findings could not be handed over         exit status 1
    └── StateError         the remembered state cannot be used       exit status 1
        └── StateConflict  another run wrote the state first         exit status 1

Each message is one line: what happened, to what, and what to do about it.
"""


class DetectionError(Exception):
    """Base of all errors whose message is meant for the user."""


class SettingsError(DetectionError):
    """One or more settings cannot be used; the message names every one of them."""


class UsageError(DetectionError):
    """The arguments contradict each other or name something that is not there."""


class SourceError(DetectionError):
    """Rows could not be read; no conclusion may be drawn from their absence."""


class ClockError(DetectionError):
    """This machine's clock is wrong, or the watermark was written by one that was.

    `present` is what the right clock says (ticks), if there is one to ask.
    """

    def __init__(self, message: str, present: int | None = None) -> None:
        super().__init__(message)
        self.present = present


class DeliveryError(DetectionError):
    """A sink did not take all rows; `status` is HTTP's, or 0.

    `taken` says how many findings and how many run records, the oldest of each, it took before.
    """

    def __init__(self, message: str, status: int = 0, taken: tuple[int, int] = (0, 0)) -> None:
        super().__init__(message)
        self.status = status
        self.taken = taken


class StateError(DetectionError):
    """The state cannot be read or written; it is never silently reset."""


class StateConflict(StateError):
    """Another run wrote the state since this one read it."""
