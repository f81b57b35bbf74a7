"""One window read part by part, and what it comes to, before anything of it is written down."""

from functools import partial

from detection.outbox import PendingRows
from detection.pipeline.counters import WindowCounters
from detection.pipeline.enrichment import Enrichment, Told
from detection.pipeline.finding_row import finding_row
from detection.pipeline.found import Found
from detection.pipeline.run_record import RunHeader
from detection.rule.correlate import detect
from detection.rule.ledger import Emission, Review
from detection.rule.log_rows import Logs
from detection.schema import Finding
from detection.sources import Correlated, LogSource
from detection.window import Window


def evaluate_window(
    source: LogSource, window: Window, header: RunHeader, review: Review, enrichment: Enrichment
) -> tuple[WindowCounters, PendingRows[Finding]]:
    """Read a window and keep of each part no more than what it comes to.

    `review` and `enrichment` take note of what they see. Raises SourceError.
    """
    counters = WindowCounters()
    found = Found()

    def row(emission: Emission, told: Told) -> Finding:
        return finding_row(emission, told(), header)

    def take(part: Logs | Correlated) -> None:
        if isinstance(part, Correlated):
            logs, detection = part
        else:
            logs, detection = part, detect(part, window.start, window.end, enrichment.settings)
        emissions = review.register(enrichment.keep(detection.groups))
        counters.add(logs, detection, emissions)
        tellers = enrichment.tellers(emissions, detection.groups, window)
        for emission, told in zip(emissions, tellers, strict=True):
            found.add(emission.group, partial(row, emission, told))

    several = False
    for part in source.parts(window, enrichment.now):
        take(part)
        del part  # or its rows would stay while the next are read; enumerate() keeps one too
        if several:  # a window in one part is not worth the work
            review.encode()
            found.settle()
        several = True
    return counters, found.in_order()
