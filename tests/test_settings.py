"""The environment: defaults, durations, and all problems at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.errors import SettingsError
from detection.rule.filters import RuleSettings
from detection.rule.ticks import DAY, HOUR, MINUTE, SECOND
from detection.settings import SETTINGS, parse_duration, read_settings, rule_settings

GUID = "00000000-0000-0000-0000-000000000001"

NO_DURATION = (
    *("", "P", "PT", "P1DT", "P0D", "PT0H", "PT0H0M0S", "1H", "PT1", "T1H", "-PT1H", "+PT1H"),
    *("PT-1H", "pt1h", "P1Y", "P1M", "P1W", "PT1.5H", "PT1,5H", "PT1H30", "PT1M1H", "PT1H PT1H"),
    *("P1H", "PT1D", "PT1H\n", " PT1H", "60", "one hour", "PT\u0661H", "P" + "9" * 99 + "D"),
)


def test_everything_has_its_default() -> None:
    """An empty environment gives the documented defaults."""
    assert rule_settings({}) == RuleSettings(
        span=HOUR,
        success_statuses=("Success",),
        novelty=False,
        lookback=2 * HOUR,
        max_catch_up=7 * DAY,
        max_lateness=DAY,
    )


def test_a_blank_value_is_the_default() -> None:
    """Settings that are there and blank, as portals leave them, count as absent."""
    names = ("LOOKBACK", "CORRELATION_SPAN", "MAX_CATCH_UP", "MAX_LATENESS", "SUCCESS_STATUSES")
    assert rule_settings(dict.fromkeys(names, "  ")) == rule_settings({})


def test_unknown_names_are_of_no_concern() -> None:
    """The environment holds much that is not ours."""
    assert rule_settings({"PATH": "x", "lookback": "y"}) == rule_settings({})


def test_every_setting_is_read() -> None:
    """Each value ends up where it belongs, blanks around it ignored."""
    settings = rule_settings(
        {
            "LOOKBACK": " PT3H ",
            "CORRELATION_SPAN": "PT30M",
            "MAX_CATCH_UP": "P2D",
            "MAX_LATENESS": "PT12H",
            "SUCCESS_STATUSES": " Success , Succeeded,",
            "NOVELTY": "true",
        }
    )
    expected = RuleSettings(
        span=30 * MINUTE,
        success_statuses=("Success", "Succeeded"),
        novelty=True,
        lookback=3 * HOUR,
        max_catch_up=2 * DAY,
        max_lateness=12 * HOUR,
    )
    assert settings == expected


class Environment(dict[str, str]):
    """An environment that notes which settings are read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: set[str] = set()

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
        """Note the name."""
        self.read.add(name)
        return super().get(name, default)


def test_no_setting_is_listed_and_never_read() -> None:
    """Reading all settings looks up each name of the table, and nothing else but the authority."""
    environment = Environment()
    with pytest.raises(SettingsError):
        read_settings(environment)
    assert environment.read == {*SETTINGS, "AZURE_AUTHORITY_HOST"}


def test_problems_of_rule_and_deployment_are_in_one_message() -> None:
    """The app names a bad duration and a missing endpoint at once."""
    with pytest.raises(SettingsError) as caught:
        read_settings({"LOOKBACK": "x"})
    for name in ("LOOKBACK", "WORKSPACE_IDS", "LOGS_INGESTION_ENDPOINT", "STATE_ACCOUNT_URL"):
        assert name in str(caught.value)


def test_every_problem_is_in_one_message() -> None:
    """One error names each setting that cannot be used, and repeats none of their values."""
    wrong = {
        "LOOKBACK": "two hours",
        "CORRELATION_SPAN": "PT0S",
        "MAX_CATCH_UP": "P1Y",
        "MAX_LATENESS": "1d",
        "SUCCESS_STATUSES": " , ,",
    }
    with pytest.raises(SettingsError) as caught:
        rule_settings(wrong)
    message = str(caught.value)
    assert "\n" not in message
    for name, value in wrong.items():
        assert message.count(name) == 1
        assert value not in message.replace("P1D", "")


def test_problems_between_settings_join_the_others() -> None:
    """A short lookback, a short catch-up and an unreadable value are told together."""
    with pytest.raises(SettingsError) as caught:
        rule_settings({"LOOKBACK": "PT1H", "MAX_CATCH_UP": "PT59M", "MAX_LATENESS": "x"})
    for name in ("LOOKBACK", "CORRELATION_SPAN", "MAX_CATCH_UP", "MAX_LATENESS"):
        assert name in str(caught.value)


