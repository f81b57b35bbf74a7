"""Windows with the sign-ins of the day before, and their changes counted for near misses."""

from hypothesis import strategies as st

from detection.ranking.near_misses import TOKEN_LIFETIME, LateChanges, late_changes
from detection.rule.allowlist import Allowlist
from detection.rule.filters import RuleSettings, match_operations, match_sign_ins
from tests.support.strategies import (
    END,
    HOUR,
    NASTY_IN_DATABASES,
    OPERATION_VALUES,
    SIGN_IN_VALUES,
    SIZES,
    START,
    STATUSES,
    Scenario,
    entries,
    tables,
    written,
)

SPANS = st.sampled_from((HOUR, HOUR, 600_000_000, 5 * HOUR + 7, 1))
ADDRESSES = ((None, "10.0.0.1", "10.0.0.9"), ("10.0.0.9 ", "2001:DB8::7", "x", " ", 'a"b|'))


@st.composite
def day_scenarios(draw: st.DrawFn) -> Scenario:
    """Draw a window, with rows a span or a token's lifetime apart, or a tick beside that."""
    span = draw(SPANS)
    bases = draw(st.lists(st.integers(START + 1, END), min_size=1, max_size=3))
    apart = (0, span, TOKEN_LIFETIME, 3 * HOUR)
    times = [
        written(base - distance + tick)
        for base in bases
        for distance in draw(st.lists(st.sampled_from(apart), min_size=1, max_size=3))
        for tick in draw(st.lists(st.sampled_from((-1, 0, 1)), min_size=1, max_size=2))
    ]
    of_operations = [*map(written, bases), *times]
    sign_ins = SIGN_IN_VALUES | {"IPAddress": ADDRESSES}
    return Scenario(
        sign_ins=draw(tables(sign_ins, times, draw(SIZES), draw(NASTY_IN_DATABASES))),
        operations=draw(
            tables(OPERATION_VALUES, of_operations, draw(SIZES), draw(NASTY_IN_DATABASES))
        ),
        allowlist=draw(st.lists(st.one_of(st.just("10.0.0.1"), entries()), max_size=2)),
        span=span,
        statuses=draw(STATUSES) or ("Success",),
    )


def late_in_python(scenario: Scenario) -> list[LateChanges]:
    """Return the counts of the changes in the scenario's window."""
    logs, rule = scenario.logs(), RuleSettings(scenario.span, scenario.statuses)
    allowlist = Allowlist.of(scenario.allowlist)
    return late_changes(
        match_sign_ins(logs.sign_ins, START - TOKEN_LIFETIME, END, allowlist).by_identity,
        match_operations(logs.operations, START, END, rule).by_identity,
        scenario.span,
    )
