"""The template refuses parameters that Azure or the app would refuse later, with a sentence."""

import re
from pathlib import Path

import pytest

from detection.rule.ticks import SECOND, parse_duration
from detection.settings import SETTINGS
from tests.infra.compiler import (
    ACTION_GROUP,
    PRIVATE,
    SUBNETS,
    WORKSPACE,
    call,
    deploy,
    refusal,
)

FORM = (
    "It takes the form /subscriptions/<id>/resourceGroups/<group>/providers"
    "/Microsoft.OperationalInsights/workspaces/<name>, without a slash or a blank at the end"
)
COMPONENT = WORKSPACE.replace("OperationalInsights/workspaces", "Insights/components")
NO_WORKSPACES = {
    "empty": "",
    "a word": "law-security",
    "the workspace's GUID": "0f0e0d0c-0b0a-4908-8706-050403020100",
    "its group": WORKSPACE.partition("/providers")[0],
    "its provider": WORKSPACE.rpartition("/")[0],
    "a slash at the end": f"{WORKSPACE}/",
    "a blank at the end": f"{WORKSPACE} ",
    "a blank before": f" {WORKSPACE}",
    "one of its tables": f"{WORKSPACE}/tables/AzureActivity",
    "a component": COMPONENT,
    "no name": f"{WORKSPACE.rpartition('/')[0]}/",
    "no slash before": WORKSPACE[1:],
    "no group": re.sub("RG-Logs", "", WORKSPACE),
    "a portal link": f"https://portal.azure.com/#resource{WORKSPACE}",
}


def answers(folder: Path, function: str, texts: list[str]) -> list[object]:
    """Return the results of a function of checks.bicep; {} in `function` is the argument."""
    each = f"array = map(texts, text => library.{function.format('text')})"
    return list(call(folder, "checks.bicep", {"found": each}, {"texts": texts})["found"])


def test_only_ids_of_workspaces_are_accepted(tmp_path: Path) -> None:
    """An id is that of a workspace, in any case, and nothing before or after it."""
    function = "isResourceId({}, 'Microsoft.OperationalInsights/workspaces')"
    ids = [WORKSPACE, WORKSPACE.lower(), WORKSPACE.upper(), *NO_WORKSPACES.values()]
    expected = [True] * 3 + [False] * len(NO_WORKSPACES)
    assert answers(tmp_path, function, ids) == expected


@pytest.mark.parametrize("id_", ["", f"{WORKSPACE}/", COMPONENT])
def test_an_id_of_no_workspace_is_refused(tmp_path: Path, id_: str) -> None:
    """The sentence has the parameter, the value and the form that an id takes."""
    assert refusal(tmp_path, {"workspaceResourceId": id_}) == (
        f'workspaceResourceId: "{id_}" is not the resource id of a Log Analytics workspace. {FORM}'
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("furtherWorkspaceResourceIds", [WORKSPACE, f"{WORKSPACE}/"]),
        ("telemetryWorkspaceResourceId", COMPONENT),
        ("identityResourceId", WORKSPACE),
        ("alertsIdentityResourceId", "id-alerts"),
        ("actionGroupResourceIds", [ACTION_GROUP, WORKSPACE]),
        ("network", PRIVATE | {"appSubnetResourceId": SUBNETS.removesuffix("/subnets")}),
        ("network", PRIVATE | {"endpointSubnetResourceId": f"{SUBNETS}/"}),
        ("network", PRIVATE | {"blobDnsZoneResourceId": "privatelink.blob.core.windows.net"}),
        ("network", PRIVATE | {"privateLinkScopeResourceId": WORKSPACE}),
    ],
)
def test_an_id_of_another_resource_is_refused(tmp_path: Path, name: str, value: object) -> None:
    """Every parameter that takes a resource id names itself when it refuses one."""
    said = refusal(tmp_path, {name: value})
    assert re.match(rf'{name}[.\w]*: "[^"]*" is not the resource id of an? ', said)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"LOOKBACK": "2h"}, 'LOOKBACK is "2h", and takes a duration such as PT1H'),
        ({"MAX_LATENESS": "P0D"}, 'MAX_LATENESS is "P0D", and takes a duration'),
        ({"LOOKBACK": "PT1H"}, "LOOKBACK must be at least the hour between runs plus CORR"),
        ({"CORRELATION_SPAN": "P1D"}, "LOOKBACK must be at least the hour between runs plus"),
        ({"MAX_CATCH_UP": "PT59M"}, "MAX_CATCH_UP must be at least PT1H"),
        ({"WATCHLIST_ALIAS": "my list"}, 'WATCHLIST_ALIAS is "my list", and takes a watchlist'),
        ({"EXCLUSIONS_ALIAS": "1st"}, 'EXCLUSIONS_ALIAS is "1st", and takes a watchlist'),
        ({"SUCCESS_STATUSES": "OK"}, 'SUCCESS_STATUSES is "OK", and takes words of letters'),
        ({"LOGS_QUERY_ENDPOINT": "http://x"}, 'LOGS_QUERY_ENDPOINT is "http://x", and takes an'),
    ],
)
def test_settings_that_the_app_refuses_are_refused(
    tmp_path: Path, settings: dict[str, str], sentence: str
) -> None:
    """A setting that the app would refuse at its first run ends the deployment before."""
    assert refusal(tmp_path, {"settings": settings}).startswith(f"settings: {sentence}")


