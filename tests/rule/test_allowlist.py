"""Clause 1: the addresses that the NetworkAllowlist excludes, compared with `ipaddress`."""

from ipaddress import IPv4Address, IPv6Address
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.rule.allowlist import Allowlist, parse_entry
from tests.support import naive_rule as naive
from tests.support.strategies import ADDRESSES, FOUR, SIX, UNREADABLE, entries

LISTS = st.lists(entries(), max_size=8)


@given(LISTS, ADDRESSES)
def test_covers_agrees_with_asking_every_entry(listed: list[str], address: str) -> None:
    """An address is covered exactly when at least one entry, read on its own, holds it."""
    assert Allowlist.of(listed).covers(address) == naive.is_allowed(address, listed)


@given(LISTS)
def test_covers_agrees_at_the_ends_of_every_span(listed: list[str]) -> None:
    """The addresses at both ends of an entry are covered, those one beyond only if listed."""
    allowlist = Allowlist.of(listed)
    for span in filter(None, (parse_entry(entry.strip()) for entry in listed)):
        bits, kind = (32, IPv4Address) if span.version == 4 else (128, IPv6Address)
        near = {end + step for end in (span.low, span.high) for step in (-1, 0, 1)}
        for address in map(kind, near - {-1, 1 << bits}):
            assert allowlist.covers(str(address)) == naive.is_allowed(str(address), listed)


@given(LISTS)
def test_merged_spans_are_sorted_and_apart(listed: list[str]) -> None:
    """Spans run upwards and neither overlap nor touch, so that one bisection answers."""
    allowlist = Allowlist.of(listed)
    for version in (4, 6):
        lows, highs = allowlist.lows[version], allowlist.highs[version]
        assert all(low <= high for low, high in zip(lows, highs, strict=True))
        assert all(high + 1 < low for high, low in zip(highs, lows[1:], strict=False))


@given(LISTS)
def test_every_entry_is_counted_and_every_unreadable_one_named(listed: list[str]) -> None:
    """Entries that are not blank are counted, and those that cannot be read are kept by name."""
    allowlist = Allowlist.of(listed)
    given_entries = [entry.strip() for entry in listed if entry.strip()]
    unreadable = [entry for entry in given_entries if not naive.is_readable(entry)]
    assert allowlist.entries == len(given_entries)
    assert allowlist.invalid == tuple(dict.fromkeys(unreadable))


@given(LISTS, st.randoms(use_true_random=False))
def test_the_order_of_entries_does_not_matter(listed: list[str], random: Random) -> None:
    """Entries in another order, some of them twice, give the same spans."""
    mixed = [*listed, *listed[:2]]
    random.shuffle(mixed)
    first, second = Allowlist.of(listed), Allowlist.of(mixed)
    assert (first.lows, first.highs) == (second.lows, second.highs)


@given(LISTS, st.sampled_from(UNREADABLE), st.integers(0, 8))
def test_an_unreadable_entry_changes_nothing_else(
    listed: list[str], unreadable: str, place: int
) -> None:
    """Anywhere in the list, an entry that cannot be read leaves the others as they are."""
    before = Allowlist.of(listed)
    after = Allowlist.of([*listed[:place], unreadable, *listed[place:]])
    assert (before.lows, before.highs) == (after.lows, after.highs)


@pytest.mark.parametrize("entry", UNREADABLE)
def test_entries_that_cannot_be_read(entry: str) -> None:
    """An entry in none of the three forms is no span, whatever it resembles."""
    assert parse_entry(entry.strip()) is None
    assert not Allowlist.of([entry]).covers("10.0.0.1")


@pytest.mark.parametrize("address", ["", " ", "x", "10.0.0.1/32", "10.0.0.1:443", "10.0.0.01"])
def test_an_address_that_cannot_be_read_is_never_covered(address: str) -> None:
    """A blank or unreadable address is not excluded, even if every address is allowed."""
    assert not Allowlist.of(["0.0.0.0/0", "::/0"]).covers(address)


@pytest.mark.parametrize(("entry", "others"), [("0.0.0.0/0", SIX), ("::/0", FOUR)])
def test_versions_do_not_mix(entry: str, others: tuple[str, ...]) -> None:
    """All of IPv4 holds no IPv6 address, and all of IPv6 holds no IPv4 address."""
    allowlist = Allowlist.of([entry])
    assert not any(allowlist.covers(address) for address in others)


@pytest.mark.parametrize(
    ("entry", "inside", "outside"),
    [
        ("10.0.0.7", ["10.0.0.7", " 10.0.0.7 "], ["10.0.0.6", "10.0.0.8"]),
        ("10.1.2.3/24", ["10.1.2.0", "10.1.2.255"], ["10.1.1.255", "10.1.3.0"]),
        ("10.0.0.1-10.0.0.9", ["10.0.0.1", "10.0.0.9"], ["10.0.0.0", "10.0.0.10"]),
        ("10.0.0.5-10.0.0.5", ["10.0.0.5"], ["10.0.0.4", "10.0.0.6"]),
        ("0.0.0.0-255.255.255.255", ["0.0.0.0", "255.255.255.255"], ["::"]),
        ("2001:db8::/32", ["2001:db8::", "2001:DB8:ffff::1"], ["2001:db7::", "2001:db9::"]),
        ("2001:db8::1 - 2001:db8::9", ["2001:db8:0:0:0:0:0:9"], ["2001:db8::a"]),
    ],
)
def test_the_three_forms_of_an_entry(entry: str, inside: list[str], outside: list[str]) -> None:
    """An address, a block and a range hold both their ends and nothing beyond."""
    allowlist = Allowlist.of([entry])
    assert allowlist.invalid == ()
    assert all(allowlist.covers(address) for address in inside)
    assert not any(allowlist.covers(address) for address in outside)


@pytest.mark.parametrize(
    ("items", "problem"),
    [
        ([], False),
        (["", " "], True),
        (["", "10.0.0.1"], False),
        (["", "x"], False),
    ],
)
def test_a_watchlist_of_blank_items_is_a_problem(items: list[str], problem: bool) -> None:
    """Items that are all blank mean a wrong column name; blank items among entries are ignored."""
    allowlist = Allowlist.of(items)
    assert bool(allowlist.problem) == problem
    assert allowlist.blank == len([item for item in items if not item.strip()])


def test_the_address_between_two_entries_is_not_covered() -> None:
    """Two entries with a single address between them do not become one."""
    allowlist = Allowlist.of(["10.0.0.1", "10.0.0.3"])
    assert not allowlist.covers("10.0.0.2")
    assert allowlist.covers("10.0.0.3")


def test_ten_thousand_entries_merge_into_one_span() -> None:
    """Entries that touch become one span, however many they are."""
    allowlist = Allowlist.of(f"10.0.{n // 256}.{n % 256}" for n in range(10_000))
    assert allowlist.entries == 10_000
    assert len(allowlist.lows[4]) == 1
    assert allowlist.covers("10.0.39.15")
    assert not allowlist.covers("10.0.39.16")
