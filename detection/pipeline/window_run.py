"""One window: read its parts, detect, compare with the ledger, and make the finding rows.

Nothing is written here. Each finding is scored once and is a row from then on.
"""

from operator import itemgetter

from detection.outbox import PendingRows, RowCompressor
from detection.pipeline.counters import WindowCounters
from detection.pipeline.enrichment import Enrichment
from detection.pipeline.finding_row import finding_row
from detection.pipeline.run_record import RunHeader
from detection.rule.correlate import Detection, GroupKey, detect
from detection.rule.ledger import Review
from detection.rule.log_rows import Logs
from detection.schema import Finding
from detection.sources import Correlated, LogSource
from detection.window import Window


def examine_window(
    source: LogSource, window: Window, header: RunHeader, review: Review, enrichment: Enrichment
) -> tuple[WindowCounters, PendingRows[Finding]]:
    """Read and examine a window; return its counters and the rows of its findings.

    The findings are in the order of their first event. `review` collects the new
    operations of the window, `enrichment` its warnings. Raises SourceError.
    """
    counters = WindowCounters()
    found: list[tuple[int, GroupKey, bytes]] = []
    compressor = RowCompressor()

    def examine(part: Logs | Correlated) -> None:
        logs, detection = _detected(part, window, enrichment)
        emissions = review.register(enrichment.without_excluded(detection.groups))
        counters.add(logs, detection, emissions)
        for emission, context in enrichment.contexts(emissions, review, window):
            row = finding_row(emission, context, header)
            group = emission.group
            found.append((group.first_event, group.key, compressor.compress(row)))

    has_read = False
    for part in source.parts(window, enrichment.now, enrichment.settings):
        examine(part)
        del part  # frees its rows before the next part is read; enumerate() would keep a reference
        if has_read:  # hashing the operations only pays if there are several parts
            review.encode()
        has_read = True
    found.sort(key=itemgetter(0, 1))
    return counters, PendingRows(compressor.dictionary, [body for *_, body in found])


def _detected(
    part: Logs | Correlated, window: Window, enrichment: Enrichment
) -> tuple[Logs, Detection]:
    """Apply the rule to a part, unless the workspace's cluster has done so."""
    if isinstance(part, Correlated):
        return part.logs, part.detection
    return part, detect(part, window.start, window.end, enrichment.settings)
