"""Pseudonyms for names, ids and addresses in recorded rows, so that a recording can be shared.

Equal values get equal pseudonyms, also across columns and inside resource ids, and different values
get different ones, as the rule compares them. So the rule finds the same in the replaced rows. Each
recording has a new random key, which is kept nowhere, so nobody can undo the replacement. Times
stay. Names of Azure's services, Azure's words in operation names, result codes and statuses stay
if they are known or have a form that cannot identify anybody.
"""

import hashlib
import hmac
import ipaddress
import re
import secrets
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from detection.ranking.classify import CHANGE_CLASSES
from detection.ranking.identity_details import SYSTEM_ASSIGNED, USER_ASSIGNED
from detection.ranking.networks import public_network
from detection.ranking.roles import builtin_role_names, builtin_roles
from detection.rule.allowlist import AddressRange, parse_address, parse_entry
from detection.rule.exclusions import named_classes
from detection.rule.filters import (
    CHANGE_TERMS,
    OTHER_SUCCESS,
    READ_TERMS,
    SUCCESS,
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
from detection.sources.recorded.treatments import TREATMENTS, Treatment

_SERVICES = {"azure key vault", "azure storage"}
_STATUSES = {
    *("accept", "accepted", "active", "canceled", "created", "failed", "failure", "in progress"),
    *("inprogress", "resolved", "start", "started", "updated"),
    *map(ascii_lower, (SUCCESS, OTHER_SUCCESS)),
}
_KINDS = {
    *("", "device", "foreigngroup", "group", "serviceprincipal", "user"),
    *map(ascii_lower, (SYSTEM_ASSIGNED, USER_ASSIGNED)),
}
_CODE = re.compile(r"[0-9]{1,9}", re.ASCII)
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_PATH_WORDS = {
    *("", "subscriptions", "resourcegroups", "providers", "microsoft.management"),
    *("managementgroups", "microsoft.authorization", "roleassignments"),
}
_PRIVATE = 0xFD00 << 112  # a block for the private addresses that no entry covers
_NETWORKS = 0x3FFF << 112  # 4,096 networks for documentation (RFC 9637), for the other addresses
_LETTERS = str.maketrans("0123456789abcdef", "abcdefghijklmnop")


class Pseudonyms:
    """The replacements of one recording."""

    def __init__(self, allowlist: Sequence[str] = (), key: bytes | None = None) -> None:
        """Replace addresses so that the same ones are in `allowlist`; `key` is random if None."""
        self._key = key or secrets.token_bytes(32)
        self._ranges = [parse_entry(entry.strip()) for entry in allowlist]
        self._spelt: dict[str, dict[str, int]] = {}
        self._networks: dict[str, int] = {}
        self._names = Memo[str, str](self._name)
        self._replacements = {
            Treatment.NAME: self._names,
            Treatment.EVENT: Memo[str, str](self._event),
            Treatment.PATH: Memo[str, str](self._path),
            Treatment.ADDRESS: Memo[str, str](self._address),
            Treatment.SERVICE: Memo[str, str](self._service),
            Treatment.OPERATION: Memo[str, str](self._operation),
            Treatment.CODE: Memo[str, str](lambda text: self._kept(text, _is_code)),
            Treatment.STATUS: Memo[str, str](lambda text: self._kept(text, _is_status)),
            Treatment.EXPIRY: Memo[str, str](lambda text: self._kept(text, _is_time)),
            Treatment.KIND: Memo[str, str](lambda text: self._kept(text, _is_kind)),
            Treatment.ROLE: Memo[str, str](lambda text: self._kept(text, _is_builtin_role)),
            Treatment.CLASSES: Memo[str, str](lambda text: self._kept(text, _names_classes)),
        }

    def replace(self, shape: TableShape, row: Sequence[Any]) -> list[Any]:
        """Return a row of a log or of the exclusions with its values replaced by column.

        Raises KeyError for a column without a treatment, and for the allowlist's.
        """
        treatments = [TREATMENTS[column] for column in shape.columns]
        return [
            value if treatment is Treatment.KEEP else self._replacements[treatment][value]
            for treatment, value in zip(treatments, row, strict=True)
        ]

    def replace_allowlist(self, allowlist: Sequence[str]) -> list[str]:
        """Return the entries of `allowlist` replaced, so that they cover the same rows."""
        return [
            self._entry(number, entry, blank=is_blank(entry))
            for number, entry in enumerate(allowlist)
        ]

    def _name(self, text: str) -> str:
        """Replace a name or id; spellings that differ in case only differ in case again."""
        if is_blank(text):
            return text
        digest = self._digest(ascii_lower(text))
        guid = _GUID.fullmatch(text) is not None
        token = str(uuid.UUID(bytes=digest[:16], version=4)) if guid else f"x-{_letters(digest)}"
        return _in_case(token, self._spelling(text))

    def _event(self, text: str) -> str:
        """Replace the id of an event, which is compared with case; a blank or nil id stays."""
        if is_nil_id(text):
            return text
        return str(uuid.UUID(bytes=self._digest(f"event {text}")[:16], version=4))

    def _path(self, text: str) -> str:
        """Replace the parts of a resource id that are names."""
        return "/".join(map(self._segment, text.split("/")))

    def _segment(self, text: str) -> str:
        return text if ascii_lower(text) in _PATH_WORDS else self._names[text]

    def _kept(self, text: str, is_harmless: Callable[[str], bool]) -> str:
        return text if is_harmless(text) else self._names[text]

    def _service(self, text: str) -> str:
        """Keep a name of an Azure service; replace any other, but append the rule's terms in it."""
        if ascii_lower(text) in _SERVICES:
            return text
        found = [term for term in TARGET_TERMS if has(text, term)]
        return "/".join([self._names[text], *found])

    def _operation(self, text: str) -> str:
        """Replace the words of an operation name that are not Azure's own."""
        return "/".join(map(self._word, text.split("/")))

    def _word(self, text: str) -> str:
        """Keep a word of Azure's own; replace any other, but append the rule's terms in it."""
        if ascii_lower(text) in AZURE_WORDS:
            return text
        found = [term for term in CHANGE_TERMS + READ_TERMS if has(text, term)]
        return "-".join([self._names[text], *found])

    def _address(self, text: str) -> str:
        """Replace an address by one in the block of its allowlist entry, or outside all entries."""
        if is_blank(text):
            return text
        span = parse_address(text.strip())
        if span is None:
            return self._names[text]
        host = int.from_bytes(self._digest(f"address {ascii_lower(text)}")[:8], "big")
        return str(ipaddress.IPv6Address(self._block_of(span, public_network(text)) + host))

    def _block_of(self, span: AddressRange, network: str) -> int:
        """Return the block of the first entry that covers an address, else one of its network."""
        for number, entry in enumerate(self._ranges):
            if entry is None or entry.version != span.version:
                continue
            if entry.low <= span.low <= entry.high:
                return _block(number)
        if not network:
            return _PRIVATE
        return _NETWORKS + (self._networks.setdefault(network, len(self._networks)) % 4096 << 96)

    def _entry(self, number: int, text: str, *, blank: bool) -> str:
        if blank:
            return text
        if self._ranges[number] is None:
            return self._names[text.strip()]
        low = ipaddress.IPv6Address(_block(number))
        return f"{low} - {low + (2**64 - 1)}" if "-" in text else f"{low}/64"

    def _digest(self, text: str) -> bytes:
        return hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), hashlib.sha256)

    def _spelling(self, text: str) -> int:
        """Return the number of this spelling among those of the same text so far."""
        known = self._spelt.setdefault(ascii_lower(text), {})
        return known.setdefault(text, len(known))


def _is_code(text: str) -> bool:
    return _CODE.fullmatch(text) is not None


def _is_status(text: str) -> bool:
    return ascii_lower(text) in _STATUSES


def _is_kind(text: str) -> bool:
    return ascii_lower(text) in _KINDS


def _is_builtin_role(text: str) -> bool:
    return text in builtin_roles() or ascii_lower(text) in builtin_role_names()


def _names_classes(text: str) -> bool:
    return CHANGE_CLASSES.issuperset(named_classes(text))


def _is_time(text: str) -> bool:
    try:
        parse_time(text)
    except ValueError:
        return False
    return True


def _letters(digest: bytes) -> str:
    """Return 20 letters, which cannot look like a number, an address or a term."""
    return digest.hex()[:20].translate(_LETTERS)


def _in_case(token: str, spelling: int) -> str:
    """Return a token with its letters in upper or lower case by the number of the spelling."""
    letters = list(token)
    for place, letter in enumerate(letters):
        if letter.isalpha():
            if spelling & 1:
                letters[place] = letter.upper()
            spelling >>= 1
    return "".join(letters)


def _block(number: int) -> int:
    """Return the first address of an entry's block, in the network reserved for documentation."""
    return (0x20010DB8 << 96) + (number << 64)
