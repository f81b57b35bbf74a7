"""Rows that no setting and no window makes a part of the rule are dropped while they are read."""

from collections.abc import Callable, Mapping

from detection.ranking.classify import classify_action
from detection.rule.filters import (
    is_change,
    is_signed_in,
    is_target_service,
)
from detection.rule.log_rows import (
    OPERATION_NAME,
    OPERATION_TABLE,
    RESOURCE_NAME,
    RESULT_TYPE,
    SIGN_IN_TABLE,
)

Candidates = Mapping[str, Callable[[str], bool]]  # a column's name, and which texts it may hold


def is_relevant(name: str) -> bool:
    """Whether an operation of this name changes something, or says more about who did."""
    return is_change(name) or classify_action(name) is not None


# What no setting and no window can make a part of clauses 2 and 3 need not be kept.
KEEP_ALL: Candidates = {}
SIGN_IN_CANDIDATES: Candidates = {
    SIGN_IN_TABLE.columns[RESULT_TYPE]: is_signed_in,
    SIGN_IN_TABLE.columns[RESOURCE_NAME]: is_target_service,
}
OPERATION_CANDIDATES: Candidates = {OPERATION_TABLE.columns[OPERATION_NAME]: is_relevant}
