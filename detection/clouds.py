"""The clouds that there are of Azure, each with its own services and sign-in.

They are named as `az cloud list` and Bicep's `environment().name` name them. What clients ask for
is what Microsoft's own take for each cloud: `azlogs/cloud_config.go` of monitor/query and of
monitor/ingestion in azure-sdk-for-go, LogsQueryAudience and LogsIngestionAudience in
azure-sdk-for-net, AzureAuthorityHosts in azure-identity. Storage takes tokens for
https://storage.azure.com in every cloud, which its client asks for.
"""

from typing import Final, NamedTuple
from urllib.parse import urlsplit


class Cloud(NamedTuple):
    """Where a cloud's services are, and whom the tokens for them are for."""

    name: str
    query: str  # the Log Analytics API's address; tokens are for it wherever it is reached
    ingestion: str  # whom tokens for the Logs Ingestion API are for; each rule has an address
    authority: str  # where tokens are given
    domains: tuple[str, ...]  # whatever ends so is this cloud's


CLOUDS: Final = {
    cloud.name: cloud
    for cloud in (
        Cloud(
            "AzureCloud",
            "https://api.loganalytics.io",
            "https://monitor.azure.com",
            "https://login.microsoftonline.com",
            ("azure.com", "windows.net", "loganalytics.io", "microsoftonline.com"),
        ),
        Cloud(
            "AzureUSGovernment",
            "https://api.loganalytics.us",
            "https://monitor.azure.us",
            "https://login.microsoftonline.us",
            ("azure.us", "usgovcloudapi.net", "loganalytics.us", "microsoftonline.us"),
        ),
        Cloud(
            "AzureChinaCloud",
            "https://api.loganalytics.azure.cn",
            "https://monitor.azure.cn",
            "https://login.chinacloudapi.cn",
            ("azure.cn", "chinacloudapi.cn", "microsoftonline.cn"),
        ),
    )
}


def cloud_of(address: str) -> str:
    """Return the name of the cloud that an address, with its scheme or without, is in, else ""."""
    try:
        host = urlsplit(address if "://" in address else f"https://{address}").hostname or ""
    except ValueError:
        return ""
    for cloud in CLOUDS.values():
        if any(f".{host}".endswith(f".{domain}") for domain in cloud.domains):
            return cloud.name
    return ""
