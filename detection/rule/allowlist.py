"""Clause 1 of the rule: excludes sign-ins from addresses in the NetworkAllowlist watchlist.

Entries become ranges of integers, merged and sorted, so that one binary search finds an address
among any number of entries. IPv4 follows KQL's parse_ipv4
(learn.microsoft.com/kusto/query/parse-ipv4-function). IPv6, and blanks around the ends of a range,
are difference D5.
"""

import re
import socket
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from detection.rule.log_rows import ALLOWLIST_TABLE

_OCTET = r"(0|[1-9]\d{0,2})"
_IPV4 = re.compile(r"\.".join([_OCTET] * 4), re.ASCII)
_PREFIX = re.compile(r"0|[1-9]\d{0,2}", re.ASCII)


class AddressRange(NamedTuple):
    """The addresses `low` to `high`, both included, of one IP version (4 or 6)."""

    version: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Allowlist:
    """The ranges of all valid entries, the invalid entries, and the number of blank items.

    `lows` and `highs` are the sorted ends of the ranges by IP version.
    """

    lows: dict[int, list[int]]
    highs: dict[int, list[int]]
    entries: int
    invalid: tuple[str, ...]
    blank: int

    @classmethod
    def of(cls, entries: Iterable[str]) -> "Allowlist":
        """Parse watchlist entries: an address, a CIDR block, or `low-high`.

        Blank items are no entries. An invalid entry excludes nothing and is listed in `invalid`
        (D5).
        """
        ranges: list[AddressRange] = []
        invalid: dict[str, None] = {}
        count = blank = 0
        for entry in map(str.strip, entries):
            if not entry:
                blank += 1
                continue
            count += 1
            found = parse_entry(entry)
            if found is None:
                invalid[entry] = None
            else:
                ranges.append(found)
        merged = {version: _merge(s for s in ranges if s.version == version) for version in (4, 6)}
        return cls(
            lows={version: [low for low, _ in pairs] for version, pairs in merged.items()},
            highs={version: [high for _, high in pairs] for version, pairs in merged.items()},
            entries=count,
            invalid=tuple(invalid),
            blank=blank,
        )

    @property
    def problem(self) -> str:
        """The reason why a watchlist with items has no entry; "" if it has entries or no items."""
        if not self.blank or self.entries:
            return ""
        (column,) = ALLOWLIST_TABLE.columns
        return (
            f"No item of {ALLOWLIST_TABLE.name} has a value in the column {column} (items: "
            f"{self.blank}): no sign-in is excluded; the column's name is case-sensitive"
        )

    def covers(self, address: str) -> bool:
        """Return True if an entry contains the address; a blank or invalid address is in none."""
        found = parse_address(address.strip())
        if found is None:
            return False
        position = bisect_right(self.lows[found.version], found.low) - 1
        return position >= 0 and found.low <= self.highs[found.version][position]


def parse_entry(entry: str) -> AddressRange | None:
    """Parse a trimmed watchlist entry; return None if it has none of the three forms."""
    if "-" in entry:
        left, _, right = entry.partition("-")
        low, high = parse_address(left.strip()), parse_address(right.strip())
        if low is None or high is None or low.version != high.version or low.low > high.low:
            return None
        return AddressRange(low.version, low.low, high.low)
    text, slash, prefix = entry.partition("/")
    address = parse_address(text)
    if address is None or not slash:
        return address
    bits = 32 if address.version == 4 else 128
    if not _PREFIX.fullmatch(prefix) or int(prefix) > bits:
        return None
    host = (1 << (bits - int(prefix))) - 1
    return AddressRange(address.version, address.low & ~host, address.low | host)


def parse_address(text: str) -> AddressRange | None:
    """Parse one address as a range of itself; return None if it is invalid.

    An IPv4 address is four decimal octets without leading zeros, as in KQL.
    """
    quad = _IPV4.fullmatch(text)
    if quad is not None:
        octets = [int(octet) for octet in quad.groups()]
        if max(octets) > 255:
            return None
        value = int.from_bytes(bytes(octets), "big")
        return AddressRange(4, value, value)
    try:
        value = int.from_bytes(socket.inet_pton(socket.AF_INET6, text), "big")
    except (OSError, ValueError):
        return None
    return AddressRange(6, value, value)


def _merge(ranges: Iterable[AddressRange]) -> list[tuple[int, int]]:
    """Join overlapping and adjacent ranges; the result is sorted and disjoint."""
    merged: list[tuple[int, int]] = []
    for _, low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return merged
