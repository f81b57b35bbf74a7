"""Data flows one way, and what should be pure is."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RULE = sorted((ROOT / "detection" / "rule").glob("*.py"))
MODULES = sorted((ROOT / "detection").rglob("*.py"))

# What each part may import of the others: itself, and what lies below it.
BELOW = {
    "clouds": set[str](),
    "errors": set[str](),
    "outbox": set[str](),
    "printable": set[str](),
    "schema": set[str](),
    "threads": set[str](),
    "atomic_files": {"errors"},
    "credential_errors": {"printable"},
    "kql": {"kql", "rule"},
    "rule": {"rule"},
    "window": {"rule"},
    "ranking": {"ranking", "rule"},
    "settings": {"clouds", "errors", "rule", "window"},
    "report": {"printable", "ranking", "report", "rule", "schema"},
    "azure_clients": {
        "credential_errors",
        "errors",
        "pipeline",
        "settings",
        "sinks",
        "sources",
        "state",
    },
    "sinks": {
        "atomic_files",
        "credential_errors",
        "errors",
        "outbox",
        "printable",
        "report",
        "sinks",
        "threads",
    },
    "state": {
        "atomic_files",
        "credential_errors",
        "errors",
        "outbox",
        "printable",
        "ranking",
        "rule",
        "state",
        "window",
    },
    "sources": {
        "atomic_files",
        "credential_errors",
        "errors",
        "kql",
        "printable",
        "ranking",
        "rule",
        "sources",
        "threads",
        "window",
    },
    "cli": {
        "azure_clients",
        "cli",
        "credential_errors",
        "errors",
        "outbox",
        "pipeline",
        "printable",
        "rule",
        "schema",
        "settings",
        "sinks",
        "sources",
        "state",
        "window",
    },
    "pipeline": {
        "errors",
        "kql",
        "outbox",
        "pipeline",
        "printable",
        "ranking",
        "rule",
        "schema",
        "settings",
        "sinks",
        "sources",
        "state",
        "threads",
        "window",
    },
}
# Where the Azure SDKs may be imported.
EDGES = {
    *("sources/log_analytics/client.py", "sources/log_analytics/http_exchange.py"),
    "sources/workspace/source.py",
    *("sinks/ingestion.py", "sinks/ingestion_errors.py", "state/blob.py", "azure_clients.py"),
    "credential_errors.py",
}
PURE = {
    *("bisect", "collections", "contextlib", "dataclasses", "datetime", "enum", "functools"),
    *("hashlib", "itertools", "struct", "operator", "re", "typing", "unicodedata"),
    *("orjson", "socket"),  # socket only reads addresses: inet_pton
}


def imports(module: Path) -> set[str]:
    """Return the names of all modules that a module imports."""
    found = set[str]()
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "detection":
            found.update(f"detection.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_imports_what_lies_above_it(module: Path) -> None:
    """A part imports itself and the parts below it, and nothing else of the product."""
    part = module.relative_to(ROOT / "detection").parts[0].removesuffix(".py")
    used = {name.split(".")[1] for name in imports(module) if name.startswith("detection.")}
    if part in BELOW:
        assert used <= BELOW[part]


@pytest.mark.parametrize("module", RULE, ids=lambda path: path.name)
def test_the_rule_is_pure(module: Path) -> None:
    """The rule imports nothing by which it could tell the time, read a setting or reach out."""
    outside = {name.split(".")[0] for name in imports(module)} - {"detection"}
    assert outside <= PURE


def test_the_rule_asks_no_clock() -> None:
    """Nothing in the rule calls now(), today() or utcnow()."""
    text = "".join(path.read_text("utf-8") for path in (ROOT / "detection" / "rule").glob("*.py"))
    assert not any(call in text for call in ("now(", "today(", "time.time"))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_stay_readable(module: Path) -> None:
    """No module is longer than can be read in one go."""
    assert len(module.read_text("utf-8").splitlines()) <= 260


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_azure_is_met_at_the_edges_only(module: Path) -> None:
    """The Azure SDKs are imported where the product meets Azure, and nowhere else."""
    if any(name.split(".")[0] == "azure" for name in imports(module)):
        assert module.relative_to(ROOT / "detection").as_posix() in EDGES
