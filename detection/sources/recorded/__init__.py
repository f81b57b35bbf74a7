"""Recorded folders: reading one, writing one, and the pseudonyms that make one shareable."""

from typing import Final

from detection.ranking.baseline import PAST_CHANGES_TABLE
from detection.rule.exclusions import EXCLUSIONS_TABLE
from detection.rule.log_rows import ALLOWLIST_TABLE, OPERATION_TABLE, SIGN_IN_TABLE
from detection.sources.identity_columns import DETAILS_TABLE

# Each is a file of a recorded folder.
RECORDED_TABLES: Final = (
    *(SIGN_IN_TABLE, OPERATION_TABLE, DETAILS_TABLE, ALLOWLIST_TABLE, EXCLUSIONS_TABLE),
    PAST_CHANGES_TABLE,
)
