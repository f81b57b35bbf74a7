"""The environment, read once into Settings; every problem is reported in one message."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from detection.clouds import CLOUDS, Cloud, cloud_of
from detection.errors import SettingsError
from detection.rule.filters import (
    OTHER_SUCCESS,
    RuleSettings,
)
from detection.rule.kql_text import equals_ignoring_case
from detection.rule.ticks import DAY, HOUR, MINUTE, SECOND
from detection.window import INTERVAL, Timing

_DURATION = re.compile(
    r"P(?:(\d{1,4})D)?(?:T(?=\d)(?:(\d{1,5})H)?(?:(\d{1,6})M)?(?:(\d{1,7})S)?)?",
    re.ASCII,
)
_STATUS = re.compile(r"[A-Za-z]+", re.ASCII)
# How Azure spells that an operation succeeded: today, and in older rows.
SPELT = ("Success", OTHER_SUCCESS)
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)

# Addresses, which must be of the cloud that AZURE_CLOUD names. The last one is azure-identity's.
ADDRESSES = (
    *("LOGS_QUERY_ENDPOINT", "LOGS_INGESTION_ENDPOINT", "STATE_ACCOUNT_URL"),
    "AZURE_AUTHORITY_HOST",
)
# What the rule and its windows need, wherever logs come from.
DEFAULTS = {
    "LOOKBACK": "PT2H",
    "CORRELATION_SPAN": "PT1H",
    "MAX_CATCH_UP": "P7D",
    "MAX_LATENESS": "P1D",
    "SUCCESS_STATUSES": "Success",
    "NOVELTY": "false",
}


class Form(NamedTuple):
    """What a value must match in full, what that is called, and the default ("" for none)."""

    pattern: str
    meaning: str
    default: str = ""


# A host's name, of labels that are not empty, and a port up to 65535.
LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
HOST = rf"{LABEL}(?:\.{LABEL})*"
PORT = r"(?::(?:[1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5]))?"

# What it takes to work on workspaces, beside WORKSPACE_IDS.
FORMS = {
    "AZURE_CLOUD": Form("|".join(CLOUDS), " or ".join(CLOUDS), "AzureCloud"),
    "LOGS_QUERY_ENDPOINT": Form(f"https://{HOST}{PORT}/?", "an https address"),
    "LOGS_INGESTION_ENDPOINT": Form(f"https://{HOST}{PORT}/?", "an https address"),
    "LOGS_INGESTION_RULE_ID": Form(r"dcr-[0-9a-f]{32}", "dcr- and 32 hexadecimal digits"),
    "FINDINGS_STREAM": Form(r"Custom-\w+", "Custom- and a name", "Custom-ManagedIdentityImpact_CL"),
    "RUNS_STREAM": Form(r"Custom-\w+", "Custom- and a name", "Custom-ManagedIdentityImpactRuns_CL"),
    "STATE_ACCOUNT_URL": Form(
        rf"https://{HOST}/?|http://(127\.0\.0\.1|localhost){PORT}/\w+/?",
        "the blob address of a storage account",
    ),
    "STATE_CONTAINER": Form(
        r"[a-z0-9](-?[a-z0-9]){2,62}", "a container's name", "managed-identity-impact"
    ),
    "WATCHLIST_ALIAS": Form(r"[A-Za-z_][\w-]*", "a watchlist's alias", "NetworkAllowlist"),
    "CORRELATE_IN": Form(r"auto|python|workspace", "auto, python or workspace", "auto"),
    "EXCLUSIONS_ALIAS": Form(
        r"[A-Za-z_][\w-]*", "a watchlist's alias", "ManagedIdentityExclusions"
    ),
    "DRY_RUN": Form(r"(?i:true|false)", "true or false", "false"),
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
                problems.append(f"{name} {error}")
                return parse_duration(DEFAULTS[name])

        timing = Timing(
            lookback=duration("LOOKBACK"),
            span=duration("CORRELATION_SPAN"),
            max_catch_up=duration("MAX_CATCH_UP"),
            max_lateness=duration("MAX_LATENESS"),
        )
        if timing.lookback < INTERVAL + timing.span:
            problems.append(
                "LOOKBACK must be at least the hour between runs plus CORRELATION_SPAN, or "
                "operations are missed"
            )
        if timing.max_catch_up < INTERVAL:
            problems.append("MAX_CATCH_UP must be at least PT1H, the hour between runs")
        statuses = tuple(filter(None, map(str.strip, values["SUCCESS_STATUSES"].split(","))))
        if not all(_STATUS.fullmatch(status) for status in statuses):
            problems.append("SUCCESS_STATUSES takes words of letters, comma separated")
        elif not any(equals_ignoring_case(status, word) for status in statuses for word in SPELT):
            # Or a slip of the pen would switch detection off without a word.
            problems.append(f"SUCCESS_STATUSES names neither {' nor '.join(SPELT)}")
        novelty = values["NOVELTY"].lower()
        if novelty not in {"true", "false"}:
            problems.append("NOVELTY is not true or false")
        if problems:
            raise SettingsError("; ".join(problems))
        return cls(timing, RuleSettings(timing.span, statuses, novelty == "true"))


@dataclass(frozen=True, slots=True)
class Service:
    """What it takes to work on workspaces: where to read, to write and to remember.

    At a terminal, `ingestion_endpoint` (with its rule) or `state_account_url` may be "": findings
    are then only shown, and nothing is remembered.
    """

    workspace_ids: tuple[str, ...]
    cloud: Cloud
    query_endpoint: str
    ingestion_endpoint: str
    ingestion_rule_id: str
    findings_stream: str
    runs_stream: str
    state_account_url: str
    state_container: str
    watchlist_alias: str
    correlate_in: str
    exclusions_alias: str
    dry_run: bool

    @classmethod
    def of(cls, environment: Mapping[str, str], *, whole: bool = True) -> "Service":
        """Read settings; raises SettingsError that names every one that is absent or unusable.

        Unless the service must be `whole`, the settings to write or to remember may be absent.
        """
        problems: list[str] = []
        given = {name: environment.get(name, "").strip() for name in FORMS}
        optional = {"LOGS_QUERY_ENDPOINT"}
        if not whole:
            optional.add("STATE_ACCOUNT_URL")
        if not (whole or given["LOGS_INGESTION_ENDPOINT"] or given["LOGS_INGESTION_RULE_ID"]):
            optional |= {"LOGS_INGESTION_ENDPOINT", "LOGS_INGESTION_RULE_ID"}

        def text(name: str) -> str:
            form = FORMS[name]
            value = given[name] or form.default
            if not value and name in optional:
                return value
            if not value:
                problems.append(f"{name} is not set: it takes {form.meaning}")
            elif not re.fullmatch(form.pattern, value, re.ASCII):
                # The value itself may be a key that was pasted into the wrong place.
                problems.append(f"{name} is not {form.meaning} ({len(value)} characters are given)")
            return value

        listed = environment.get("WORKSPACE_IDS", "").lower().split(",")
        ids = tuple(dict.fromkeys(filter(None, map(str.strip, listed))))
        if not ids:
            problems.append("WORKSPACE_IDS is not set: it takes workspace ids, comma separated")
        problems += [
            f"WORKSPACE_IDS: number {number} of {len(ids)} is not a workspace id, which is a GUID"
            for number, name in enumerate(ids, 1)
            if not _GUID.fullmatch(name)
        ]
        cloud = CLOUDS.get(text("AZURE_CLOUD"))
        if cloud is not None:
            problems += _elsewhere(environment, cloud)
        else:
            cloud = CLOUDS[FORMS["AZURE_CLOUD"].default]
        service = cls(
            workspace_ids=ids,
            cloud=cloud,
            query_endpoint=text("LOGS_QUERY_ENDPOINT").rstrip("/") or cloud.query,
            ingestion_endpoint=text("LOGS_INGESTION_ENDPOINT").rstrip("/"),
            ingestion_rule_id=text("LOGS_INGESTION_RULE_ID"),
            findings_stream=text("FINDINGS_STREAM"),
            runs_stream=text("RUNS_STREAM"),
            state_account_url=text("STATE_ACCOUNT_URL").rstrip("/"),
            state_container=text("STATE_CONTAINER"),
            watchlist_alias=text("WATCHLIST_ALIAS"),
            correlate_in=text("CORRELATE_IN"),
            exclusions_alias=text("EXCLUSIONS_ALIAS"),
            dry_run=text("DRY_RUN").lower() == "true",
        )
        if problems:
            raise SettingsError("; ".join(problems))
        return service


def _elsewhere(environment: Mapping[str, str], cloud: Cloud) -> list[str]:
    """Name each address that is in another cloud: its service would take none of our tokens."""
    theirs = {name: cloud_of(environment.get(name, "").strip()) for name in ADDRESSES}
    return [
        f"{name} is an address of {there}, and AZURE_CLOUD is {cloud.name}: set it to {there}, or "
        "correct the address"
        for name, there in theirs.items()
        if there not in {"", cloud.name}
    ]


def parse_duration(text: str) -> int:
    """Read an ISO 8601 duration of days, hours, minutes and seconds as ticks, more than none.

    Raises ValueError for anything else; months and years have no fixed length.
    """
    match = _DURATION.fullmatch(text)
    parts = [int(part or 0) for part in match.groups()] if match else []
    ticks = sum(n * unit for n, unit in zip(parts, (DAY, HOUR, MINUTE, SECOND), strict=False))
    if not ticks:
        raise ValueError("is not a duration such as PT1H, PT90M or P1D")
    return ticks
