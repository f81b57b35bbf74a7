"""A run record is small, whatever logs, watchlists and messages contain."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.errors import SourceError
from detection.pipeline.invocation import Invocation
from detection.pipeline.job import run
from detection.printable import (
    MAX_ENTRIES,
    MAX_ENTRY_LENGTH,
    MAX_SENTENCE_LENGTH,
    MAX_TEXT_LENGTH,
    first_entries,
    join_sentences,
    numbered_entries,
    shorten_middle,
)
from detection.rule.filters import RuleSettings
from detection.rule.log_rows import Logs
from detection.rule.ticks import parse_time
from detection.sources import Arrivals, Correlated
from detection.sources.recorded.folder import RecordedSource
from detection.state import ReadOnlyStore
from detection.window import Window
from tests.support import (
    ALLOWLIST,
    EXCLUSIONS,
    NOW,
    OPERATIONS,
    SIGN_INS,
    Collected,
    NoContext,
    write_table,
)

AN_HOUR_BEFORE = "2026-03-14T09:00:00Z"
RECORD_SIZE = 100_000  # bytes of JSON: four lists and two texts at their maximum length


class Refusing:
    """A source whose reads fail with a message."""

    context = NoContext()

    def __init__(self, message: str) -> None:
        self._message = message

    def clock(self) -> None:
        """Return no time."""

    def arrivals(self, *, since: int, now: int, examined: int, too_late: int) -> Arrivals:
        """Return no late rows."""
        del since, now, examined, too_late
        return Arrivals()

    def parts(
        self, window: Window, now: int, settings: RuleSettings
    ) -> Iterator[Logs | Correlated]:
        """Fail."""
        del window, now, settings
        raise SourceError(self._message)


def recorded_folder(
    path: Path, allowlist: list[str], exclusions: list[dict[str, str]], groups: int = 1
) -> RecordedSource:
    """Record an identity that changed some resource groups, and both watchlists."""
    about = {"ServicePrincipalId": "id", "ResultType": "0", "ResourceDisplayName": "Storage"}
    write_table(path, SIGN_INS, [{"TimeGenerated": AN_HOUR_BEFORE, **about}])
    changed = {"Caller": "id", "OperationNameValue": "A/WRITE", "ActivityStatusValue": "Success"}
    rows = [
        {"TimeGenerated": AN_HOUR_BEFORE, **changed, "ResourceGroup": f"rg{n}"}
        for n in range(groups)
    ]
    write_table(path, OPERATIONS, rows)
    write_table(path, ALLOWLIST, [{"IPOrRange": entry} for entry in allowlist])
    write_table(path, EXCLUSIONS, exclusions)
    return RecordedSource(path)


def record_of(source: RecordedSource | Refusing) -> Any:
    """Return the record of a run of one window."""
    (record,) = run(source, Collected(), ReadOnlyStore(), Invocation("w", parse_time(NOW))).records
    return record


def test_a_long_allowlist_gives_a_short_record(tmp_path: Path) -> None:
    """A record shows the first of ten megabytes of unreadable entries, and their number."""
    count = 200_000
    unreadable = [f"{number} is no address: {'x' * 30}" for number in range(count)]
    source = recorded_folder(tmp_path, [*unreadable, "198.51.100.0/24"], [])
    began = time.process_time()
    record = record_of(source)
    took = time.process_time() - began
    assert len(orjson.dumps(record)) < 20_000
    assert record["AllowlistEntries"] == count + 1
    assert record["AllowlistInvalid"] == unreadable[:MAX_ENTRIES]
    assert f"{count} allowlist entries without effect" in record["Reason"]
    assert took < 10  # seconds; two on a quiet machine


@pytest.mark.parametrize("kind", ["expired", "invalid"])
def test_long_exclusions_give_a_short_record(tmp_path: Path, kind: str) -> None:
    """A record shows the first of many expired or invalid exclusions, and their number."""
    count = 3_000
    expires = {"expired": "2020-01-01", "invalid": "when we say so"}[kind]
    rows = [
        {
            "ServicePrincipalId": f"id-{number}",
            "ResourceGroup": "g" * 500,
            "Owner": "o" * 500,
            "Reason": "\u202e\x1b[2J" * 500,
            "Expires": expires,
        }
        for number in range(count)
    ]
    record = record_of(recorded_folder(tmp_path, [], rows))
    listed = record[f"Exclusions{kind.title()}"]
    assert len(listed) == MAX_ENTRIES
    assert [text.partition(" ")[0] for text in listed] == [f"id-{n}" for n in range(MAX_ENTRIES)]
    assert max(map(len, listed)) <= MAX_ENTRY_LENGTH
    assert re.search(rf"\b{count} (expired|invalid) exclusions ", record["Reason"])
    assert record["Reason"].isprintable()
    assert len(orjson.dumps(record)) < RECORD_SIZE


def test_the_most_used_exclusions_are_listed(tmp_path: Path) -> None:
    """Of many exclusions the record lists those that excluded most, with their numbers."""
    names = [f"rg{number}" for number in range(150)]
    rows = [
        {
            "ServicePrincipalId": "",
            "ResourceGroup": name,
            "Owner": "o" * 500,
            "Reason": "r",
            "Expires": "2030-01-01",
        }
        for name in names
    ]
    record = record_of(recorded_folder(tmp_path, [], rows, groups=150))
    assert record["FindingsExcluded"] == 150
    assert len(record["ExclusionsUsed"]) == MAX_ENTRIES
    assert all(text.endswith(": 1") for text in record["ExclusionsUsed"])
    assert numbered_entries([("a", 3), ("b" * 500, 12)])[1].endswith("b: 12")


def test_an_error_is_one_printable_line_of_bounded_length() -> None:
    """A long message with control characters becomes one line with both of its ends."""
    message = f"the beginning\n\x1b[2J{'x' * 10_000_000}\u202e: and what to do"
    record = record_of(Refusing(message))
    assert record["Error"].startswith("the beginning")
    assert record["Error"].endswith("and what to do")
    assert record["Error"].isprintable()
    assert len(record["Error"]) <= MAX_SENTENCE_LENGTH
    assert record["Status"] == "Failure"


@given(st.lists(st.text(max_size=300), max_size=150))
def test_texts_within_the_limits_are_unchanged(texts: list[str]) -> None:
    """Entries and sentences within the limits are unchanged."""
    kept = first_entries(texts)
    assert len(kept) == min(len(texts), MAX_ENTRIES)
    for text, entry in zip(texts, kept, strict=False):
        assert len(entry) <= MAX_ENTRY_LENGTH
        assert entry == text or len(text) > MAX_ENTRY_LENGTH
    joined = join_sentences(texts)
    assert len(joined) <= MAX_TEXT_LENGTH
    assert joined.isprintable()


def test_a_shortened_text_keeps_both_ends() -> None:
    """A text that is too long keeps its beginning and its end, with a mark between them."""
    assert shorten_middle("a" * 50 + "b" * 50, 100) == "a" * 50 + "b" * 50
    assert shorten_middle("a" * 100 + "b" * 100, 100) == "a" * 47 + "..." + "b" * 50