def test_every_problem_of_the_settings_is_named(tmp_path: Path) -> None:
    """Several unusable settings are refused at once."""
    wrong = {"LOOKBACK": "2h", "MAX_CATCH_UP": "", "WATCHLIST_ALIAS": "a b"}
    said = refusal(tmp_path, {"settings": wrong})
    assert all(f"{name} " in said for name in wrong)


@pytest.mark.parametrize(
    "settings", [{"CORRELATE_IN": "cluster"}, {"NOVELTY": "yes"}, {"DRY_RUN": "1"}]
)
def test_a_setting_has_one_of_its_values(tmp_path: Path, settings: dict[str, str]) -> None:
    """A setting with few values is refused with the list of them."""
    (name,) = settings
    with pytest.raises(AssertionError, match=rf'property "{name}" expected a value of type'):
        deploy(tmp_path, {"settings": settings})


DURATIONS = [
    *("PT1H", "PT90M", "P1D", "P7D", "P1DT2H", "PT1H30M", "PT1H30M15S", "PT15S", "PT1H15S"),
    *("P0D", "PT0S", "P1DT0H", "PT120M", "P9999D", "PT99999H", "P0001D", "P1DT1H1M1S"),
    *("", "P", "PT", "P1DT", "P1", "1D", "1H", "pt1h", "PT1h", "P1M", "P1Y", "P1W", "PT1D", "P1H"),
    *("P10000D", "PT100000H", "PT1M1H", "PT1S1M", "PT1H1H", "P-1D", "P1.5D", "PT1H ", " PT1H"),
    *("PT1H|", "P|T1H", "PTT1H", "P1DT1H1D", "PTH", "PD", "PT1HM", "P1D1D", "TP1D", "PT1H5"),
]


