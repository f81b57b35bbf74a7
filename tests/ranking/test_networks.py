"""Addresses are public or not, and public ones belong to a network."""

import pytest

from detection.ranking.networks import public_network


@pytest.mark.parametrize(
    ("address", "public"),
    [
        *(("203.0.113.7", True), ("8.8.8.8", True), ("2001:db8::5", True), ("172.32.0.1", True)),
        *(("10.1.2.3", False), ("172.31.255.255", False), ("192.168.1.1", False)),
        *(("100.64.0.1", False), ("169.254.169.254", False), ("127.0.0.1", False)),
        *(("::1", False), ("fd00::1", False), ("fe80::1", False), ("::ffff:8.8.8.8", False)),
        *(("", False), (" ", False), ("somewhere", False), ("168.63.129.16", False)),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    """An address counts as public only if it can be read and is in no internal network."""
    assert bool(public_network(address)) is public


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("203.0.113.7", " 203.0.255.255 ", True),
        ("203.0.113.7", "203.1.0.0", False),
        ("2001:db8::5", "2001:0db8:ffff::1", True),
        ("2001:db8::5", "2001:db9::5", False),
        ("1.2.3.4", "102::", False),
    ],
)
def test_networks(one: str, other: str, same: bool) -> None:
    """Two addresses are of one network if their first 16 (IPv4) or 32 (IPv6) bits are equal."""
    assert (public_network(one) == public_network(other)) is same
