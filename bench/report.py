"""From measured costs to what is printed: the tables, and whether each target is met.

Every figure is a median with its range, because on a busy machine a single number cannot be
told from noise. Ratios are taken within a round, whose two processes ran one after the other.
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
    """A case's recorded folder and what each round cost."""

    megabytes: float
    findings: int
    decodes: list[Cost] = field(default_factory=list)
    runs: list[Cost] = field(default_factory=list)
    peers: dict[str, list[Cost]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Figure:
    """A ratio, one value a round, and the most that its median may be (None: no target)."""

    name: str
    values: Sequence[float]
    target: float | None

    @property
    def missed(self) -> bool:
        """Whether the median is beyond the target."""
        return self.target is not None and median(self.values) > self.target

    @property
    def verdict(self) -> str:
        """In a word, and whether noise alone could have turned it over."""
        if self.target is None:
            return ""
        uncertain = min(self.values) <= self.target < max(self.values)
        return ("MISSED" if self.missed else "ok") + (
            " (uncertain: the rounds disagree)" if uncertain else ""
        )


def figures(measured: Mapping[str, Measured]) -> list[Figure]:
    """Return the ratios that can be told from the cases measured."""
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
    """Return what a run takes of what the judged peer takes, round by round."""
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
    """Show the least that the product and each peer took of CPU, wall time and memory.

    The least of the rounds, because others' work on the machine only ever adds.
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
    """Show what each case holds and costs; "in process" leaves out start and end of Python."""
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
    """Say in a sentence what was judged and how it came out."""
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
    """Lay out lines of cells in columns, text (the first and the last) to the left."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = (0, len(widths) - 1)
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place in texts else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
