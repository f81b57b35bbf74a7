"""The runbook: the questions to ask about a finding, each with its query.

A query names the values of the finding: Suspect, Start, End and Addresses. They stand in front of
it. A deployed function looks them up by the finding's id (infra/queries/finding_values.kql). The
report writes them out, so that the same query runs in a workspace without the functions.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from detection.kql.render import query


class Question(NamedTuple):
    """A question about a finding, the deployed function that answers it, and its query's file."""

    title: str
    function: str
    file: str


QUESTIONS: Final = (
    Question(
        "1. What did the identity do from a day before to a day after?",
        "ManagedIdentityActivity",
        "investigate_activity",
    ),
    Question(
        "2. What was read and written in vaults and storage accounts?",
        "ManagedIdentityDataAccess",
        "investigate_data_access",
    ),
    Question(
        "3. Which other findings are there?",
        "ManagedIdentityHistory",
        "investigate_history",
    ),
    Question(
        "4. Which rights did it get or give?",
        "ManagedIdentityRights",
        "investigate_rights",
    ),
)
# The Logs page shows one day unless the query itself filters by time. Findings are kept so long.
WHOLE_TIME: Final = "where TimeGenerated > ago(90d)"
NO_ADDRESS: Final = ("none",)  # no row has this address; KQL has no empty list


def calls(finding_id: str) -> list[dict[str, str]]:
    """Return the questions about a finding as `Title` and `Query`, a call of the function."""
    return [
        {"Title": each.title, "Query": f'{each.function}("{finding_id}") | {WHOLE_TIME}'}
        for each in QUESTIONS
    ]


def texts() -> dict[str, str]:
    """Return the whole queries by title; values() of a finding belong in front of each."""
    return {each.title: query(each.file) for each in QUESTIONS}


def values(identity: str, first_event: int, last_event: int, addresses: Iterable[str]) -> str:
    """Return the values of a finding, as KQL that belongs in front of a query of the runbook.

    Times are in ticks. Raises ValueError for an identity or address that KQL cannot hold.
    """
    return query(
        "investigate_values",
        identity=(identity,),
        start=first_event,
        end=last_event,
        addresses=tuple(addresses) or NO_ADDRESS,
    )
