"""The app has every setting that the product reads, and no other."""

import json
import re
from pathlib import Path

import pytest

from detection.settings import SETTINGS, read_settings, rule_settings
from tests.infra.compiler import CHOSEN, Deployment, deploy
from tests.support import ROOT

SAMPLE = json.loads((ROOT / "local.settings.sample.json").read_bytes())["Values"]
PRODUCT = {*SETTINGS, "DETECTION_SCHEDULE"}
OPTIONAL = {"LOGS_QUERY_ENDPOINT"}  # follows from the cloud
# Settings that the Functions host and the Azure SDKs read.
HOST = {
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "AZURE_CLIENT_ID",
    "AzureWebJobsStorage__accountName",
    "AzureWebJobsStorage__clientId",
    "AzureWebJobsStorage__credential",
}
# Settings that a laptop needs and Flex Consumption refuses, or that must not be plain text there.
LOCAL = {"AzureWebJobsStorage", "FUNCTIONS_WORKER_RUNTIME"}
# Azure's values for expressions that only Azure can evaluate.
KNOWN_TO_AZURE = {
    "environment().name": "AzureCloud",
    ".customerId": "0f0e0d0c-0b0a-4908-8706-050403020100",
    ".endpoints.logsIngestion": "https://dcr-impact-ab12.westeurope-1.ingest.monitor.azure.com",
    ".immutableId": "dcr-" + "0" * 32,
    ".primaryEndpoints.blob": "https://stimpact.blob.core.windows.net/",
}


def evaluated(value: str) -> str:
    """Return a setting's value as Azure would evaluate it."""
    if not value.startswith("["):
        return value
    (known,) = [text for expression, text in KNOWN_TO_AZURE.items() if expression in value]
    return known


def test_settings_are_those_of_the_product(plain: Deployment) -> None:
    """The app's settings are those of the product and the host, and no others."""
    assert plain.settings.keys() == PRODUCT - OPTIONAL | HOST


def test_the_sample_lists_the_same_settings() -> None:
    """local.settings.sample.json lists exactly the settings that the product reads."""
    assert SAMPLE.keys() - LOCAL == PRODUCT


def test_the_product_accepts_the_settings(plain: Deployment) -> None:
    """The product accepts the app's settings, and they equal its defaults."""
    given = {k: evaluated(v) for k, v in plain.settings.items() if k in PRODUCT}
    service = read_settings(given).deployment
    assert rule_settings(given) == rule_settings({})
    needed = {name for name, setting in SETTINGS.items() if not setting.default} - OPTIONAL
    needed.add("DEPLOYMENT_NAME")  # the alert rules count its rows by it
    defaults = read_settings({name: given[name] for name in needed}).deployment
    assert service == defaults
    assert given["DETECTION_SCHEDULE"] == SAMPLE["DETECTION_SCHEDULE"]


def test_the_app_has_a_name_of_its_own(plain: Deployment, chosen: Deployment) -> None:
    """Each deployment names itself in its rows, by the suffix of its resources' names."""
    names = [found.settings["DEPLOYMENT_NAME"] for found in (plain, chosen)]
    apps = [found.one("Microsoft.Web/sites")["name"] for found in (plain, chosen)]
    assert apps == [f"func-impact-{name}" for name in names]
    assert len({*names, SETTINGS["DEPLOYMENT_NAME"].default}) == 3


def test_the_app_has_its_cloud_as_a_setting(plain: Deployment) -> None:
    """The cloud is that of the deployment, so clients request tokens that it accepts."""
    assert "environment().name" in plain.settings["AZURE_CLOUD"]


def test_host_storage_is_reached_by_identity(plain: Deployment) -> None:
    """The host has the account's name and an identity, never a connection string or an address."""
    settings = plain.settings
    account = plain.one("Microsoft.Storage/storageAccounts")["name"]
    assert settings["AzureWebJobsStorage__accountName"] == account
    assert settings["AzureWebJobsStorage__credential"] == "managedidentity"
    client = settings["AZURE_CLIENT_ID"]
    assert re.fullmatch(
        r"\[reference\('[^']+/id-impact-[a-z0-9]{13}', '[^']+'\)\.clientId\]", client
    )
    assert settings["AzureWebJobsStorage__clientId"] == client
    hosts = {name for name in settings if name.startswith("AzureWebJobs")}
    assert hosts == {name for name in HOST if name.startswith("AzureWebJobs")}


def test_telemetry_is_sent_with_the_identity(plain: Deployment) -> None:
    """Telemetry is authenticated by the app's identity."""
    client = plain.settings["AZURE_CLIENT_ID"].strip("[]")
    assert plain.settings["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"] == (
        f"[format('ClientId={{0}};Authorization=AAD', {client})]"
    )


def test_every_workspace_is_listed_once(chosen: Deployment) -> None:
    """Each workspace's id is in the settings once, even if given twice in another case."""
    value = chosen.settings["WORKSPACE_IDS"]
    names = re.findall(r"/([^/']+)', '[^']+'\)\.customerId", value)
    assert names == ["law-security", "other-security"]
    assert value.startswith("[join(createArray(")
    assert value.endswith(", ',')]")


def test_settings_can_be_chosen(chosen: Deployment) -> None:
    """A given setting replaces the default, and so does the schedule."""
    chosen_values = {"LOOKBACK": "PT3H", "DRY_RUN": "true", "DETECTION_SCHEDULE": "0 30 * * * *"}
    assert chosen.settings.items() >= chosen_values.items()
    memory = chosen.one("Microsoft.Web/sites")["properties"]["functionAppConfig"]
    assert memory["scaleAndConcurrency"]["instanceMemoryMB"] == CHOSEN["instanceMemoryMB"]


def test_other_settings_are_refused(tmp_path: Path) -> None:
    """A setting that the product does not read, or that the deployment defines, is an error."""
    names = ("LOOKBAK", "STATE_CONTAINER", "FINDINGS_STREAM", "WORKSPACE_IDS")
    with pytest.raises(AssertionError) as refused:
        deploy(tmp_path, {"settings": dict.fromkeys(names, "x")})
    for name in names:
        assert f'property "{name}" is not allowed' in str(refused.value)
