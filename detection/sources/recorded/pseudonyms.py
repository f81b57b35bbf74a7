"""Replaces identifying values of recorded rows by pseudonyms, so that a recording can be shared.

Equal values get equal pseudonyms, also across columns and inside resource ids, and different
values get different ones, as the rule compares them; so the rule finds the same in the replaced
rows. The key is random for each recording and stored nowhere, so nobody can compute the values
back. Times are kept. Names of Azure's services, Azure's words in operation names, result codes and
statuses are kept only if they are known, or have a form that cannot identify anything.
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
from detection.rule.allowlist import AddressRange, parse_address, parse_entry
from detection.rule.filters import (
    CHANGE_TERMS,
    READ_TERMS,
    TARGET_SERVICES,
)
from detection.rule.kql_text import ascii_lower, has, is_blank
from detection.rule.log_rows import (
    TableShape,
    is_nil_id,
)
from detection.rule.memo import Memo
from detection.rule.ticks import parse_time
from detection.sources.recorded.azure_words import AZURE_WORDS

KEPT: Final = {"TimeGenerated"}  # ticks
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
_PRIVATE = 0xFD00 << 112  # block of the private addresses that no allowlist entry covers
_LETTERS = str.maketrans("0123456789abcdef", "abcdefghijklmnop")


class Pseudonyms:
    """The pseudonyms of one recording."""

    def __init__(self, allowlist: Sequence[str] = (), key: bytes | None = None) -> None:
        """Replace addresses so that `allowlist` covers the same ones; `key` is random if None."""
        self._key = key or secrets.token_bytes(32)
        self._spans = [parse_entry(entry.strip()) for entry in allowlist]
        self._spellings: dict[str, dict[str, int]] = {}
        self._name_memo = Memo[str, str](self._name)
        self._event_memo = Memo[str, str](self._event)
        self._path_memo = Memo[str, str](lambda path: "/".join(map(self._segment, path.split("/"))))
        self._address_memo = Memo[str, str](self._address)
        self._memo_by_column = {
            "ResourceDisplayName": Memo[str, str](self._service),
            "OperationNameValue": Memo[str, str](
                lambda name: "/".join(map(self._word, name.split("/")))
            ),
            "ResultType": Memo[str, str](lambda text: self._keep_if(text, _is_code)),
            "ActivityStatusValue": Memo[str, str](lambda text: self._keep_if(text, _is_status)),
            "Expires": Memo[str, str](lambda text: self._keep_if(text, _is_time)),
        }

    def replace(self, shape: TableShape, row: Sequence[Any]) -> list[Any]:
        """Return the values of a row with pseudonyms for all that could identify something."""
        return [
            value if column in KEPT else self._memo_for(column)[value]
            for column, value in zip(shape.columns, row, strict=True)
        ]

    def replace_allowlist(self, allowlist: Sequence[str]) -> list[str]:
        """Return the allowlist's entries, replaced one by one.

        They cover the replacement of an address if, and only if, `allowlist` covers the address.
        """
        return [
            self._entry(number, entry, blank=is_blank(entry))
            for number, entry in enumerate(allowlist)
        ]

    def _memo_for(self, column: str) -> Memo[str, str]:
        """Return the memo that replaces a column's values; raises KeyError for an unknown one."""
        for columns, memo in (
            (NAMED, self._name_memo),
            (EVENTS, self._event_memo),
            (PATHS, self._path_memo),
            (ADDRESSES, self._address_memo),
        ):
            if column in columns:
                return memo
        return self._memo_by_column[column]

    def _name(self, text: str) -> str:
        """Replace a name or id; pseudonyms differ only in case where the names do."""
        if is_blank(text):
            return text
        digest = self._digest(ascii_lower(text))
        guid = _GUID.fullmatch(text) is not None
        token = str(uuid.UUID(bytes=digest[:16], version=4)) if guid else f"x-{_letters(digest)}"
        return _vary_case(token, self._spelling_number(text))

    def _event(self, text: str) -> str:
        """Replace an event's id, which is compared case-sensitively; keep a blank or nil id."""
        if is_nil_id(text):
            return text
        return str(uuid.UUID(bytes=self._digest(f"event {text}")[:16], version=4))

    def _segment(self, text: str) -> str:
        return text if ascii_lower(text) in _PATH_WORDS else self._name_memo[text]

    def _keep_if(self, text: str, is_safe: Callable[[str], bool]) -> str:
        return text if is_safe(text) else self._name_memo[text]

    def _service(self, text: str) -> str:
        """Keep the name of an Azure service; of another name keep only the rule's terms in it."""
        if ascii_lower(text) in _SERVICES:
            return text
        terms = [term for term in TARGET_SERVICES if has(text, term)]
        return "/".join([self._name_memo[text], *terms])

    def _word(self, text: str) -> str:
        """Keep a word of Azure's in an operation's name; of another keep only the rule's terms."""
        if ascii_lower(text) in AZURE_WORDS:
            return text
        terms = [term for term in CHANGE_TERMS + READ_TERMS if has(text, term)]
        return "-".join([self._name_memo[text], *terms])

    def _address(self, text: str) -> str:
        """Replace an address by one of the same block: that of the entry that covers it, if any."""
        if is_blank(text):
            return text
        span = parse_address(text.strip())
        if span is None:
            return self._name_memo[text]
        host = int.from_bytes(self._digest(f"address {ascii_lower(text)}")[:8], "big")
        public = is_public(text.strip())
        return str(ipaddress.IPv6Address(self._block_of(span, public=public) + host))

    def _block_of(self, span: AddressRange, *, public: bool) -> int:
        """Return the block of the first entry that covers an address, or of uncovered ones."""
        for number, entry in enumerate(self._spans):
            if entry is None or entry.version != span.version:
                continue
            if entry.low <= span.low <= entry.high:
                return _block_start(number)
        return _block_start(2**32 - 1) if public else _PRIVATE

    def _entry(self, number: int, text: str, *, blank: bool) -> str:
        if blank:
            return text
        if self._spans[number] is None:
            return self._name_memo[text.strip()]
        low = ipaddress.IPv6Address(_block_start(number))
        return f"{low} - {low + (2**64 - 1)}" if "-" in text else f"{low}/64"

    def _digest(self, text: str) -> bytes:
        return hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), hashlib.sha256)

    def _spelling_number(self, text: str) -> int:
        """Return the number of a text among its spellings in upper and lower case, from 0."""
        numbers = self._spellings.setdefault(ascii_lower(text), {})
        return numbers.setdefault(text, len(numbers))


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
    """Return 20 letters that cannot be taken for a number, an address or a term of the rule."""
    return digest.hex()[:20].translate(_LETTERS)


def _vary_case(token: str, spelling: int) -> str:
    """Return a token in the upper and lower case of one spelling, different for each number."""
    letters = list(token)
    for place, letter in enumerate(letters):
        if letter.isalpha():
            if spelling & 1:
                letters[place] = letter.upper()
            spelling >>= 1
    return "".join(letters)


def _block_start(number: int) -> int:
    """Return the first address of an entry's /64 block, in the network for documentation."""
    return (0x20010DB8 << 96) + (number << 64)
