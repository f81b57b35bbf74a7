"""KQL's own answers: every test vector is either the rule's to give or said not to be.

The vectors live beside the project; where they are absent, these tests are skipped.
"""

import json
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detection.rule.allowlist import AddressRange, Allowlist, parse_entry
from detection.rule.kql_text import equals_ignoring_case, has, has_any, is_blank

FILE = Path(__file__).parents[3] / "shared" / "data" / "kql-vectors.json"
VECTORS: list[dict[str, Any]] = (
    json.loads(FILE.read_text("utf-8"))["vectors"] if FILE.exists() else []
)
pytestmark = pytest.mark.skipif(not VECTORS, reason="needs ../shared/data/kql-vectors.json")

NO_NULL = "the rule reads a null as the empty string"
NO_TABLES = "the rule has no such table operator; a missing or empty table is an empty list"


def in_any_range(address: str, listed: list[str]) -> bool:
    """`ipv4_is_in_any_range`, as the allowlist answers it."""
    return Allowlist.of(listed).covers(address)


def in_range(address: str, entry: str) -> bool:
    """`ipv4_is_in_range`, as the allowlist answers it."""
    return Allowlist.of([entry]).covers(address)


def parse_ipv4(text: str) -> int | None:
    """`parse_ipv4`: the lowest address of the span that an entry becomes."""
    lows = Allowlist.of([text]).lows[4]
    return lows[0] if lows else None


def netmask_suffix(text: str) -> int | None:
    """`ipv4_netmask_suffix`: how much of the span that an entry becomes is fixed."""
    allowlist = Allowlist.of([text])
    sizes = [high - low for low, high in zip(allowlist.lows[4], allowlist.highs[4], strict=True)]
    return 32 - sizes[0].bit_length() if sizes else None


def compare(left: str, right: str, prefix: int = 32) -> int:
    """`ipv4_compare`: blocks under the smaller prefix are equal when their spans meet."""
    one, other = under(left, prefix), under(right, prefix)
    if one.low <= other.high and other.low <= one.high:
        return 0
    return -1 if one.low < other.low else 1


def matches(left: str, right: str, prefix: int = 32) -> bool:
    """`ipv4_is_match`: the two compare as equal."""
    return compare(left, right, prefix) == 0


def under(text: str, prefix: int) -> AddressRange:
    """Read an entry under its own prefix or `prefix`, whichever is smaller."""
    address, _, own = text.partition("/")
    span = parse_entry(f"{address}/{min(prefix, int(own or 32))}")
    assert span is not None
    return span


def literal(function: Callable[[str], bool]) -> Callable[[str], bool]:
    """Let a function take a vector's text as KQL writes it, in quotes."""
    return lambda quoted: function(json.loads(quoted))


OURS: dict[str, Callable[..., object]] = {
    "has": has,
    "has_any": has_any,
    "=~": equals_ignoring_case,
    "!~": lambda left, right: not equals_ignoring_case(left, right),
    "==": operator.eq,  # what clause 2 asks of ResultType
    "isempty": literal(is_blank),
    "isnotempty": literal(lambda text: not is_blank(text)),
    "ipv4_is_in_any_range": in_any_range,
    "ipv4_is_in_range": in_range,
    "ipv4_is_match": matches,
    "ipv4_compare": compare,
    "parse_ipv4": parse_ipv4,
    "ipv4_netmask_suffix": netmask_suffix,
}
NOT_OURS: dict[str, str] = {
    "ipv4_is_private": "the rule leaves out listed addresses, private or not",
    "!=": "the rule asks only for equality",
    "matches regex": "entries are told apart by parse_entry, not by the rule's patterns",
    "isnull": NO_NULL,
    "not": NO_NULL,
    "or": NO_NULL,
    ">": NO_NULL,
    "+": NO_NULL,
    "tostring": NO_NULL,
    "toint": "every column that the rule reads is text or a moment",
    "where/null": NO_NULL,
    "iff": NO_NULL,
    "split": "parse_entry cuts a low-high entry in two itself",
    "array_length": "lists have a length here",
    "mv-expand": NO_TABLES,
    "mv-apply": "the allowlist is asked by bisection, which is difference D1",
    "mv-apply(empty array, summarize)": "difference D1: no ranges exclude nothing",
    "mv-apply(constant empty array)": "difference D1: no ranges exclude nothing",
    "toscalar+make_list": NO_TABLES,
    "toscalar": NO_TABLES,
    "toscalar(empty)": NO_TABLES,
    "summarize": "groups exist only where there is a pair, as with by",
    "summarize by ''": "test_a_blank_group_key_is_a_group_of_its_own in test_correlate.py",
    "make_set": "sets keep their order here: earliest first",
    "make_set(x,n)": "test_sets_are_cut_to_the_first_ones in test_correlate.py",
    "make_set(array)": "the rule makes sets of texts only",
    "make_list(x,n)": "the rule makes no list",
    "join kind=inner": "pairs are counted, not joined: test_correlate.py against nested loops",
    "join $left/$right": "pairs are counted, not joined: test_correlate.py against nested loops",
    "join null key": "difference D2: a blank identity never pairs",
    "union isfuzzy": NO_TABLES,
    "union outer": NO_TABLES,
}
APART: dict[int, str] = {
    142: "parse_json gives a dynamic value, and the rule reads only text",
    143: "parse_json gives a dynamic value, and the rule reads only text",
    144: "parse_json gives a dynamic value, and the rule reads only text",
    151: "white space is blank here, D2 and D5; KQL's isnotempty takes it for a value",
    156: NO_NULL,
}


@pytest.mark.parametrize(
    "vector",
    [
        pytest.param(vector, id=f"{vector['id']} {vector['function']}")
        for vector in VECTORS
        if vector["function"] in OURS and vector["id"] not in APART
    ],
)
def test_the_rule_answers_as_kql(vector: dict[str, Any]) -> None:
    """A function that the rule uses gives the vector's answer."""
    assert OURS[vector["function"]](*vector["args"]) == vector["expected"]


def test_every_vector_is_accounted_for() -> None:
    """Each function in the vectors is the rule's or has a reason not to be, and none is stale."""
    functions = {vector["function"] for vector in VECTORS}
    assert functions == {*OURS, *NOT_OURS}
    assert not OURS.keys() & NOT_OURS.keys()
    assert {v["id"] for v in VECTORS if v["function"] in OURS} >= APART.keys()


def test_white_space_is_blank_where_kql_takes_it_for_a_value() -> None:
    """The one vector about text that the rule answers otherwise is answered otherwise."""
    [vector] = [vector for vector in VECTORS if vector["id"] == 151]
    assert OURS["isnotempty"](*vector["args"]) is not vector["expected"]
