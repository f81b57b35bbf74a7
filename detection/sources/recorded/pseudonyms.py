"""Replaces what names anybody or anything in recorded rows, so that a recording can be shared.

Equal values stay equal, also across columns and inside resource ids, and different ones different,
as the rule compares them; so the rule finds the same in the replaced rows. The key is drawn anew
for each recording and kept nowhere, so what was replaced cannot be told from the outcome. Times
stay, and so do the names of Azure's own services, the words of operation names that are Azure's
own, result codes and statuses: each only if it is known, or has a shape that can name nothing.
"""

import hashlib
import hmac
import ipaddress
import re
import secrets
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final

from detection.ranking.score import is_public
from detection.rule.allowlist import Span, parse_address, parse_entry
from detection.rule.filters import (
    CHANGE_TERMS,
    READ_TERMS,
    TARGET_TERMS,
)
from detection.rule.kql_text import ascii_lower, has, is_blank
from detection.rule.log_rows import (
    TableShape,
    is_nil_id,
)
from detection.rule.memo import Memo
from detection.rule.ticks import parse_time
from detection.sources.recorded.azure_words import AZURE_WORDS

KEPT: Final = {"TimeGenerated"}  # a number of ticks
NAMED: Final = {
    *("ServicePrincipalId", "ServicePrincipalName", "ResourceIdentity", "Caller"),
    *("ResourceGroup", "SubscriptionId", "Owner", "Reason"),
}
EVENTS: Final = {"Id", "EventDataId", "CorrelationId"}
PATHS: Final = {"ResourceId", "_ResourceId"}
ADDRESSES: Final = {"IPAddress", "CallerIpAddress"}

_SERVICES = {"azure key vault", "azure storage"}
_STATUSES = {
    *("accept", "accepted", "active", "canceled", "created", "failed", "failure", "in progress"),
    *("inprogress", "resolved", "start", "started", "succeeded", "success", "updated"),
}
_CODE = re.compile(r"[0-9]{1,9}", re.ASCII)
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_PATH_WORDS = {"", "subscriptions", "resourcegroups", "providers"}
_PRIVATE = 0xFD00 << 112  # the block for private addresses that no entry covers
_LETTERS = str.maketrans("0123456789abcdef", "abcdefghijklmnop")


