"""One window read part by part, and what it comes to, before anything of it is written down."""

from functools import partial

from detection.outbox import (
    Rows,
)
from detection.pipeline.counters import Tally
from detection.pipeline.enrichment import Analysis, Told
from detection.pipeline.finding_row import finding
from detection.pipeline.found import Found
from detection.pipeline.run_record import Header
from detection.rule.correlate import detect
from detection.rule.ledger import Emission, Review
from detection.rule.log_rows import Logs
from detection.schema import Finding
from detection.sources import Correlated, LogSource
from detection.window import Window


def examine(
    source: LogSource, window: Window, header: Header, review: Review, analysis: Analysis
) -> tuple[Tally, Rows[Finding]]:
    """Read a window and keep of each part no more than what it comes to.

    `review` and `analysis` take note of what they see. Raises SourceError.
    """
    tally = Tally()
    found = Found()

    def row(emission: Emission, told: Told) -> Finding:
        return finding(emission, told(), header)

    def take(part: Logs | Correlated) -> None:
        if isinstance(part, Correlated):
            logs, detection = part
        else:
            logs, detection = part, detect(part, window.start, window.end, analysis.settings)
        emissions = review.of(analysis.keep(detection.groups))
        tally.add(logs, detection, emissions)
        tellers = analysis.tellers(emissions, detection.groups, window)
        for emission, told in zip(emissions, tellers, strict=True):
            found.add(emission.group, partial(row, emission, told))

    several = False
    for part in source.parts(window, analysis.now):
        take(part)
        del part  # or its rows would stay while the next are read; enumerate() keeps one too
        if several:  # a window in one part is not worth the work
            review.settle()
            found.settle()
        several = True
    return tally, found.in_order()