@pytest.mark.parametrize(
    ("lookback", "span"), [("PT2H", "PT61M"), ("PT119M", "PT1H"), ("PT1H", "PT1S"), ("P1D", "P1D")]
)
def test_a_lookback_that_would_miss_operations_is_refused(lookback: str, span: str) -> None:
    """Shorter than an interval and a span is an error that names both settings."""
    with pytest.raises(SettingsError, match=r"LOOKBACK .*CORRELATION_SPAN"):
        rule_settings({"LOOKBACK": lookback, "CORRELATION_SPAN": span})


@pytest.mark.parametrize(
    ("lookback", "span"), [("PT2H", "PT1H"), ("PT1H1S", "PT1S"), ("P1DT1H", "P1D")]
)
def test_a_lookback_of_interval_and_span_is_enough(lookback: str, span: str) -> None:
    """Exactly an interval and a span is accepted."""
    timing = rule_settings({"LOOKBACK": lookback, "CORRELATION_SPAN": span})
    assert timing.lookback == timing.span + HOUR


@pytest.mark.parametrize("text", NO_DURATION)
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Anything but days, hours, minutes and seconds, or none of them, is an error."""
    with pytest.raises(ValueError, match="is not a duration such as PT1H"):
        parse_duration(text)


@given(st.integers(0, 9999), st.integers(0, 999), st.integers(0, 9999), st.integers(0, 99999))
def test_a_duration_is_the_sum_of_its_parts(
    days: int, hours: int, minutes: int, seconds: int
) -> None:
    """Parts that are left out count nothing, and none but nothing at all is refused."""
    day = f"{days}D" if days else ""
    parts = ((hours, "H"), (minutes, "M"), (seconds, "S"))
    time = "".join(f"{number}{unit}" for number, unit in parts if number)
    text = f"P{day}" + (f"T{time}" if time else "")
    expected = days * DAY + hours * HOUR + minutes * MINUTE + seconds * SECOND
    if expected:
        assert parse_duration(text) == expected
    else:
        with pytest.raises(ValueError, match="not a duration"):
            parse_duration(text)


@pytest.mark.parametrize(("text", "novelty"), [("true", True), (" TRUE ", True), ("False", False)])
def test_novelty_is_true_or_false(text: str, novelty: bool) -> None:
    """The setting takes true and false, however they are written."""
    assert rule_settings({"NOVELTY": text}).novelty is novelty


def test_novelty_is_nothing_else() -> None:
    """Any other value is refused, since one meant as off must not be on."""
    with pytest.raises(SettingsError, match="NOVELTY is not true or false"):
        rule_settings({"NOVELTY": "off"})


SIGNED = "https://a.blob.core.windows.net/?sv=2024&sig=c2VjcmV0LXNpZ25hdHVyZQ"


@pytest.mark.parametrize("name", SETTINGS)
def test_no_value_is_repeated(name: str) -> None:
    """A key that was pasted into the wrong setting is in no message, in whole or in part."""
    given = {"WORKSPACE_IDS": GUID, name: SIGNED}
    messages = ""
    for read in (rule_settings, read_settings):
        try:
            read(given)
        except SettingsError as error:
            messages += str(error)
    assert name == "SUCCESS_STATUSES" or name in messages
    assert not any(part in messages.lower() for part in ("https://a", "sig=", "c2vjcmv0", "sv=20"))


HOSTS = ["a..b", ".a", "a.", "-a.b", "a-.b", "a:0", "a:65536", "a:x", "a:", "a b", "a_b.c", "a:1:2"]


@pytest.mark.parametrize("name", ["LOGS_QUERY_ENDPOINT", "LOGS_INGESTION_ENDPOINT"])
@pytest.mark.parametrize("host", [*HOSTS, "a" * 64, "\u00e4.b"])
def test_an_address_of_no_host_is_refused(name: str, host: str) -> None:
    """Empty parts of a name and ports that are none are told of before anything is asked."""
    with pytest.raises(SettingsError, match=f"{name} is not an https address"):
        read_settings({"WORKSPACE_IDS": GUID, name: f"https://{host}"}, complete=False)


@pytest.mark.parametrize("host", ["a.b-c.invalid/", "127.0.0.1:65535", "x", "A.Example:8443/"])
def test_an_address_of_a_host_is_taken(host: str) -> None:
    """Names and numbers, with a port or without."""
    given = {"WORKSPACE_IDS": GUID, "LOGS_QUERY_ENDPOINT": f"https://{host}"}
    assert read_settings(
        given, complete=False
    ).deployment.query_endpoint == f"https://{host}".rstrip("/")


def test_a_value_that_is_not_repeated_is_described() -> None:
    """The message says which form the setting takes, and how long what is there is."""
    with pytest.raises(SettingsError) as caught:
        read_settings({"WORKSPACE_IDS": f"{GUID},x", "STATE_ACCOUNT_URL": SIGNED})
    message = str(caught.value)
    assert f"is not the blob address of a storage account ({len(SIGNED)} characters" in message
    assert "WORKSPACE_IDS: number 2 of 2 is not a workspace id" in message


IN_CLOUD = {
    "AzureCloud": (
        "api.loganalytics.io",
        "monitor.azure.com",
        "core.windows.net",
        "login.microsoftonline.com",
    ),
    "AzureUSGovernment": (
        "api.loganalytics.us",
        "monitor.azure.us",
        "core.usgovcloudapi.net",
        "login.microsoftonline.us",
    ),
    "AzureChinaCloud": (
        "api.loganalytics.azure.cn",
        "monitor.azure.cn",
        "core.chinacloudapi.cn",
        "login.partner.microsoftonline.cn",
    ),
}


def in_cloud(name: str) -> dict[str, str]:
    """Return settings whose addresses are all in one cloud."""
    query, monitor, storage, authority = IN_CLOUD[name]
    return {
        "WORKSPACE_IDS": GUID,
        "LOGS_QUERY_ENDPOINT": f"https://{query}",
        "LOGS_INGESTION_ENDPOINT": f"https://dcr-1.westeurope-1.ingest.{monitor}",
        "LOGS_INGESTION_RULE_ID": "dcr-" + "0" * 32,
        "STATE_ACCOUNT_URL": f"https://a.blob.{storage}",
        "AZURE_AUTHORITY_HOST": authority,
    }


@pytest.mark.parametrize("name", IN_CLOUD)
def test_one_setting_names_the_cloud(name: str) -> None:
    """Where logs are queried follows from the cloud; another address of that cloud is taken."""
    given = in_cloud(name) | {"AZURE_CLOUD": name}
    assert read_settings(given).deployment.query_endpoint == given.pop("LOGS_QUERY_ENDPOINT")
    assert read_settings(given).deployment.query_endpoint == f"https://{IN_CLOUD[name][0]}"
    assert read_settings(given).deployment.cloud.name == name


@pytest.mark.parametrize("name", IN_CLOUD)
@pytest.mark.parametrize("other", IN_CLOUD)
@pytest.mark.parametrize(
    "setting",
    ["LOGS_QUERY_ENDPOINT", "LOGS_INGESTION_ENDPOINT", "STATE_ACCOUNT_URL", "AZURE_AUTHORITY_HOST"],
)
def test_an_address_in_another_cloud_is_refused(name: str, other: str, setting: str) -> None:
    """Its service takes no token of this cloud, so the error says which of the two to correct."""
    given = in_cloud(name) | {setting: in_cloud(other)[setting], "AZURE_CLOUD": name}
    if name == other:
        read_settings(given)
        return
    with pytest.raises(SettingsError) as caught:
        read_settings(given)
    assert str(caught.value) == (
        f"{setting} is an address of {other}, and AZURE_CLOUD is {name}: set it to {other}, or "
        "correct the address"
    )


@pytest.mark.parametrize("name", ["azurecloud", "Azure", "AzureGermanCloud", "AzureCloud\n"])
def test_other_clouds_are_refused(name: str) -> None:
    """The three names are those of `az cloud list`, and no other is taken for one of them."""
    given = in_cloud("AzureCloud") | {"AZURE_CLOUD": name}
    if name.strip() in IN_CLOUD:
        assert read_settings(given).deployment.cloud.name == name.strip()
        return
    with pytest.raises(SettingsError, match="AZURE_CLOUD is not AzureCloud or AzureUSGovernment"):
        read_settings(given)


@pytest.mark.parametrize(
    "statuses",
    [
        "Success;Succeeded",
        "Sucess",
        '"Success"',
        "Success Succeeded",
        "Done",
        " , ",
        "\u200bSuccess",
    ],
)
def test_statuses_that_would_find_nothing_are_refused(statuses: str) -> None:
    """A slip in SUCCESS_STATUSES is an error, as it would switch detection off without a word."""
    with pytest.raises(SettingsError, match="SUCCESS_STATUSES"):
        rule_settings({"SUCCESS_STATUSES": statuses})
    for right in ("success", "Succeeded", "Success, Accepted"):
        rule_settings({"SUCCESS_STATUSES": right})
