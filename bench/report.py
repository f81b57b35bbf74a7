"""The printed tables of measured costs, and the check of each target.

Every figure is a median with its range, because on a busy machine a single number may be noise.
Ratios are those within a round, whose two processes ran one after the other.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from statistics import median

from bench.cases import (
    CASES,
    DOUBLING_TARGET,
    DOUBLINGS,
    JUDGED_PEER,
    PEER_TARGET_CASES,
    PEER_TARGETS,
    RATIO_TARGETS,
)
from bench.measure import Cost

MEASURES: dict[str, Callable[[Cost], float]] = {
    "CPU": attrgetter("cpu"),
    "wall": attrgetter("wall"),
    "peak": attrgetter("peak"),
}
UNITS = {"CPU": " s", "wall": " s", "peak": " MB"}
DIGITS = {"CPU": 2, "wall": 2, "peak": 0}


@dataclass(slots=True)
class Measured:
    """The size of a case's recorded folder, and the costs of each round."""

    megabytes: float
    findings: int
    decodes: list[Cost] = field(default_factory=list)
    runs: list[Cost] = field(default_factory=list)
    peers: dict[str, list[Cost]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Figure:
    """A ratio, with one value a round, and the maximum of its median (None: no target)."""

    name: str
    values: Sequence[float]
    target: float | None

    @property
    def missed(self) -> bool:
        """Say whether the median exceeds the target."""
        return self.target is not None and median(self.values) > self.target

    @property
    def verdict(self) -> str:
        """Return "ok" or "MISSED", and whether the rounds disagree."""
        if self.target is None:
            return ""
        uncertain = min(self.values) <= self.target < max(self.values)
        return ("MISSED" if self.missed else "ok") + (
            " (uncertain: the rounds disagree)" if uncertain else ""
        )


def figures(measured: Mapping[str, Measured]) -> list[Figure]:
    """Return the ratios of the measured cases."""
    ratios = [
        Figure(
            f"{name}: run / decode",
            _ratios(case.runs, case.decodes),
            RATIO_TARGETS.get(name),
        )
        for name, case in measured.items()
    ]
    doublings = [
        Figure(
            f"twice the rows: {bigger} / {smaller}",
            _ratios(measured[bigger].runs, measured[smaller].runs),
            DOUBLING_TARGET,
        )
        for smaller, bigger in DOUBLINGS
        if smaller in measured and bigger in measured
    ]
    return ratios + doublings + _beside_the_peer(measured)


def _beside_the_peer(measured: Mapping[str, Measured]) -> list[Figure]:
    """Return a run's cost as a share of the judged peer's, for each round."""
    return [
        Figure(
            f"{name}: run / {JUDGED_PEER}, {what}",
            [of(one) / of(other) for one, other in zip(case.runs, theirs, strict=True)],
            PEER_TARGETS[what] if name in PEER_TARGET_CASES else None,
        )
        for name, case in measured.items()
        if (theirs := case.peers.get(JUDGED_PEER))
        for what, of in MEASURES.items()
    ]


def peers_table(measured: Mapping[str, Measured]) -> str:
    """Show the least CPU time, wall time and memory of the product and of each peer.

    The least of the rounds, because other work on the machine can only add to it.
    """
    head = ("case", *(f"{what}{unit}" for what, unit in UNITS.items()), "engine")
    lines = [
        (
            name,
            *(f"{min(map(of, costs)):,.{DIGITS[what]}f}" for what, of in MEASURES.items()),
            engine,
        )
        for name, case in measured.items()
        for engine, costs in (("the product", case.runs), *case.peers.items())
        if case.peers
    ]
    return _aligned([head, *lines]) if lines else "No other engine ran beside the product."


def costs_table(measured: Mapping[str, Measured]) -> str:
    """Show the size and the costs of each case; "in process" excludes start and end of Python."""
    head = (
        "case", "rows", "JSON MB", "findings", "decode s", "in process", "run s",
        "decode CPU s", "run CPU s", "decode peak MB", "run peak MB",
    )  # fmt: skip
    lines = [
        (
            name,
            f"{2 * CASES[name].total:,}",
            f"{case.megabytes:.1f}",
            f"{case.findings:,}",
            _spread([cost.wall for cost in case.decodes]),
            f"{median(cost.inside for cost in case.decodes):.3f}",
            _spread([cost.wall for cost in case.runs]),
            f"{median(cost.cpu for cost in case.decodes):.2f}",
            f"{median(cost.cpu for cost in case.runs):.2f}",
            f"{median(cost.peak for cost in case.decodes):,.0f}",
            f"{median(cost.peak for cost in case.runs):,.0f}",
        )
        for name, case in measured.items()
    ]
    return _aligned([head, *lines])


def figures_table(shown: Sequence[Figure]) -> str:
    """Show each ratio beside its target."""
    head = ("figure", "median (min-max)", "target", "")
    lines = [
        (
            figure.name,
            _spread(figure.values),
            "" if figure.target is None else f"at most {figure.target:g}",
            figure.verdict,
        )
        for figure in shown
    ]
    return _aligned([head, *lines])


def conclusion(shown: Sequence[Figure]) -> str:
    """Return a sentence about the targets: all met, or those that were missed."""
    judged = [figure for figure in shown if figure.target is not None]
    missed = [figure for figure in judged if figure.missed]
    if not judged:
        return "Nothing measured here has a target."
    if not missed:
        return f"Every target that was measured is met ({len(judged)})."
    named = "; ".join(
        f"{figure.name} is {median(figure.values):.2f}, the target at most {figure.target:g}"
        for figure in missed
    )
    return f"{len(missed)} of {len(judged)} targets missed: {named}."


def _ratios(above: Sequence[Cost], below: Sequence[Cost]) -> list[float]:
    return [one.wall / other.wall for one, other in zip(above, below, strict=True)]


def _spread(values: Sequence[float]) -> str:
    digits = 3 if max(values) < 1 else 2
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    """Align lines of cells in columns, with text (the first and the last) to the left."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = (0, len(widths) - 1)
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place in texts else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
