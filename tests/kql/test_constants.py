"""A constant of the rule stands once: no query holds a copy, and an edit changes both engines."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from detection.kql.constants import CONSTANTS
from detection.kql.render import FOLDER, PLACEHOLDER
from detection.rule import correlate, pairs
from detection.rule.filters import (
    CHANGE_TERMS,
    OTHER_SUCCESS,
    READ_TERMS,
    SIGN_IN_SUCCESS,
    SUCCESS,
    TARGET_TERMS,
)
from detection.rule.kql_text import has_any
from tests.support import ROOT

WORDS = {SUCCESS, OTHER_SUCCESS, *TARGET_TERMS, *CHANGE_TERMS, *READ_TERMS}
NUMBERS = {value for value in CONSTANTS.values() if isinstance(value, int)}
# No query needs another number than these.
ALLOWED = {
    "0": "nothing, the first character, the beginning of a span, or a default for a count",
    "1": "one, the next number, an operation in a sweep, or the part -1 of the rows that count",
    "2": "the end of a span, the third kind of row in a sweep",
    "1d": "the day around now or around a finding",
    "90d": "the days before a finding whose changes of rights are shown",
    "1970": "the year of the epoch, from which ticks are counted",
    "01": "its month and its day",
}


def literals(text: str) -> tuple[list[str], list[str]]:
    """Return the texts and the numbers that stand in a query."""
    text = re.sub(r"//.*", "", text)
    strings = re.findall(r'@?"([^"\n]*)"', text)
    text = PLACEHOLDER.sub("", re.sub(r'@?"[^"\n]*"', "", text))
    return strings, re.findall(r"(?<![\w.])\d\w*", text)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.kql")), ids=lambda path: str(path.stem))
def test_no_query_holds_a_constant(path: Path) -> None:
    """No query holds a service, a term, a status, a code, a cap or a number of buckets."""
    strings, numbers = literals(path.read_text("utf-8"))
    assert SIGN_IN_SUCCESS not in strings
    assert not [text for text in strings if has_any(text, WORDS)]
    assert set(numbers) <= ALLOWED.keys()


def test_a_copy_is_noticed() -> None:
    """A copied text or number is found, and no constant is among the allowed numbers."""
    strings, numbers = literals('T | where A has_any ("Blob", "x") | take 11 // "Read" 7\n')
    assert (strings, numbers) == (["Blob", "x"], ["11"])
    assert has_any("a/delete", WORDS)
    assert not {str(number) for number in NUMBERS} & ALLOWED.keys()


def test_every_constant_is_used() -> None:
    """Each constant fills a placeholder of some query."""
    used = set(PLACEHOLDER.findall("".join(p.read_text("utf-8") for p in FOLDER.glob("*.kql"))))
    assert used >= CONSTANTS.keys()


class Edit(NamedTuple):
    """An edit of one line of the product, and the feature of the results that it changes."""

    file: str
    line: str
    edited: str
    feature: str
    before: Any
    after: Any


def raised(module: ModuleType, name: str, more: int, feature: str) -> Edit:
    """Return the edit that raises a cap, whatever it is now."""
    cap = getattr(module, name)
    file = Path(str(module.__file__)).relative_to(ROOT / "detection").as_posix()
    line = f"{name}: Final = {cap}"
    return Edit(file, line, f"{name}: Final = {cap + more}", feature, cap, cap + more)


IDENTITIES = ["caps", "many", "peek", "two services"]
CHANGED = ["caps", "cosmos", "late", "many", "purge", "two services"]  # after all edits together
FILTERS = "rule/filters.py"
# Caps are raised: both engines' lists would be short enough if a larger cap were left somewhere.
EDITS = {
    "target service": Edit(
        FILTERS,
        '("Key Vault", "Storage", "Blob")',
        '("Key Vault", "Storage", "Blob", "Cosmos DB")',
        "identities",
        IDENTITIES,
        CHANGED,
    ),
    "sign-in result": Edit(
        FILTERS,
        'SIGN_IN_SUCCESS: Final = "0"',
        'SIGN_IN_SUCCESS: Final = "7"',
        "identities",
        IDENTITIES,
        ["other result"],
    ),
    "change term": Edit(
        FILTERS,
        '("WRITE", "DELETE")',
        '("WRITE", "DELETE", "PURGE")',
        "baseline",
        ["a/peek/write"],
        ["a/purge"],
    ),
    "read term": Edit(
        FILTERS,
        '("READ", "LIST", "GET")',
        '("READ", "LIST", "GET", "PEEK")',
        "baseline",
        ["a/peek/write"],
        ["a/purge"],
    ),
    "accepted status": Edit(
        FILTERS,
        'SUCCESS: Final = "Success"',
        'SUCCESS: Final = "Done"',
        "identities",
        IDENTITIES,
        ["done"],
    ),
    "other spelling of success": Edit(
        FILTERS, '= "Succeeded"', '= "Finished"', "other success", 1, 2
    ),
    "span": Edit(
        FILTERS,
        "span: int = HOUR",
        "span: int = 3 * HOUR // 2",
        "identities",
        IDENTITIES,
        CHANGED,
    ),
    "cap of resources": raised(correlate, "RESOURCES_SHOWN", 1, "resources"),
    "cap of operations": raised(correlate, "OPERATIONS_SHOWN", 1, "operations"),
    "cap of affected resources": raised(correlate, "AFFECTED_SHOWN", 2, "affected resources"),
    "cap of subscriptions": raised(correlate, "SUBSCRIPTIONS_SHOWN", 2, "subscriptions"),
    "cap of addresses": raised(correlate, "ADDRESSES_SHOWN", 3, "addresses"),
    "pairs kept": raised(pairs, "PAIRS_KEPT", 4, "pairs"),
    "key length": Edit("rule/reported.py", "HASH_BYTES = 16", "HASH_BYTES = 8", "key bytes", 16, 8),
    "bucket count": Edit(
        "kql/constants.py", "BUCKETS: Final = 1024", "BUCKETS: Final = 2", "buckets", None, [0, 1]
    ),
    "keys in a row": Edit(
        "kql/constants.py", "KEYS_PER_ROW: Final = 1000", "KEYS_PER_ROW: Final = 7", "rows", 1, 5
    ),
}
# After these two edits little else of the log matches, so they are made on their own.
ALONE = ("sign-in result", "accepted status")
TOGETHER = tuple(name for name in EDITS if name not in ALONE)

Answers = dict[str, Any]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answers]:
    """Return the results of both engines by the edit that was made, and without any."""
    found = {"": run(tmp_path_factory.mktemp("plain"), ())}
    together = run(tmp_path_factory.mktemp("together"), TOGETHER)
    found |= dict.fromkeys(TOGETHER, together)
    found |= {name: run(tmp_path_factory.mktemp("alone"), (name,)) for name in ALONE}
    return found


def run(folder: Path, names: tuple[str, ...]) -> Answers:
    """Return the results with a copy of the product in which these edits are made."""
    product = folder / "detection"
    shutil.copytree(ROOT / "detection", product, ignore=shutil.ignore_patterns("__pycache__"))
    for name in names:
        edit = EDITS[name]
        text = (product / edit.file).read_text("utf-8")
        assert text.count(edit.line) == 1, f"{edit.file} has no {edit.line!r}: change EDITS too"
        (product / edit.file).write_text(text.replace(edit.line, edit.edited), "utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", "tests.support.both_engines"],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found: Answers = json.loads(ended.stdout)
    assert found["product"] == str(product)
    return found


@pytest.mark.parametrize("name", EDITS)
def test_both_engines_follow_an_edit(answers: dict[str, Answers], name: str) -> None:
    """One edited line changes the results of the rule and of the queries, and in the same way."""
    edit, plain, edited = EDITS[name], answers[""], answers[name]
    for engine in ("python", "kql"):
        if edit.feature in plain[engine]:  # how keys are laid out in rows is seen in the cluster
            assert edit.before in (None, plain[engine][edit.feature])
            assert edited[engine][edit.feature] == edit.after != plain[engine][edit.feature]


def test_both_engines_agree(answers: dict[str, Answers]) -> None:
    """With and without edits both engines give equal results."""
    for name, each in answers.items():
        kql = {feature: value for feature, value in each["kql"].items() if feature != "rows"}
        assert kql == each["python"], name
