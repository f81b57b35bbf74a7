"""The logs that are measured and the targets they are judged by, declared once.

A ratio to decoding the same bytes is a target that means the same on a fast and on a slow
machine; seconds would not.
"""

from dataclasses import dataclass

NOW = "2026-03-14T10:00:00Z"


@dataclass(frozen=True, slots=True)
class Case:
    """A recorded folder to generate, `rows` in each of the two tables.

    Identities are drawn with Zipf popularity. `hot_rows` more of each table belong to the first
    identity, over `hot_groups` resource groups. With `mixed`, some rows do not meet the rule, as
    in real logs.
    """

    name: str
    rows: int
    identities: int
    hot_rows: int = 0
    hot_groups: int = 0
    mixed: bool = True

    @property
    def total(self) -> int:
        """Rows of each table."""
        return self.rows + self.hot_rows


CASES = {
    case.name: case
    for case in (
        Case("typical", rows=5_000, identities=1_000),
        Case("half", rows=250_000, identities=20_000),
        Case("large", rows=500_000, identities=20_000),
        Case("double", rows=1_000_000, identities=20_000),
        # Nothing spared: each of the hot identity's sign-ins can pair with each operation.
        Case("hot", rows=5_000, identities=1_000, hot_rows=100_000, hot_groups=1_000, mixed=False),
    )
}

RATIO_TARGETS = {"large": 5.0, "hot": 6.0}
"""How many times the decoding of its JSON a run of the case may take."""

PEER_CASES = {
    "polars": ("typical", "large", "hot"),
    "duckdb": ("typical", "large", "hot"),
    "pandas": ("typical",),  # it forms the pairs: the other cases would need hundreds of gigabytes
}
"""Which cases each of bench/peers runs on."""

JUDGED_PEER = "polars"
"""The fastest of them, which runs in every round; the others run once."""

PEER_TARGETS = {"CPU": 0.8, "wall": 1.0, "peak": 0.5}
"""How much a run may take of what polars takes, its import counted, on the cases below."""

PEER_TARGET_CASES = ("large", "hot")

DOUBLINGS = (("half", "large"), ("large", "double"))
DOUBLING_TARGET = 2.4
"""How many times longer a run over twice the rows may take; forming pairs would make it 4."""
