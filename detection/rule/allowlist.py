"""Clause 1 of the rule: sign-ins from the addresses of the NetworkAllowlist watchlist are left out.

Entries become spans of integers, merged and sorted, so that one bisection answers for any number
of entries. IPv4 follows KQL's parse_ipv4 (learn.microsoft.com/kusto/query/parse-ipv4-function);
IPv6 and blanks around the ends of a range are difference D5.
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


class Span(NamedTuple):
    """The addresses `low` to `high`, both included, of one IP version (4 or 6)."""

    version: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Allowlist:
    """The spans of every readable entry, the entries that could not be read, and blank items."""

    lows: dict[int, list[int]]
    highs: dict[int, list[int]]
    entries: int
    invalid: tuple[str, ...]
    blank: int

    @classmethod
    def of(cls, entries: Iterable[str]) -> "Allowlist":
        """Read watchlist entries: an address, a CIDR block, or `low-high`; blank ones are no entry.

        An entry that cannot be read excludes nothing and is kept in `invalid` (D5).
        """
        spans: list[Span] = []
        invalid: dict[str, None] = {}
        count = blank = 0
        for entry in map(str.strip, entries):
            if not entry:
                blank += 1
                continue
            count += 1
            span = parse_entry(entry)
            if span is None:
                invalid[entry] = None
            else:
                spans.append(span)
        merged = {version: _merge(s for s in spans if s.version == version) for version in (4, 6)}
        return cls(
            lows={version: [low for low, _ in pairs] for version, pairs in merged.items()},
            highs={version: [high for _, high in pairs] for version, pairs in merged.items()},
            entries=count,
            invalid=tuple(invalid),
            blank=blank,
        )

    @property
    def problem(self) -> str:
        """A sentence on why the watchlist is of no use though it has items; "" if it is of use."""
        if not self.blank or self.entries:
            return ""
        (column,) = ALLOWLIST_TABLE.columns
        return (
            f"{self.blank} items of {ALLOWLIST_TABLE.name} have no {column}: no sign-in is left "
            "out; the column's name is case-sensitive"
        )

    def covers(self, address: str) -> bool:
        """Whether a sign-in's address is inside any entry; a blank or unreadable one never is."""
        span = parse_address(address.strip())
        if span is None:
            return False
        position = bisect_right(self.lows[span.version], span.low) - 1
        return position >= 0 and span.low <= self.highs[span.version][position]


def parse_entry(entry: str) -> Span | None:
    """Read one trimmed watchlist entry; None when it is not one of the three forms."""
    if "-" in entry:
        left, _, right = entry.partition("-")
        low, high = parse_address(left.strip()), parse_address(right.strip())
        if low is None or high is None or low.version != high.version or low.low > high.low:
            return None
        return Span(low.version, low.low, high.low)
    text, slash, prefix = entry.partition("/")
    address = parse_address(text)
    if address is None or not slash:
        return address
    bits = 32 if address.version == 4 else 128
    if not _PREFIX.fullmatch(prefix) or int(prefix) > bits:
        return None
    host = (1 << (bits - int(prefix))) - 1
    return Span(address.version, address.low & ~host, address.low | host)


def parse_address(text: str) -> Span | None:
    """Read one address as the span of itself; None when it is not one.

    IPv4 is four decimal octets without leading zeros, as KQL reads it.
    """
    quad = _IPV4.fullmatch(text)
    if quad is not None:
        octets = [int(octet) for octet in quad.groups()]
        if max(octets) > 255:
            return None
        value = int.from_bytes(bytes(octets), "big")
        return Span(4, value, value)
    try:
        value = int.from_bytes(socket.inet_pton(socket.AF_INET6, text), "big")
    except (OSError, ValueError):
        return None
    return Span(6, value, value)


def _merge(spans: Iterable[Span]) -> list[tuple[int, int]]:
    """Join overlapping and adjacent spans; the result is sorted and disjoint."""
    merged: list[tuple[int, int]] = []
    for _, low, high in sorted(spans):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return merged
