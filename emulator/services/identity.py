"""The token endpoint of an app's managed identity.

learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference describes
request and answer. With IDENTITY_ENDPOINT and IDENTITY_HEADER in its environment, Azure's client
library asks here for tokens.
"""

import time
from typing import Final
from urllib.parse import parse_qs, urlsplit

from emulator.services.http_server import LoopbackServer, QuietHandler

TOKEN: Final = "eyJhbGciOiJub25lIn0.c3RhbmQtaW4.c2VjcmV0"  # noqa: S105 - opens the emulator only
IDENTITY_HEADER: Final = "only-for-the-emulator"


class IdentityEndpoint(LoopbackServer):
    """Gives the emulator's token to whoever knows the header's value."""

    def __init__(self) -> None:
        super().__init__(_Handler)

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of a process that gets its tokens here."""
        return {
            "IDENTITY_ENDPOINT": f"{self.endpoint}/msi/token",
            "IDENTITY_HEADER": IDENTITY_HEADER,
        }


class _Handler(QuietHandler):
    def do_GET(self) -> None:
        """Answer with the token."""
        resources = parse_qs(urlsplit(self.path).query).get("resource")
        if self.headers.get("X-IDENTITY-HEADER") != IDENTITY_HEADER or resources is None:
            refusal = {"statusCode": 400, "message": "No such identity."}
            self.answer(400, refusal)
            return
        token = {
            "access_token": TOKEN,
            "expires_on": str(int(time.time()) + 3600),
            "resource": resources[0],
            "token_type": "Bearer",
        }
        self.answer(200, token)
