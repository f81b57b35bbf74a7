"""KQL's string operators agree with a naive version that splits text into pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.rule.kql_text import ascii_lower, equals_ignoring_case, has, has_any, is_blank
from tests.support import naive_rule as naive
from tests.support.strategies import NASTY

PIECES = st.sampled_from(
    ("a", "A", "ab", "1", "\u00e9", "\u212a", "k", "-", "_", " ", "/", "\u0301")
)
TEXTS = st.one_of(st.text("a ", max_size=8), st.lists(PIECES, max_size=8).map("".join), NASTY)


@given(TEXTS, TEXTS)
def test_has_agrees_with_the_naive_reading(text: str, term: str) -> None:
    """For any text and term, `has` gives the result of comparing piece by piece."""
    assert has(text, term) == naive.has(text, term)


@given(TEXTS, TEXTS, TEXTS)
def test_has_finds_a_term_wherever_it_is_delimited(before: str, term: str, after: str) -> None:
    """`has` always finds a term with white space on both sides."""
    assert has(f"{before} {term} {after}", term)


def test_has_searches_again_inside_a_failed_match() -> None:
    """A match inside a word may overlap the match that counts."""
    assert has("xa a a", "a a")
    assert not has("xa a ax", "a a")


@given(TEXTS, st.lists(TEXTS, max_size=3))
def test_has_any_is_has_of_any_term(text: str, terms: list[str]) -> None:
    """A text has any of some terms when it has at least one of them, and never any of none."""
    assert has_any(text, terms) == any(naive.has(text, term) for term in terms)


@given(TEXTS)
def test_fold_lowers_ascii_letters_only(text: str) -> None:
    """Folding changes A to Z, leaves every other character alone and is idempotent."""
    assert ascii_lower(text) == naive.lower(text)
    assert ascii_lower(ascii_lower(text)) == ascii_lower(text)
    assert len(ascii_lower(text)) == len(text)


@given(TEXTS, TEXTS)
def test_equality_ignores_ascii_case_only(left: str, right: str) -> None:
    """Two texts are equal when they differ only in the case of A to Z."""
    assert equals_ignoring_case(left, right) == (naive.lower(left) == naive.lower(right))
    assert equals_ignoring_case(left, naive.lower(left))


@given(st.text(alphabet=" \t\u00a0\u2003a", max_size=3))
def test_blank_means_nothing_but_white_space(text: str) -> None:
    """A text is blank when trimming leaves nothing of it."""
    assert is_blank(text) == (text.strip() == "")


@pytest.mark.parametrize(
    "name", ["Azure Key Vault", "Azure Key Vault Managed HSM", "key vault", "(Key Vault)"]
)
def test_services_that_are_key_vault(name: str) -> None:
    """A name with the words Key Vault in it is a Key Vault."""
    assert has(name, "Key Vault")


@pytest.mark.parametrize(
    "name", ["AzureKeyVault", "Key  Vault", "Key-Vault", "Key Vaults", "Monkey Vault", "Key", ""]
)
def test_services_that_are_not_key_vault(name: str) -> None:
    """A name that only resembles Key Vault, in spacing, plural or part of a word, is not one."""
    assert not has(name, "Key Vault")


@pytest.mark.parametrize("mark", ["\u0301", "_", "\u20ac", "\u200d"])
def test_marks_and_signs_delimit_terms(mark: str) -> None:
    """A combining mark, an underscore, a sign and a joiner each end a term."""
    assert has(f"blob{mark}", "blob")
    assert has(f"{mark}blob", "blob")


@pytest.mark.parametrize("left", ["\u212a", "\u017f", "\u0130", "\u00c9"])
@pytest.mark.parametrize("right", ["k", "s", "i", "\u00e9"])
def test_letters_outside_ascii_have_no_case(left: str, right: str) -> None:
    """A Kelvin sign is not a k, a long s not an s, a dotted capital i not an i."""
    assert not equals_ignoring_case(left, right)
    assert not has(left, right)
