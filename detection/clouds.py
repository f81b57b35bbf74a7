"""The Azure clouds: public, US Government and China, each with its own endpoints and sign-in.

The names are those of `az cloud list` and of Bicep's `environment().name`. The endpoints and token
audiences are those of Microsoft's SDKs: `azlogs/cloud_config.go` of monitor/query and of
monitor/ingestion in azure-sdk-for-go, LogsQueryAudience and LogsIngestionAudience in
azure-sdk-for-net, AzureAuthorityHosts in azure-identity; the portals are those of
`az cloud show`. Storage needs no entry: its audience is
https://storage.azure.com in every cloud, and its client knows that.
"""

from typing import Final, NamedTuple
from urllib.parse import urlsplit


class Cloud(NamedTuple):
    """The endpoints and token audiences of one cloud."""

    name: str
    query: str  # address of the Log Analytics API, and token audience even behind a proxy
    ingestion: str  # token audience of the Logs Ingestion API; each rule has its own address
    authority: str  # the address that issues tokens
    portal: str  # the address of the Azure portal
    domains: tuple[str, ...]  # the ends of this cloud's host names


CLOUDS: Final = {
    cloud.name: cloud
    for cloud in (
        Cloud(
            "AzureCloud",
            "https://api.loganalytics.io",
            "https://monitor.azure.com",
            "https://login.microsoftonline.com",
            "https://portal.azure.com",
            ("azure.com", "windows.net", "loganalytics.io", "microsoftonline.com"),
        ),
        Cloud(
            "AzureUSGovernment",
            "https://api.loganalytics.us",
            "https://monitor.azure.us",
            "https://login.microsoftonline.us",
            "https://portal.azure.us",
            ("azure.us", "usgovcloudapi.net", "loganalytics.us", "microsoftonline.us"),
        ),
        Cloud(
            "AzureChinaCloud",
            "https://api.loganalytics.azure.cn",
            "https://monitor.azure.cn",
            "https://login.chinacloudapi.cn",
            "https://portal.azure.cn",
            ("azure.cn", "chinacloudapi.cn", "microsoftonline.cn"),
        ),
    )
}

PUBLIC: Final = CLOUDS["AzureCloud"]


def cloud_of(address: str) -> str:
    """Return the name of the cloud of an address (with or without scheme); "" if it has none."""
    try:
        host = urlsplit(address if "://" in address else f"https://{address}").hostname or ""
    except ValueError:
        return ""
    for cloud in CLOUDS.values():
        if any(f".{host}".endswith(f".{domain}") for domain in cloud.domains):
            return cloud.name
    return ""
