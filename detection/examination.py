"""One window read part by part, and what it comes to, before anything of it is written down."""

from collections.abc import Sequence

from detection import records
from detection.analysis import Analysis
from detection.found import Found
from detection.records import Header
from detection.rule.correlate import detect
from detection.rule.ledger import Review
from detection.rule.rows import Logs
from detection.schema import Finding
from detection.sources import Correlated, LogSource
from detection.tally import Tally
from detection.window import Window


def examine(
    source: LogSource, window: Window, header: Header, review: Review, analysis: Analysis
) -> tuple[Tally, Sequence[Finding]]:
    """Read a window and keep of each part no more than what it comes to.

    `review` and `analysis` take note of what they see. Raises SourceError.
    """
    tally = Tally()
    found = Found()

    def take(part: Logs | Correlated) -> None:
        if isinstance(part, Correlated):
            logs, detection = part
        else:
            logs, detection = part, detect(part, window.start, window.end, analysis.settings)
        emissions = review.of(analysis.keep(detection.groups))
        tally.add(logs, detection, emissions)
        dossiers = analysis.dossiers(emissions, detection.groups, window)
        for emission, dossier in zip(emissions, dossiers, strict=True):
            found.add(emission.group, records.finding(emission, dossier, header))

    several = False
    for part in source.parts(window, analysis.now):
        take(part)
        del part  # or its rows would stay while the next are read; enumerate() keeps one too
        if several:  # a window in one part is not worth the work
            review.settle()
            found.settle()
        several = True
    return tally, found.in_order()
