"""Options that let the real Azure clients use a stand-in: a credential and plain http."""

import time
from typing import Any

from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import SansIOHTTPPolicy

from emulator.services.identity import TOKEN


class FakeCredential:
    """Gives the stand-ins' token, and remembers the requested scopes and claims."""

    def __init__(self, token: str = TOKEN) -> None:
        self.token = token
        self.scopes: list[str] = []
        self.claims: list[str] = []

    def get_token(self, *scopes: str, claims: str | None = None, **options: object) -> AccessToken:
        """Return a token to clients that use the older method."""
        del options
        self._note(scopes, claims)
        return AccessToken(self.token, int(time.time()) + 3600)

    def get_token_info(
        self, *scopes: str, options: TokenRequestOptions | None = None
    ) -> AccessTokenInfo:
        """Return a token to current clients."""
        self._note(scopes, (options or {}).get("claims"))
        return AccessTokenInfo(self.token, int(time.time()) + 3600)

    def _note(self, scopes: tuple[str, ...], claims: str | None) -> None:
        self.scopes.extend(scopes)
        self.claims.extend([claims] if claims else [])


class PlainHttp(SansIOHTTPPolicy[Any, Any]):
    """Lets a client send its token without TLS, which is safe on one machine."""

    def on_request(self, request: PipelineRequest[Any]) -> None:
        """Allow http before the client's own policies check it."""
        request.context.options["enforce_https"] = False


def loopback(**options: object) -> dict[str, Any]:
    """Return keyword arguments for an Azure client: plain http, no proxy, immediate retries."""
    defaults: dict[str, Any] = {
        "per_call_policies": [PlainHttp()],
        "use_env_settings": False,
        "retry_backoff_factor": 0.001,
    }
    return defaults | options
