"""The generated logs of the benchmarks, and the targets.

A target is a ratio to decoding the same bytes, because seconds would depend on the machine.
"""

from dataclasses import dataclass

NOW = "2026-03-14T10:00:00Z"


@dataclass(frozen=True, slots=True)
class Case:
    """A recorded folder to generate, `rows` in each of the two tables.

    Identities follow a Zipf distribution. `hot_rows` further rows of each table belong to the
    first identity, over `hot_groups` resource groups. With `mixed`, some rows do not match the
    rule, as in real logs.
    """

    name: str
    rows: int
    identities: int
    hot_rows: int = 0
    hot_groups: int = 0
    mixed: bool = True

    @property
    def total(self) -> int:
        """Return the number of rows of each table."""
        return self.rows + self.hot_rows


CASES = {
    case.name: case
    for case in (
        Case("typical", rows=5_000, identities=1_000),
        Case("half", rows=250_000, identities=20_000),
        Case("large", rows=500_000, identities=20_000),
        Case("double", rows=1_000_000, identities=20_000),
        # The worst case: each of the hot identity's sign-ins can pair with each operation.
        Case("hot", rows=5_000, identities=1_000, hot_rows=100_000, hot_groups=1_000, mixed=False),
    )
}

RATIO_TARGETS = {"large": 5.0, "hot": 6.0}
"""The most that a run of the case may take, as a multiple of decoding its JSON."""

PEER_CASES = {
    "polars": ("typical", "large", "hot"),
    "duckdb": ("typical", "large", "hot"),
    # It forms every pair, which would need hundreds of gigabytes for the other cases.
    "pandas": ("typical",),
}
"""The cases on which each of bench/peers runs."""

JUDGED_PEER = "polars"
"""The fastest peer, which runs in every round; the others run once."""

PEER_TARGETS = {"CPU": 0.8, "wall": 1.0, "peak": 0.5}
"""The most that a run may take on the cases below, as a share of polars with its import."""

PEER_TARGET_CASES = ("large", "hot")

DOUBLINGS = (("half", "large"), ("large", "double"))
DOUBLING_TARGET = 2.4
"""The most that a run over twice the rows may take, as a multiple; forming pairs would take 4."""
