"""The environment, read once into Settings; every problem is reported in one message."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from detection.errors import SettingsError
from detection.rule.select import RuleSettings
from detection.rule.ticks import DAY, HOUR, MINUTE, SECOND
from detection.window import INTERVAL, Timing

_DURATION = re.compile(
    r"P(?:(\d{1,4})D)?(?:T(?=\d)(?:(\d{1,5})H)?(?:(\d{1,6})M)?(?:(\d{1,7})S)?)?",
    re.ASCII,
)
DEFAULTS = {
    "LOOKBACK": "PT2H",
    "CORRELATION_SPAN": "PT1H",
    "MAX_CATCH_UP": "P7D",
    "MAX_LATENESS": "P1D",
    "SUCCESS_STATUSES": "Success",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says about the rule and its windows."""

    timing: Timing
    rule: RuleSettings

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Settings":
        """Read settings, each with its default; raises SettingsError that names every problem."""
        problems: list[str] = []
        values = {name: environment.get(name, "").strip() or DEFAULTS[name] for name in DEFAULTS}

        def duration(name: str) -> int:
            try:
                return parse_duration(values[name])
            except ValueError as error:
                problems.append(f"{name}: {error}")
                return parse_duration(DEFAULTS[name])

        timing = Timing(
            lookback=duration("LOOKBACK"),
            span=duration("CORRELATION_SPAN"),
            max_catch_up=duration("MAX_CATCH_UP"),
            max_lateness=duration("MAX_LATENESS"),
        )
        if timing.lookback < INTERVAL + timing.span:
            problems.append(
                f"LOOKBACK ({values['LOOKBACK']}) must be at least the hour between runs plus "
                f"CORRELATION_SPAN ({values['CORRELATION_SPAN']}), or operations are missed"
            )
        if timing.max_catch_up < INTERVAL:
            problems.append("MAX_CATCH_UP must be at least PT1H, the hour between runs")
        statuses = tuple(filter(None, map(str.strip, values["SUCCESS_STATUSES"].split(","))))
        if not statuses:
            problems.append("SUCCESS_STATUSES names no status")
        if problems:
            raise SettingsError("; ".join(problems))
        return cls(timing, RuleSettings(timing.span, statuses))


def parse_duration(text: str) -> int:
    """Read an ISO 8601 duration of days, hours, minutes and seconds as ticks, more than none.

    Raises ValueError for anything else; months and years have no fixed length.
    """
    match = _DURATION.fullmatch(text)
    parts = [int(part or 0) for part in match.groups()] if match else []
    ticks = sum(n * unit for n, unit in zip(parts, (DAY, HOUR, MINUTE, SECOND), strict=False))
    if not ticks:
        raise ValueError(f"{text[:40]!r} is not a duration such as PT1H, PT90M or P1D")
    return ticks
