"""A misspelt setting is named with the right one, and no ordinary variable is taken for one."""

import pytest

from detection.misspelt import NAMES, misspelt_settings

# Of shells, CI, containers, proxies, Python, the Functions host and Azure's clients.
ORDINARY = frozenset(
    """
AGENT_ID APPDATA ARM_CLIENT_ID AZURE_AUTHORITY_HOST AZURE_CLIENT_CERTIFICATE_PATH
AZURE_CLIENT_ID AZURE_CLIENT_SECRET AZURE_CONFIG_DIR AZURE_CORE_OUTPUT AZURE_ENV_NAME
AZURE_FEDERATED_TOKEN_FILE AZURE_FUNCTIONS_ENVIRONMENT AZURE_HTTP_USER_AGENT AZURE_LOCATION
AZURE_REGION AZURE_RESOURCE_GROUP AZURE_STORAGE_CONNECTION_STRING AZURE_STORAGE_CONTAINER
AZURE_SUBSCRIPTION_ID AZURE_TENANT_ID APPLICATIONINSIGHTS_CONNECTION_STRING
AzureWebJobsFeatureFlags AzureWebJobsScriptRoot AzureWebJobsStorage
AzureWebJobsStorage__accountName BASH_ENV BUILD_ID CI CLOUD CLOUD_NAME COLUMNS COMPUTERNAME
CONTAINER_NAME DEBUG DEPLOYMENT_ENVIRONMENT DEPLOYMENT_ID DISPLAY ENVIRONMENT
FUNCTIONS_EXTENSION_VERSION FUNCTIONS_WORKER_RUNTIME FUNCTIONS_WORKER_RUNTIME_VERSION
GITHUB_WORKSPACE HOME HOSTNAME HTTPS_PROXY IDENTITY_ENDPOINT IDENTITY_HEADER IMDS_ENDPOINT LANG
LESSOPEN LOGNAME LOGS LOG_LEVEL LOOKUP LS_COLORS MSI_ENDPOINT NO_COLOR NO_PROXY NOVEL OLDPWD
PATH PWD PYTHONPATH REQUESTS_CA_BUNDLE RUNNER_WORKSPACE RUN_ID SHELL SHLVL SSH_AUTH_SOCK
STORAGE_ACCOUNT_URL STREAM STATE_DIR TEMP TERM USER USERPROFILE VIRTUAL_ENV WATCHLIST
WEBSITE_INSTANCE_ID WEBSITE_RUN_FROM_PACKAGE WORKSPACE WORKSPACE_FOLDER XDG_RUNTIME_DIR
""".split()  # noqa: SIM905 - a list of eighty names takes a page
)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("LOOKBCK", "LOOKBACK"),
        ("LOOKBAKC", "LOOKBACK"),
        ("lookback", "LOOKBACK"),
        ("WORKSPACE_ID", "WORKSPACE_IDS"),
        ("DRYRUN", "DRY_RUN"),
        ("SUCCESS_STATUS", "SUCCESS_STATUSES"),
        ("LOGS_INGESTION_ENDPONT", "LOGS_INGESTION_ENDPOINT"),
        ("DETECTION_SHEDULE", "DETECTION_SCHEDULE"),
        ("Novelty", "NOVELTY"),
    ],
)
def test_a_misspelt_setting_is_named(given: str, meant: str) -> None:
    """The sentence names the variable and the setting that it resembles."""
    sentence = f"{given} is not a setting: did you mean {meant}?"
    assert misspelt_settings({given, "PATH"}) == [sentence]
    assert misspelt_settings({given, meant}) == []


def test_ordinary_variables_are_none() -> None:
    """Variables of other programs resemble no setting, nor does a setting another one."""
    assert misspelt_settings(ORDINARY) == []
    for name in NAMES:
        assert misspelt_settings({name}) == []
