"""KQL's string operators, as the rule uses them.

Source: learn.microsoft.com/kusto/query/has-operator, has-any-operator, datatypes-string-operators.
"""

import unicodedata
from collections.abc import Iterable

_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def ascii_lower(text: str) -> str:
    """Return `text` with A-Z in lower case and nothing else changed, as KQL ignores case."""
    return text.lower() if text.isascii() else text.translate(_ASCII_LOWER)


def is_blank(text: str) -> bool:
    """Return True if `text` is empty or only white space."""
    return not text or text.isspace()


def equals_ignoring_case(left: str, right: str) -> bool:
    """KQL's `=~`: the whole strings are equal; ASCII case is ignored, nothing is trimmed."""
    return ascii_lower(left) == ascii_lower(right)


def has(text: str, term: str) -> bool:
    """KQL's `has`: `text` contains `term` as whole terms; ASCII case is ignored.

    A term is a maximal run of letters and numbers (Unicode categories L and N). `term` is matched
    literally. If its first or last character is a letter or number, a term must begin or end there
    in `text`.
    """
    haystack, needle = ascii_lower(text), ascii_lower(term)
    if not needle:
        return True
    bound_left, bound_right = _in_term(needle[0]), _in_term(needle[-1])
    start = haystack.find(needle)
    while start >= 0:
        end = start + len(needle)
        left_ok = not (bound_left and start > 0 and _in_term(haystack[start - 1]))
        right_ok = not (bound_right and end < len(haystack) and _in_term(haystack[end]))
        if left_ok and right_ok:
            return True
        start = haystack.find(needle, start + 1)
    return False


def has_any(text: str, terms: Iterable[str]) -> bool:
    """KQL's `has_any`: `text` has at least one of `terms`."""
    return any(has(text, term) for term in terms)


def _in_term(character: str) -> bool:
    return unicodedata.category(character)[0] in "LN"