def test_durations_are_read_as_the_app_reads_them(tmp_path: Path) -> None:
    """The template reads a duration as the app does, and refuses exactly the same texts."""
    expected = []
    for text in DURATIONS:
        try:
            expected.append(parse_duration(text) // SECOND)
        except ValueError:
            expected.append(0)
    assert answers(tmp_path, "seconds({})", DURATIONS) == expected


@pytest.mark.parametrize(
    ("name", "function", "texts"),
    [
        (
            "WATCHLIST_ALIAS",
            "isAlias({})",
            ["NetworkAllowlist", "_x", "a-b", "A1", "", "1a", "-a", "a b", "a.b", "a/b", "é", "a "],
        ),
        (
            "LOGS_QUERY_ENDPOINT",
            "isEndpoint({})",
            [
                *("https://api.loganalytics.us", "https://a.b/", "https://localhost:8443", "", "x"),
                *(
                    "http://a.b",
                    "https://",
                    "https:///",
                    "https://a.b/v1",
                    "https://a b",
                    "https://a//",
                ),
            ],
        ),
    ],
)
def test_texts_are_read_as_the_app_reads_them(
    tmp_path: Path, name: str, function: str, texts: list[str]
) -> None:
    """The template accepts a text if it matches the app's own pattern for the setting."""
    expected = [bool(re.fullmatch(SETTINGS[name].pattern, text, re.ASCII)) for text in texts]
    assert {*expected} == {True, False}
    assert answers(tmp_path, function, texts) == expected


SCHEDULES = {
    **dict.fromkeys(
        [
            *("0 0 * * * *", "0 30 * * * *", "0 */15 * * * *", "0 0 0-23 * * *", "0 5,35 * * * *"),
            *("0 0 9-17/2 * * 1-5", "0 0 * 1 JAN Mon", "59 59 23 31 12 7", "0 0 * * jan-mar *"),
        ],
        True,
    ),
    **dict.fromkeys(
        [
            *("", "* * * * *", "0 0 * * *", "0 0 * * * * *", "hourly", "01:00:00", "60 0 * * * *"),
            *("0 0 24 * * *", "0 0 * 0 * *", "0 0 * 32 * *", "0 0 * * 13 *", "0 0 * * * 8"),
            *("0 0  * * * *", "0 0 * * * mon-", "0 0 * * * ,", "0 */0 * * * *", "0 1/2/3 * * * *"),
            *("0 1-2-3 * * * *", "-1 0 * * * *", "0 0 * * * x", "0 0 * * * * ", "%SCHEDULE%"),
        ],
        False,
    ),
}


def test_schedules_are_ncrontab_with_six_fields(tmp_path: Path) -> None:
    """The template accepts schedules of six fields with values in their ranges, and no other."""
    # https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-expressions
    found = answers(tmp_path, "isSchedule(split({}, ' '))", list(SCHEDULES))
    assert dict(zip(SCHEDULES, found, strict=True)) == SCHEDULES


def test_a_schedule_of_five_fields_is_refused(tmp_path: Path) -> None:
    """A crontab expression without seconds is refused with an example of six fields."""
    assert refusal(tmp_path, {"schedule": "0 * * * *"}) == (
        'schedule: "0 * * * *" is not an NCRONTAB expression with six fields: second, minute, '
        'hour, day, month and day of the week, such as "0 0 * * * *"'
    )


ADDRESSES = {
    **dict.fromkeys(["a@example.com", "a.b+c@mail.example.com", "O'Hara_1@x.co"], True),
    **dict.fromkeys(
        [
            *("", "soc", "a@b", "@x.com", "a@", "a b@x.com", "a@@x.com", "a@x..com", "a@x.com."),
            *("a@x.com,b@y.org", "a@x.com;b@y.org", "A <a@x.com>", " a@x.com", "a@x.com "),
        ],
        False,
    ),
}


def test_mail_addresses_are_single_addresses(tmp_path: Path) -> None:
    """An item of the list is one address, and not a list of them in one text."""
    found = answers(tmp_path, "isMailAddress({})", list(ADDRESSES))
    assert dict(zip(ADDRESSES, found, strict=True)) == ADDRESSES


def test_a_list_of_addresses_in_one_text_is_refused(tmp_path: Path) -> None:
    """Two addresses in one text are refused with a sentence, before anything is deployed."""
    assert refusal(tmp_path, {"alertEmails": ["a@x.com", "a@x.com,b@y.org"]}) == (
        'alertEmails: "a@x.com,b@y.org" is not an e-mail address. '
        "List several addresses as items of their own"
    )


@pytest.mark.parametrize(("groups", "emails"), [(6, 0), (5, 1), (5, 2)])
def test_more_action_groups_than_a_rule_takes_are_refused(
    tmp_path: Path, groups: int, emails: int
) -> None:
    """A rule takes five action groups, one of which addresses need."""
    given = {
        "actionGroupResourceIds": [f"{ACTION_GROUP}-{number}" for number in range(groups)],
        "alertEmails": ["a@x.com", "b@x.com"][:emails],
    }
    assert refusal(tmp_path, given) == (
        "actionGroupResourceIds: an alert rule takes five action groups, or four beside e-mail "
        "addresses"
    )
