"""Clocks that are wrong: a run that follows one would let hours pass that nobody examines.

The watermark says that everything up to it was examined. Written by a clock that is ahead, it lies
in the future, and nothing is due until then. So neither is trusted alone.
"""

from detection.errors import ClockError
from detection.rule.ticks import MINUTE, text_of

TOLERANCE = 5 * MINUTE  # two clocks further apart than this are not both right


def check_clock(now: int, clock: int) -> None:
    """Compare this machine's time with the workspace's, both in ticks; raises ClockError."""
    if now > clock + TOLERANCE:
        raise ClockError(
            f"this run takes {_text(now)} for the present, and the workspace's clock says "
            f"{_text(clock)}: set this machine's clock right; nothing was examined, and the next "
            "run that is not ahead examines it",
            clock,
        )


def behind(now: int, clock: int) -> str:
    """Return what to warn of where this machine's time is behind the workspace's; "" if it is not.

    Findings only come that much later.
    """
    if now + TOLERANCE >= clock:
        return ""
    return (
        f"This run takes {_text(now)} for the present, and the workspace's clock says "
        f"{_text(clock)}: findings come that late; set this machine's clock right"
    )


def check_watermark(watermark: int, now: int) -> None:
    """Compare the state's watermark with the present, both in ticks; raises ClockError."""
    if watermark > now + TOLERANCE:
        raise ClockError(
            f"the state says that everything up to {_text(watermark)} was examined, and this run "
            f"takes {_text(now)} for the present: a clock is or was wrong. Set this machine's "
            "clock right; if it is, run once with `--set-watermark TIME`, where TIME is the last "
            "WindowEnd in the run records that was written while the clock was still right"
        )


def _text(moment: int) -> str:
    return f"{text_of(moment)[:19]}Z"
