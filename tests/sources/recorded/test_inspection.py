"""The inspection of a folder counts what the rule uses of it."""

import pytest

from detection.rule.allowlist import Allowlist
from detection.rule.filters import RuleSettings, match_operations, match_sign_ins
from detection.rule.ticks import parse_time
from detection.sources.recorded.files.inspection import inspect_folder
from detection.sources.recorded.folder import RecordedSource
from detection.window import LONG_AGO, Mode, Window
from tests.support import OPERATIONS, RECORDED, SIGN_INS

ALWAYS = parse_time("9999-12-31")
SCENARIOS = sorted(path.name for path in RECORDED.iterdir() if path.is_dir())


@pytest.mark.parametrize("statuses", [("Success",), ("Success", "Succeeded")])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_rows_used_are_those_that_the_rule_matches(
    scenario: str, statuses: tuple[str, ...]
) -> None:
    """The rows that are not left out are those that can pair, with each setting."""
    folder, settings = RECORDED / scenario, RuleSettings(success_statuses=statuses)
    logs = RecordedSource(folder).read(Window(LONG_AGO, ALWAYS, Mode.BACKFILL), ALWAYS)
    sign_ins = match_sign_ins(logs.sign_ins, LONG_AGO, ALWAYS, Allowlist.of(logs.allowlist))
    operations = match_operations(logs.operations, LONG_AGO, ALWAYS, settings)
    content = inspect_folder(folder, settings)
    used = {each.shape.name: each.rows - each.left_out.total() for each in content.tables}
    assert used.get(SIGN_INS, 0) == sum(map(len, sign_ins.by_identity.values()))
    assert used.get(OPERATIONS, 0) == sum(map(len, operations.by_identity.values()))
