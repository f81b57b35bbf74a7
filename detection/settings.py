"""The settings: one table, read from the environment. One error names every problem."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

from detection.clouds import CLOUDS, Cloud, cloud_of
from detection.errors import SettingsError
from detection.printable import counted
from detection.rule.filters import OTHER_SUCCESS, RuleSettings
from detection.rule.kql_text import equals_ignoring_case
from detection.rule.ticks import DURATION_PATTERN, format_duration, parse_duration
from detection.schema import LOCAL
from detection.window import INTERVAL

T = TypeVar("T")


class Setting(NamedTuple):
    """The pattern that a value must match as a whole, its meaning in words, and the default.

    A setting without a default ("") must be set, unless `OPTIONAL` or the caller says otherwise.
    """

    pattern: str
    meaning: str
    default: str = ""


# A host name (labels that are not empty) and a port up to 65535.
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*"
_PORT = r"(?::(?:[1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5]))?"
_DURATION = DURATION_PATTERN, "a duration such as PT1H, PT90M or P1D"
_DEFAULTS = RuleSettings()
_BOOLEAN = r"(?i:true|false)", "true or false"
# `u`, since str.strip() removes blanks beyond ASCII from the items of a list.
_WORDS = r"(?u:[A-Za-z,\s]+)", "words of letters, comma separated"
_ADDRESS = rf"https://{_HOST}{_PORT}/?", "an https address"
_STREAM = r"Custom-\w+", "Custom- and a name"
_ALIAS = r"[A-Za-z_][\w-]*", "a watchlist's alias"
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)

# The schedule is not among them: the Functions host reads it (`function_app.py`).
SETTINGS: Final = {
    # The rule and its windows, wherever logs come from.
    "LOOKBACK": Setting(*_DURATION, format_duration(_DEFAULTS.lookback)),
    "CORRELATION_SPAN": Setting(*_DURATION, format_duration(_DEFAULTS.span)),
    "MAX_CATCH_UP": Setting(*_DURATION, format_duration(_DEFAULTS.max_catch_up)),
    "MAX_LATENESS": Setting(*_DURATION, format_duration(_DEFAULTS.max_lateness)),
    "SUCCESS_STATUSES": Setting(*_WORDS, ", ".join(_DEFAULTS.success_statuses)),
    "NOVELTY": Setting(*_BOOLEAN, str(_DEFAULTS.novelty).lower()),
    # The deployment: its name, the workspaces, where findings go, and where the state is.
    "DEPLOYMENT_NAME": Setting(r"[\w-]{1,64}", "1 to 64 letters, digits, - or _", LOCAL),
    "AZURE_CLOUD": Setting("|".join(CLOUDS), " or ".join(CLOUDS), "AzureCloud"),
    "WORKSPACE_IDS": Setting(r"(?su:.*[^,\s].*)", "workspace ids, comma separated"),
    "LOGS_QUERY_ENDPOINT": Setting(*_ADDRESS),
    "LOGS_INGESTION_ENDPOINT": Setting(*_ADDRESS),
    "LOGS_INGESTION_RULE_ID": Setting(r"dcr-[0-9a-f]{32}", "dcr- and 32 hexadecimal digits"),
    "FINDINGS_STREAM": Setting(*_STREAM, "Custom-ManagedIdentityImpact_CL"),
    "RUNS_STREAM": Setting(*_STREAM, "Custom-ManagedIdentityImpactRuns_CL"),
    "STATE_ACCOUNT_URL": Setting(
        rf"https://{_HOST}/?|http://(127\.0\.0\.1|localhost){_PORT}/\w+/?",
        "the blob address of a storage account",
    ),
    "STATE_CONTAINER": Setting(
        r"[a-z0-9](-?[a-z0-9]){2,62}", "a container's name", "managed-identity-impact"
    ),
    "WATCHLIST_ALIAS": Setting(*_ALIAS, "NetworkAllowlist"),
    "CORRELATE_IN": Setting(r"auto|python|workspace", "auto, python or workspace", "auto"),
    "EXCLUSIONS_ALIAS": Setting(*_ALIAS, "ManagedIdentityExclusions"),
    "DRY_RUN": Setting(*_BOOLEAN, "false"),
}
OPTIONAL: Final = {"LOGS_QUERY_ENDPOINT"}  # the cloud has one
# Addresses must be in the cloud that AZURE_CLOUD names. azure-identity reads the last one.
ADDRESSES: Final = (
    *("LOGS_QUERY_ENDPOINT", "LOGS_INGESTION_ENDPOINT", "STATE_ACCOUNT_URL"),
    "AZURE_AUTHORITY_HOST",
)


@dataclass(frozen=True, slots=True)
class DeploymentSettings:
    """The deployment's name, the workspaces to watch, where findings go, and where the state is.

    At a terminal, `ingestion_endpoint` (with its rule) or `state_account_url` may be "": then
    findings are only shown, or nothing is remembered.
    """

    name: str
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


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of the app."""

    rule: RuleSettings
    deployment: DeploymentSettings


def read_settings(environment: Mapping[str, str], *, complete: bool = True) -> Settings:
    """Read all settings; raises SettingsError that names every one that is absent or unusable.

    Unless `complete`, the settings for ingestion and for the state may be absent.
    """
    reader = _Reader(environment)
    return reader.checked(Settings(_rule(reader), _deployment(reader, complete=complete)))


def rule_settings(environment: Mapping[str, str]) -> RuleSettings:
    """Read the settings of the rule and its windows alone; raises SettingsError."""
    reader = _Reader(environment)
    return reader.checked(_rule(reader))


