"""Random states, and a comparable form of a state."""

from typing import Any

from hypothesis import strategies as st

from detection.outbox import Outbox, OutboxPosition
from detection.ranking.baseline import Baseline
from detection.ranking.summary import Summary
from detection.rule.correlate import GroupKey
from detection.rule.ledger import Ledger
from detection.rule.reported import Reported, encode_operations, hash_key
from detection.state import State
from tests.support import summaries

TEXTS = st.one_of(st.sampled_from(("", "rg", '"\n\\', "\u2028\U0001f600\x00")), st.text(max_size=8))
TICKS = st.one_of(
    st.integers(17_000_000_000_000_000, 18_000_000_000_000_000),
    st.integers(-621_355_968_000_000_000, 2_534_023_007_999_999_999),
)
ROWS = st.dictionaries(
    TEXTS,
    st.one_of(st.none(), st.booleans(), st.integers(0, 2**40), TEXTS, st.lists(TEXTS, max_size=3)),
    max_size=4,
)
FINDINGS = st.builds(
    Reported,
    finding_id=TEXTS,
    revision=st.integers(1, 99),
    opened=TICKS,
    last_seen=TICKS,
    pending=st.dictionaries(TEXTS, TICKS, max_size=3),
    encoded=st.dictionaries(TEXTS.map(hash_key), TICKS, max_size=4).map(encode_operations),
    summary=st.just(b"") | summaries.FINDINGS.map(Summary.encode),
)
KEYS = st.builds(GroupKey, TEXTS, TEXTS, TEXTS)
DAYS = st.dictionaries(TEXTS, st.dictionaries(TEXTS, st.integers(1, 14), max_size=2), max_size=2)
STATES = st.builds(
    State,
    watermark=st.none() | TICKS,
    arrivals_until=st.none() | TICKS,
    watched_from=st.none() | TICKS,
    ledger=st.builds(
        Ledger,
        st.dictionaries(KEYS, st.lists(FINDINGS, min_size=1, max_size=3), max_size=4),
        TICKS,
    ),
    outbox=st.builds(
        Outbox,
        st.lists(ROWS, max_size=3),
        st.lists(ROWS, max_size=3),
        st.builds(OutboxPosition, st.integers(0, 2**40), st.integers(0, 2**40)),
    ),
    baseline=st.none() | st.builds(Baseline, TICKS, TICKS, DAYS, DAYS, DAYS),
)


def content(state: State) -> dict[str, Any]:
    """Return the content of a state as plain values."""
    return {
        "moments": (state.watermark, state.arrivals_until, state.watched_from),
        "known from": state.ledger.known_from,
        "groups": {
            key: [
                (
                    *(each.finding_id, each.revision, each.opened, each.last_seen),
                    each.operations(),
                    each.summary,
                )
                for each in findings
            ]
            for key, findings in state.ledger.groups.items()
        },
        # Lists of pairs, because the order of a row's columns is part of the delivered bytes.
        "baseline": state.baseline,
        "begin": state.outbox.begin,
        "findings": [list(row.items()) for row in state.outbox.findings],
        "runs": [list(row.items()) for row in state.outbox.runs],
    }


def numbered(number: int) -> State:
    """Return a state that contains `number` in every part."""
    finding = Reported(
        str(number), number + 1, number, number, encoded=encode_operations({hash_key("a"): number})
    )
    groups = {GroupKey("i", "n", f"rg{each}"): [finding] for each in range(200)}
    row = {"n": number}
    return State(number, number, number, Ledger(groups), Outbox([row] * 50, [row]))
