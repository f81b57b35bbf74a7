"""Settings are read from the environment, and one error names all problems."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.errors import SettingsError
from detection.rule.filters import RuleSettings
from detection.rule.ticks import DAY, HOUR, MINUTE, SECOND, parse_duration
from detection.settings import SETTINGS, read_settings, rule_settings

GUID = "00000000-0000-0000-0000-000000000001"
OTHER_GUID = "00000000-0000-0000-0000-00000000000a"
DEPLOYMENT = {
    "WORKSPACE_IDS": f" {OTHER_GUID.upper()} ,{GUID},,{OTHER_GUID}",
    "LOGS_INGESTION_ENDPOINT": "https://rule.westeurope-1.ingest.monitor.azure.com/",
    "LOGS_INGESTION_RULE_ID": "dcr-0123456789abcdef0123456789abcdef",
    "STATE_ACCOUNT_URL": "https://account.blob.core.windows.net",
}

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
        novelty=True,
        lookback=2 * HOUR,
        max_catch_up=7 * DAY,
        max_lateness=DAY,
    )


def test_a_blank_value_is_the_default() -> None:
    """Settings that exist and are blank, as in portals, count as absent."""
    names = ("LOOKBACK", "CORRELATION_SPAN", "MAX_CATCH_UP", "MAX_LATENESS", "SUCCESS_STATUSES")
    assert rule_settings(dict.fromkeys(names, "  ")) == rule_settings({})


def test_unknown_names_are_ignored() -> None:
    """The environment may hold any other names."""
    assert rule_settings({"PATH": "x", "lookback": "y"}) == rule_settings({})


@pytest.mark.parametrize("blank", ["\n", "\t", "\r\n", "\u00a0"])
def test_lists_may_stand_on_several_lines(blank: str) -> None:
    """Any blanks may stand around the items of a list, such as line breaks of a YAML file."""
    environment = DEPLOYMENT | {
        "SUCCESS_STATUSES": f"Success,{blank}Succeeded",
        "WORKSPACE_IDS": f"{GUID},{blank}{OTHER_GUID}",
    }
    settings = read_settings(environment)
    assert settings.rule.success_statuses == ("Success", "Succeeded")
    assert settings.deployment.workspace_ids == (GUID, OTHER_GUID)


@pytest.mark.parametrize("listed", [",", " , ", ",\n,", ",\u00a0,"])
def test_a_list_without_a_workspace_is_an_error(listed: str) -> None:
    """Commas and blanks alone are an error: a run would examine no workspace and succeed."""
    with pytest.raises(SettingsError, match="WORKSPACE_IDS"):
        read_settings(DEPLOYMENT | {"WORKSPACE_IDS": listed})


def test_every_setting_is_read() -> None:
    """Each setting reaches its field, without blanks around the value."""
    settings = rule_settings(
        {
            "LOOKBACK": " PT3H ",
            "CORRELATION_SPAN": "PT30M",
            "MAX_CATCH_UP": "P2D",
            "MAX_LATENESS": "PT12H",
            "SUCCESS_STATUSES": " Success , Succeeded,",
            "NOVELTY": "false",
        }
    )
    expected = RuleSettings(
        span=30 * MINUTE,
        success_statuses=("Success", "Succeeded"),
        novelty=False,
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
    """One error names each unusable setting, and repeats none of their values."""
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


def test_problems_between_settings_are_in_the_same_message() -> None:
    """A short lookback, a short catch-up and an unreadable value are named together."""
    with pytest.raises(SettingsError) as caught:
        rule_settings({"LOOKBACK": "PT1H", "MAX_CATCH_UP": "PT59M", "MAX_LATENESS": "x"})
    for name in ("LOOKBACK", "CORRELATION_SPAN", "MAX_CATCH_UP", "MAX_LATENESS"):
        assert name in str(caught.value)


@pytest.mark.parametrize(
    ("lookback", "span"), [("PT2H", "PT61M"), ("PT119M", "PT1H"), ("PT1H", "PT1S"), ("P1D", "P1D")]
)
def test_a_lookback_that_would_miss_operations_is_refused(lookback: str, span: str) -> None:
    """A lookback shorter than interval plus span is an error that names both settings."""
    with pytest.raises(SettingsError, match=r"LOOKBACK .*CORRELATION_SPAN"):
        rule_settings({"LOOKBACK": lookback, "CORRELATION_SPAN": span})


@pytest.mark.parametrize(
    ("lookback", "span"), [("PT2H", "PT1H"), ("PT1H1S", "PT1S"), ("P1DT1H", "P1D")]
)
def test_a_lookback_of_interval_and_span_is_enough(lookback: str, span: str) -> None:
    """A lookback of exactly interval plus span is accepted."""
    timing = rule_settings({"LOOKBACK": lookback, "CORRELATION_SPAN": span})
    assert timing.lookback == timing.span + HOUR


@pytest.mark.parametrize("text", NO_DURATION)
def test_an_invalid_duration_is_refused(text: str) -> None:
    """Anything but a positive number of days, hours, minutes and seconds is an error."""
    with pytest.raises(ValueError, match="is not a duration such as PT1H"):
        parse_duration(text)


@given(st.integers(0, 9999), st.integers(0, 999), st.integers(0, 9999), st.integers(0, 99999))
def test_a_duration_is_the_sum_of_its_parts(
    days: int, hours: int, minutes: int, seconds: int
) -> None:
    """Omitted parts count as zero, and a duration of zero is refused."""
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
    """The setting accepts true and false in any case."""
    assert rule_settings({"NOVELTY": text}).novelty is novelty


def test_novelty_accepts_nothing_else() -> None:
    """Any other value is refused, since a typing error must not switch it on."""
    with pytest.raises(SettingsError, match="NOVELTY is not true or false"):
        rule_settings({"NOVELTY": "off"})


SIGNED = "https://a.blob.core.windows.net/?sv=2024&sig=c2VjcmV0LXNpZ25hdHVyZQ"


@pytest.mark.parametrize("name", SETTINGS)
def test_no_value_is_repeated(name: str) -> None:
    """A key in the wrong setting appears in no message, in whole or in part."""
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
def test_an_address_without_a_valid_host_is_refused(name: str, host: str) -> None:
    """Empty labels and invalid ports are errors before any request."""
    with pytest.raises(SettingsError, match=f"{name} is not an https address"):
        read_settings({"WORKSPACE_IDS": GUID, name: f"https://{host}"}, complete=False)


@pytest.mark.parametrize("host", ["a.b-c.invalid/", "127.0.0.1:65535", "x", "A.Example:8443/"])
def test_an_address_with_a_valid_host_is_accepted(host: str) -> None:
    """Names and IP addresses are accepted, with or without a port."""
    given = {"WORKSPACE_IDS": GUID, "LOGS_QUERY_ENDPOINT": f"https://{host}"}
    assert read_settings(
        given, complete=False
    ).deployment.query_endpoint == f"https://{host}".rstrip("/")


def test_a_hidden_value_is_described() -> None:
    """The message says which form the setting has, and how long the given value is."""
    with pytest.raises(SettingsError) as caught:
        read_settings({"WORKSPACE_IDS": f"{GUID},x", "STATE_ACCOUNT_URL": SIGNED})
    message = str(caught.value)
    assert (
        f"is not the blob address of a storage account (given: {len(SIGNED)} characters)" in message
    )
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
def test_one_setting_selects_the_cloud(name: str) -> None:
    """The query endpoint follows from the cloud, and other addresses of that cloud are accepted."""
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
    """A service of another cloud would refuse the token, so the error names both settings."""
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
    """Only the three names of `az cloud list` are accepted."""
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
    """A mistake in SUCCESS_STATUSES is an error, as it would silently switch detection off."""
    with pytest.raises(SettingsError, match="SUCCESS_STATUSES"):
        rule_settings({"SUCCESS_STATUSES": statuses})
    for right in ("success", "Succeeded", "Success, Accepted"):
        rule_settings({"SUCCESS_STATUSES": right})


def test_deployment_settings_are_normalised() -> None:
    """Ids are lower case and unique, addresses lose their last slash, others have defaults."""
    service = read_settings(DEPLOYMENT).deployment
    assert service.workspace_ids == (OTHER_GUID, GUID)
    assert service.ingestion_endpoint == "https://rule.westeurope-1.ingest.monitor.azure.com"
    assert service.name == "local"
    assert service.watchlist_alias == "NetworkAllowlist"
    assert service.correlate_in == "auto"
    assert service.dry_run is False


def test_every_problem_of_the_deployment_settings_is_in_one_message() -> None:
    """One error names every missing and every unusable setting."""
    wrong = {
        "DEPLOYMENT_NAME": 'ours" or "a',
        "WORKSPACE_IDS": "my-workspace",
        "LOGS_INGESTION_ENDPOINT": "http://plain.example",
        "WATCHLIST_ALIAS": "x') | union Secrets //",
        "CORRELATE_IN": "elsewhere",
        "DRY_RUN": "perhaps",
    }
    with pytest.raises(SettingsError) as caught:
        read_settings(wrong)
    names = (*wrong, "LOGS_INGESTION_RULE_ID", "STATE_ACCOUNT_URL")
    assert all(name in str(caught.value) for name in names)


@pytest.mark.parametrize(
    "hostile",
    ["'); drop", "a b", "a\nb", 'x" or "1', "\u0430lias", "-x", "x" * 5 + "|", "x)//"],
)
def test_hostile_aliases_are_refused(hostile: str) -> None:
    """A watchlist alias that is not a plain name is refused before any query."""
    with pytest.raises(SettingsError, match="WATCHLIST_ALIAS"):
        read_settings(DEPLOYMENT | {"WATCHLIST_ALIAS": hostile})


@pytest.mark.parametrize("hostile", ["' or 1", GUID + "/query", "x", GUID + "\n| take 1"])
def test_hostile_workspace_ids_are_refused(hostile: str) -> None:
    """A workspace id that is not a GUID is refused."""
    with pytest.raises(SettingsError, match="WORKSPACE_IDS"):
        read_settings(DEPLOYMENT | {"WORKSPACE_IDS": hostile})
