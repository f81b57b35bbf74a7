"""What it takes to let the real Azure clients talk to a stand-in: a credential, and plain http."""

import time
from typing import Any

from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import SansIOHTTPPolicy

TOKEN = "eyJhbGciOiJub25lIn0.c3RhbmQtaW4.c2VjcmV0"  # noqa: S105 - opens stand-ins only


class FakeCredential:
    """Gives the token of the stand-ins and remembers for which scopes and claims it was asked."""

    def __init__(self, token: str = TOKEN) -> None:
        self.token = token
        self.scopes: list[str] = []
        self.claims: list[str] = []

    def get_token(self, *scopes: str, claims: str | None = None, **options: object) -> AccessToken:
        """Answer clients that know only this way to ask."""
        del options
        self._note(scopes, claims)
        return AccessToken(self.token, int(time.time()) + 3600)

    def get_token_info(
        self, *scopes: str, options: TokenRequestOptions | None = None
    ) -> AccessTokenInfo:
        """Answer the clients of today."""
        self._note(scopes, (options or {}).get("claims"))
        return AccessTokenInfo(self.token, int(time.time()) + 3600)

    def _note(self, scopes: tuple[str, ...], claims: str | None) -> None:
        self.scopes.extend(scopes)
        self.claims.extend([claims] if claims else [])


class PlainHttp(SansIOHTTPPolicy[Any, Any]):
    """Lets a client send its token without TLS; it never leaves this machine."""

    def on_request(self, request: PipelineRequest[Any]) -> None:
        """Say so before the client's own policies look."""
        request.context.options["enforce_https"] = False


def loopback(**options: object) -> dict[str, Any]:
    """Return keyword arguments for an Azure client: plain http, no proxy, retries at once."""
    defaults: dict[str, Any] = {
        "per_call_policies": [PlainHttp()],
        "use_env_settings": False,
        "retry_backoff_factor": 0.001,
    }
    return defaults | options
