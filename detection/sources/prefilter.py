"""Filters that drop rows while they are read, if no setting could make the rule match them.

This keeps the rows of a large recording out of memory.
"""

from collections.abc import Callable, Mapping

from detection.ranking.classify import classify_action
from detection.rule.filters import is_change, is_signed_in, is_target_service
from detection.rule.log_rows import (
    OPERATION_NAME,
    OPERATION_TABLE,
    RESOURCE_NAME,
    RESULT_TYPE,
    SIGN_IN_TABLE,
)

Candidates = Mapping[str, Callable[[str], bool]]  # tests of texts, by column name


def is_relevant(name: str) -> bool:
    """Return True if an operation of this name is a change or a corroborating action."""
    return is_change(name) or classify_action(name) is not None


# Clauses 2 and 3, without what depends on settings and on the window.
KEEP_ALL: Candidates = {}
SIGN_IN_CANDIDATES: Candidates = {
    SIGN_IN_TABLE.columns[RESULT_TYPE]: is_signed_in,
    SIGN_IN_TABLE.columns[RESOURCE_NAME]: is_target_service,
}
OPERATION_CANDIDATES: Candidates = {OPERATION_TABLE.columns[OPERATION_NAME]: is_relevant}
