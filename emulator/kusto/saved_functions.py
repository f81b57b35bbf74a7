"""The functions that the deployment saves in a workspace, as in infra/modules/workspace.bicep."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from detection.kql import runbook
from detection.kql.render import query

QUERIES: Final = Path(__file__).parents[2] / "infra" / "queries"
IMPACT: Final = "ManagedIdentityImpact"
# The text of each function by its name. All but the first take the id of a finding.
BODIES: Final = {
    IMPACT: (QUERIES / f"{IMPACT}.kql").read_text("utf-8"),
    **{
        each.function: (QUERIES / "finding_values.kql").read_text("utf-8") + query(each.file)
        for each in runbook.QUESTIONS
    },
}
_CALL = re.compile(rf'\b({"|".join(BODIES)})\(\s*(?:"([^"\\]*)")?\s*\)')
_PARAMETER = "FindingId"


def without_calls(text: str, view: Callable[[str, str], None]) -> str:
    """Replace each call of a saved function by the name of a view that has its rows.

    `view` makes a view with the name and the query given; calls within a function come first.
    """

    def replaced(call: re.Match[str]) -> str:
        function, argument = call.groups()
        if (argument is None) != (function == IMPACT):
            return call[0]
        body = without_calls(BODIES[function], view)
        if argument is not None:
            body = re.sub(rf"= {_PARAMETER};", f'= "{argument}";', body)
        name = function if argument is None else f"{function}_{abs(hash(argument))}"
        view(name, body)
        return name

    return _CALL.sub(replaced, text)