def query_settings(environment: Mapping[str, str]) -> tuple[RuleSettings, str]:
    """Read the settings of the rule and the allowlist's alias; raises SettingsError."""
    reader = _Reader(environment)
    return reader.checked((_rule(reader), reader.text("WATCHLIST_ALIAS")))


class _Reader:
    """Reads settings by name and collects the problems."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.problems: list[str] = []

    def given(self, name: str) -> str:
        """Return a setting as it was given, without blanks around it; "" if it was not."""
        return self.environment.get(name, "").strip()

    def text(self, name: str, *, optional: bool = False) -> str:
        """Return a setting or its default, which also stands in for an unusable value."""
        setting = SETTINGS[name]
        value = self.given(name) or setting.default
        if not value:
            if not optional and name not in OPTIONAL:
                self.problems.append(f"{name} is not set: it takes {setting.meaning}")
        elif not re.fullmatch(setting.pattern, value, re.ASCII):
            # The value itself may be a key that was pasted into the wrong place.
            self.problems.append(
                f"{name} is not {setting.meaning} (given: {counted(len(value), 'character')})"
            )
            return setting.default
        return value

    def read(self, name: str, parse: Callable[[str], T]) -> T:
        """Return a parsed setting, or its default parsed where `parse` raises ValueError."""
        value = self.text(name)
        try:
            return parse(value)
        except ValueError as error:
            self.problems.append(f"{name} {error}")
            return parse(SETTINGS[name].default)

    def checked(self, settings: T) -> T:
        """Return the settings; raises SettingsError if there was a problem with any."""
        if self.problems:
            raise SettingsError("; ".join(self.problems))
        return settings


def _rule(reader: _Reader) -> RuleSettings:
    settings = RuleSettings(
        lookback=reader.read("LOOKBACK", parse_duration),
        span=reader.read("CORRELATION_SPAN", parse_duration),
        max_catch_up=reader.read("MAX_CATCH_UP", parse_duration),
        max_lateness=reader.read("MAX_LATENESS", parse_duration),
        success_statuses=reader.read("SUCCESS_STATUSES", _statuses),
        novelty=reader.text("NOVELTY").lower() == "true",
    )
    if settings.lookback < INTERVAL + settings.span:
        reader.problems.append(
            "LOOKBACK must be at least the hour between runs plus CORRELATION_SPAN, or "
            "operations are missed"
        )
    if settings.max_catch_up < INTERVAL:
        reader.problems.append("MAX_CATCH_UP must be at least PT1H, the hour between runs")
    return settings


def _deployment(reader: _Reader, *, complete: bool) -> DeploymentSettings:
    ingests = reader.given("LOGS_INGESTION_ENDPOINT") or reader.given("LOGS_INGESTION_RULE_ID")
    no_ingestion = not (complete or ingests)
    cloud = CLOUDS[reader.text("AZURE_CLOUD")]
    if reader.given("AZURE_CLOUD") in {"", cloud.name}:
        reader.problems += _in_other_clouds(reader, cloud)
    return DeploymentSettings(
        name=reader.text("DEPLOYMENT_NAME"),
        workspace_ids=_workspace_ids(reader),
        cloud=cloud,
        query_endpoint=reader.text("LOGS_QUERY_ENDPOINT").rstrip("/") or cloud.query,
        ingestion_endpoint=reader.text("LOGS_INGESTION_ENDPOINT", optional=no_ingestion).rstrip(
            "/"
        ),
        ingestion_rule_id=reader.text("LOGS_INGESTION_RULE_ID", optional=no_ingestion),
        findings_stream=reader.text("FINDINGS_STREAM"),
        runs_stream=reader.text("RUNS_STREAM"),
        state_account_url=reader.text("STATE_ACCOUNT_URL", optional=not complete).rstrip("/"),
        state_container=reader.text("STATE_CONTAINER"),
        watchlist_alias=reader.text("WATCHLIST_ALIAS"),
        correlate_in=reader.text("CORRELATE_IN"),
        exclusions_alias=reader.text("EXCLUSIONS_ALIAS"),
        dry_run=reader.text("DRY_RUN").lower() == "true",
    )


def _workspace_ids(reader: _Reader) -> tuple[str, ...]:
    """Return the ids in lower case, each once."""
    listed = reader.text("WORKSPACE_IDS").lower().split(",")
    ids = tuple(dict.fromkeys(filter(None, map(str.strip, listed))))
    reader.problems += [
        f"WORKSPACE_IDS: number {number} of {len(ids)} is not a workspace id, which is a GUID"
        for number, name in enumerate(ids, 1)
        if not _GUID.fullmatch(name)
    ]
    return ids


def _in_other_clouds(reader: _Reader, cloud: Cloud) -> list[str]:
    """Name each address in another cloud: services there refuse tokens of this one."""
    clouds = {name: cloud_of(reader.given(name)) for name in ADDRESSES}
    return [
        f"{name} is an address of {other}, and AZURE_CLOUD is {cloud.name}: set it to {other}, or "
        "correct the address"
        for name, other in clouds.items()
        if other not in {"", cloud.name}
    ]


def _statuses(text: str) -> tuple[str, ...]:
    """Read the accepted statuses; raises ValueError if Azure writes none of them (D8)."""
    statuses = tuple(filter(None, map(str.strip, text.split(","))))
    written = (*RuleSettings().success_statuses, OTHER_SUCCESS)
    if not any(equals_ignoring_case(status, word) for status in statuses for word in written):
        # Or a typing error would switch detection off silently.
        raise ValueError(f"names neither {' nor '.join(written)}")
    if not all(status.isalpha() for status in statuses):
        raise ValueError(f"is not {SETTINGS['SUCCESS_STATUSES'].meaning}")
    return statuses
