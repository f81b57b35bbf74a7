"""The constants of the queries, each by its placeholder in the .kql files.

The rule's own constants are declared in detection/rule. Only constants that the queries alone need
are declared here. render.py writes all of them into the queries, so no .kql file holds a copy.
"""

from collections.abc import Mapping
from typing import Final

from detection.rule.correlate import (
    ADDRESSES_SHOWN,
    AFFECTED_SHOWN,
    OPERATIONS_SHOWN,
    RESOURCES_SHOWN,
    SUBSCRIPTIONS_SHOWN,
)
from detection.rule.filters import (
    CHANGE_TERMS,
    FAILURE_STATUSES,
    OTHER_SUCCESS,
    READ_TERMS,
    ROLE_ASSIGNMENT_WRITE,
    SIGN_IN_SUCCESS,
    TARGET_TERMS,
)
from detection.rule.pairs import PAIRS_KEPT
from detection.rule.reported import HASH_BYTES

BUCKETS: Final = 1024  # hash buckets of identities, by which a window is split into partitions
KEYS_PER_ROW: Final = 1000  # operation keys in one row: a cell of an answer has a size limit

Constant = int | str | tuple[str, ...]

CONSTANTS: Final[Mapping[str, Constant]] = {
    "target_terms": TARGET_TERMS,
    "sign_in_success": SIGN_IN_SUCCESS,
    "change_terms": CHANGE_TERMS,
    "read_terms": READ_TERMS,
    "other_success": OTHER_SUCCESS,
    "failure_statuses": FAILURE_STATUSES,
    "role_assignment_write": ROLE_ASSIGNMENT_WRITE,
    "max_resources": RESOURCES_SHOWN,
    "max_operations": OPERATIONS_SHOWN,
    "max_affected_resources": AFFECTED_SHOWN,
    "max_subscription_ids": SUBSCRIPTIONS_SHOWN,
    "max_caller_addresses": ADDRESSES_SHOWN,
    "pairs_kept": PAIRS_KEPT,
    "key_length": 2 * HASH_BYTES,
    "keys_per_row": KEYS_PER_ROW,
    "bucket_count": BUCKETS,
}
