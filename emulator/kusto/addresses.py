"""Kusto's functions that compare addresses, as its documentation describes them.

learn.microsoft.com/kusto/query/ipv4-compare-function and .../ipv6-compare-function: both sides may
be a block, and are compared under the smaller prefix. A text that is no address gives null.
"""

import re
import socket

OCTETS = re.compile(r"(?:0|[1-9]\d{0,2})(?:\.(?:0|[1-9]\d{0,2})){3}", re.ASCII)

MAPPED = 0xFFFF << 32  # what precedes an IPv4 address within IPv6


def ipv4_compare(one: str, other: str) -> int | None:
    """Compare two IPv4 addresses or blocks."""
    return _compare(one, other, 32)


def ipv6_compare(one: str, other: str) -> int | None:
    """Compare two addresses or blocks; IPv4 counts as the IPv6 that it maps to."""
    return _compare(one, other, 128)


def _compare(one: str, other: str, bits: int) -> int | None:
    first, second = _parse(one.strip(), bits), _parse(other.strip(), bits)
    if first is None or second is None:
        return None
    shift = bits - min(first[1], second[1])
    left, right = first[0] >> shift, second[0] >> shift
    return (left > right) - (left < right)


def _parse(text: str, bits: int) -> tuple[int, int] | None:
    """Return the number of an address and its prefix, None for another text."""
    address, slash, prefix = text.partition("/")
    if bits == 128 and OCTETS.fullmatch(address):
        found = _parse(text, 32)
        return found and (MAPPED | found[0], 96 + found[1])
    if bits == 32 and not OCTETS.fullmatch(address):
        return None
    try:
        packed = socket.inet_pton(socket.AF_INET if bits == 32 else socket.AF_INET6, address)
    except (OSError, ValueError):
        return None
    number = int.from_bytes(packed, "big")
    if not slash:
        return number, bits
    if not re.fullmatch(r"0|[1-9]\d{0,2}", prefix, re.ASCII) or int(prefix) > bits:
        return None
    return number, int(prefix)
