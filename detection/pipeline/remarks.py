"""What a run record says in plain sentences."""

from collections.abc import Iterable
from typing import Final

from detection.bounded import entries
from detection.pipeline.counters import Tally
from detection.pipeline.enrichment import Analysis
from detection.printable import shortened
from detection.rule.filters import OTHER_SUCCESS
from detection.rule.log_rows import ALLOWLIST_TABLE, OPERATION_TABLE, SIGN_IN_TABLE, SourceState
from detection.sources import Arrivals

NAMED: Final = 300  # characters of the entries that a sentence names


def remarks(tally: Tally, analysis: Analysis, arrivals: Arrivals) -> tuple[list[str], list[str]]:
    """Return what may have hidden a finding, and what is merely worth knowing, as sentences."""
    notes: list[str] = []
    if analysis.excluded:
        number, used = sum(analysis.excluded.values()), analysis.excluded.most_common()
        names = _named(called for called, _ in used)
        notes.append(f"{number} findings were left out by exclusions: {names}")
    warnings = [
        f"Table {shape.name} is missing: {tally.remedies.get(shape.name, shape.remedy)}"
        for shape in (SIGN_IN_TABLE, OPERATION_TABLE)
        if tally.states[shape.name] is SourceState.MISSING
    ]
    warnings += tally.warnings
    warnings += analysis.warnings
    warnings += filter(None, (tally.allowlist_problem, analysis.exclusions.problem))
    for listed, problem in (
        (analysis.exclusions.expired, "have expired and leave nothing out any more"),
        (analysis.exclusions.invalid, "are incomplete and leave nothing out"),
    ):
        if listed:
            warnings.append(f"{len(listed)} exclusions {problem}: {_named(listed)}")
    if tally.nameless:
        warnings.append(
            f"{len(tally.nameless)} identities signed in under too many names to tell their "
            f"findings apart by name: {_named(tally.nameless)}"
        )
    if arrivals.too_late:
        warnings.append(
            f"{arrivals.too_late} rows arrived later than MAX_LATENESS and were not examined"
        )
    if tally.allowlist_invalid:
        names = _named(map(repr, entries(tally.allowlist_invalid)))
        warnings.append(
            f"{len(tally.allowlist_invalid)} allowlist entries cannot be read and exclude "
            f"nothing: {names}"
        )
    if tally.operations_succeeded:
        remark = (
            f"{tally.operations_succeeded} changes are spelt {OTHER_SUCCESS} and were "
            "ignored; SUCCESS_STATUSES can add that spelling"
        )
        (notes if tally.operations_matched else warnings).append(remark)
    if tally.operations_without_caller:
        notes.append(
            f"{tally.operations_without_caller} changes have no caller: they pair with no identity"
        )
    if tally.states[ALLOWLIST_TABLE.name] is SourceState.MISSING:
        remedy = tally.remedies.get(ALLOWLIST_TABLE.name, ALLOWLIST_TABLE.remedy)
        notes.append(f"Watchlist {ALLOWLIST_TABLE.name} is missing: {remedy}")
    return warnings, notes


def _named(texts: Iterable[str]) -> str:
    """Return the first of some entries as a list."""
    return shortened("; ".join(entries(texts)), NAMED)