class Pseudonyms:
    """The replacements of one recording."""

    def __init__(self, allowlist: Sequence[str] = (), key: bytes | None = None) -> None:
        """Replace addresses so that the same ones are in `allowlist`; `key` is random if None."""
        self._key = key or secrets.token_bytes(32)
        self._spans = [parse_entry(entry.strip()) for entry in allowlist]
        self._spelt: dict[str, dict[str, int]] = {}
        self._named = Memo[str, str](self._name)
        self._events = Memo[str, str](self._event)
        self._paths = Memo[str, str](lambda path: "/".join(map(self._segment, path.split("/"))))
        self._addresses = Memo[str, str](self._address)
        self._others = {
            "ResourceDisplayName": Memo[str, str](self._service),
            "OperationNameValue": Memo[str, str](
                lambda name: "/".join(map(self._word, name.split("/")))
            ),
            "ResultType": Memo[str, str](lambda text: self._kept(text, _is_code)),
            "ActivityStatusValue": Memo[str, str](lambda text: self._kept(text, _is_status)),
            "Expires": Memo[str, str](lambda text: self._kept(text, _is_time)),
        }

    def replace(self, shape: TableShape, row: Sequence[Any]) -> list[Any]:
        """Return a row with every value replaced that could name something."""
        return [
            value if column in KEPT else self._replacement(column)[value]
            for column, value in zip(shape.columns, row, strict=True)
        ]

    def entries(self, allowlist: Sequence[str]) -> list[str]:
        """Return as many entries as `allowlist`, which cover the replaced addresses it covered."""
        return [
            self._entry(number, entry, blank=is_blank(entry))
            for number, entry in enumerate(allowlist)
        ]

    def _replacement(self, column: str) -> Memo[str, str]:
        """Return how a column's values are replaced; raises KeyError for one nobody decided on."""
        for columns, memo in (
            (NAMED, self._named),
            (EVENTS, self._events),
            (PATHS, self._paths),
            (ADDRESSES, self._addresses),
        ):
            if column in columns:
                return memo
        return self._others[column]

    def _name(self, text: str) -> str:
        """Replace a name or id; spellings that differ in case only differ so again."""
        if is_blank(text):
            return text
        digest = self._digest(ascii_lower(text))
        guid = _GUID.fullmatch(text) is not None
        token = str(uuid.UUID(bytes=digest[:16], version=4)) if guid else f"x-{_letters(digest)}"
        return _in_case(token, self._spelling(text))

    def _event(self, text: str) -> str:
        """Replace the id of an event, which is compared with case; what is no id stays."""
        if is_nil_id(text):
            return text
        return str(uuid.UUID(bytes=self._digest(f"event {text}")[:16], version=4))

    def _segment(self, text: str) -> str:
        return text if ascii_lower(text) in _PATH_WORDS else self._named[text]

    def _kept(self, text: str, is_harmless: Callable[[str], bool]) -> str:
        return text if is_harmless(text) else self._named[text]

    def _service(self, text: str) -> str:
        """Keep what Azure itself calls a service; else only the rule's terms in it."""
        if ascii_lower(text) in _SERVICES:
            return text
        found = [term for term in TARGET_TERMS if has(text, term)]
        return "/".join([self._named[text], *found])

    def _word(self, text: str) -> str:
        """Keep a part of an operation's name that is Azure's; else only the rule's terms in it."""
        if ascii_lower(text) in AZURE_WORDS:
            return text
        found = [term for term in CHANGE_TERMS + READ_TERMS if has(text, term)]
        return "-".join([self._named[text], *found])

    def _address(self, text: str) -> str:
        """Replace an address; those of an entry stay together, those of none apart from them."""
        if is_blank(text):
            return text
        span = parse_address(text.strip())
        if span is None:
            return self._named[text]
        host = int.from_bytes(self._digest(f"address {ascii_lower(text)}")[:8], "big")
        public = is_public(text.strip())
        return str(ipaddress.IPv6Address(self._block_of(span, public=public) + host))

    def _block_of(self, span: Span, *, public: bool) -> int:
        """Return the block of the first entry that covers an address, or of those uncovered."""
        for number, entry in enumerate(self._spans):
            if entry is None or entry.version != span.version:
                continue
            if entry.low <= span.low <= entry.high:
                return _block(number)
        return _block(2**32 - 1) if public else _PRIVATE

    def _entry(self, number: int, text: str, *, blank: bool) -> str:
        if blank:
            return text
        if self._spans[number] is None:
            return self._named[text.strip()]
        low = ipaddress.IPv6Address(_block(number))
        return f"{low} - {low + (2**64 - 1)}" if "-" in text else f"{low}/64"

    def _digest(self, text: str) -> bytes:
        return hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), hashlib.sha256)

    def _spelling(self, text: str) -> int:
        """Return the number of a text among the spellings that came of it."""
        known = self._spelt.setdefault(ascii_lower(text), {})
        return known.setdefault(text, len(known))


def _is_code(text: str) -> bool:
    return _CODE.fullmatch(text) is not None


def _is_status(text: str) -> bool:
    return ascii_lower(text) in _STATUSES


def _is_time(text: str) -> bool:
    try:
        parse_time(text)
    except ValueError:
        return False
    return True


def _letters(digest: bytes) -> str:
    """Return 20 letters, as nothing that looks like a number, an address or a term."""
    return digest.hex()[:20].translate(_LETTERS)


def _in_case(token: str, spelling: int) -> str:
    """Write a token so that each spelling differs from every other."""
    letters = list(token)
    for place, letter in enumerate(letters):
        if letter.isalpha():
            if spelling & 1:
                letters[place] = letter.upper()
            spelling >>= 1
    return "".join(letters)


def _block(number: int) -> int:
    """Return the first address of an entry's block, in the network kept for documentation."""
    return (0x20010DB8 << 96) + (number << 64)
