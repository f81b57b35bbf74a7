"""Public addresses and the networks that they belong to."""

from functools import lru_cache
from typing import Final

from detection.rule.allowlist import Allowlist, parse_address

# An address new to an identity may be another outbound address of the same service. So networks are
# compared: the first 16 bits of an IPv4 address, and the first 32 bits of an IPv6 address, which
# is the least that registries assign to a provider (RFC 6177 and the registries' policies).
NETWORK_BITS: Final = {4: 16, 6: 32}
_ADDRESS_BITS: Final = {4: 32, 6: 128}

# Networks that are not public; Azure's own virtual address is one of them.
_INTERNAL: Final = Allowlist.of(
    (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16"),
        *("169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3"),
        *("::/127", "::ffff:0:0/96", "fc00::/7", "fe80::/10", "ff00::/8"),
    )
)


@lru_cache(10_000)
def public_network(address: str) -> str:
    """Return the network of a public address as `4:hex` or `6:hex`; "" if it is not public."""
    parsed = parse_address(address.strip())
    if parsed is None or _INTERNAL.covers(address):
        return ""
    bits = _ADDRESS_BITS[parsed.version] - NETWORK_BITS[parsed.version]
    return f"{parsed.version}:{parsed.low >> bits:x}"
