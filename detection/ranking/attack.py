"""The MITRE ATT&CK techniques and tactics of the operations of a finding.

techniques.csv has the name and the tactics of each technique that the catalogue of operations uses,
as in ATT&CK for Enterprise, version 19.
"""

import csv
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from detection.ranking.classify import classify, classify_action
from detection.ranking.summary import Summary

ATTACK_VERSION: Final = "19"
FILE: Final = Path(__file__).parent / "techniques.csv"


class Technique(NamedTuple):
    """A technique with its tactics, which are spelt without blanks as Microsoft Sentinel does."""

    id: str
    name: str
    tactics: tuple[str, ...]


@cache
def techniques() -> dict[str, Technique]:
    """Return all techniques of the catalogue by id; the first call reads the file."""
    with FILE.open(encoding="utf-8", newline="") as file:
        return {
            row["id"]: Technique(
                row["id"], row["name"], tuple(row["tactics"].replace(" ", "").split(";"))
            )
            for row in csv.DictReader(file, strict=True)
        }


def observed_techniques(summary: Summary) -> list[str]:
    """Return the ids of the techniques of a finding's operations and actions, the gravest first."""
    entries = {classify(each.operation) for each in summary.operations.values()}
    actions = {*summary.actions, *summary.later_actions}
    entries.update(filter(None, map(classify_action, actions)))
    ranked = sorted(entries, key=lambda entry: (-entry.points, entry.technique))
    return list(dict.fromkeys(entry.technique for entry in ranked if entry.technique))


def observed_tactics(ids: Iterable[str]) -> list[str]:
    """Return the tactics of techniques, each once, in the order of the techniques."""
    known = techniques()
    return list(dict.fromkeys(tactic for each in ids for tactic in known[each].tactics))
