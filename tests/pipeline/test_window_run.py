"""One window: whatever its parts are, each finding is scored once and the rows are the same."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from detection.pipeline.enrichment import Enrichment
from detection.pipeline.run_record import RunHeader
from detection.pipeline.window_run import examine_window
from detection.rule.filters import RuleSettings
from detection.rule.kql_text import ascii_lower
from detection.rule.ledger import Ledger, Review
from detection.rule.log_rows import IDENTITY, Logs
from detection.schema import Finding
from detection.sources import Arrivals
from detection.window import Mode, Window
from tests.support import NoContext
from tests.support.strategies import NASTY_IN_DATABASES, Scenario, scenarios


class PartsSource:
    """A LogSource whose rows come in some parts of whole identities."""

    def __init__(self, logs: Logs, number: int) -> None:
        self.context = NoContext()
        self._logs = logs
        self._number = number

    def clock(self) -> None:
        """Return no time."""

    def arrivals(self, *, since: int, now: int, examined: int, too_late: int) -> Arrivals:
        """Return no arrival."""
        del since, now, examined, too_late
        return Arrivals()

    def parts(self, window: Window, now: int, settings: RuleSettings) -> Iterator[Logs]:
        """Yield the rows of each part."""
        del window, now, settings
        logs = self._logs
        for part in range(self._number):
            yield Logs(
                [row for row in logs.sign_ins if self._part_of(row[IDENTITY]) == part],
                [row for row in logs.operations if self._part_of(row[IDENTITY]) == part],
                logs.allowlist,
                logs.states,
            )

    def _part_of(self, identity: str) -> int:
        return sum(ascii_lower(identity).encode("utf-8", "surrogatepass")) % self._number


def examined(scenario: Scenario, parts: int) -> tuple[list[Finding], Enrichment]:
    """Evaluate a scenario whose rows come in some parts."""
    window = Window(*scenario.window, Mode.SCHEDULED)
    settings = RuleSettings(scenario.span, scenario.statuses)
    source = PartsSource(scenario.logs(), parts)
    enrichment = Enrichment(source.context, settings, window.end)
    review = Review(Ledger(), "scope", window.start, window.end, window.end)
    header = RunHeader.of("w", window, window.end)
    _, findings = examine_window(source, window, header, review, enrichment)
    assert list(findings) == list(findings)
    return list(findings), enrichment


@given(scenarios(NASTY_IN_DATABASES), st.integers(2, 4))
def test_the_parts_of_a_window_change_no_finding(scenario: Scenario, parts: int) -> None:
    """The findings of a window are the same rows in the same order, in one part or in several."""
    whole, _ = examined(scenario, 1)
    divided, _ = examined(scenario, parts)
    assert divided == whole
    assert whole == sorted(whole, key=lambda row: row["FirstEvent"])
