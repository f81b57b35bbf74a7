"""The architecture: imports lead downward, the rule is pure, and every part has its floor."""

import ast
import re
from pathlib import Path

import pytest

from tests.support import ROOT

PACKAGE = ROOT / "detection"
MODULES = sorted(PACKAGE.rglob("*.py"))
RULE = sorted((PACKAGE / "rule").glob("*.py"))
RANKING = sorted((PACKAGE / "ranking").glob("*.py"))

# The parts of the package, each a module or a folder, from the bottom floor to the top. A part
# imports itself and parts of lower floors. A new part fails the tests until it has a floor here.
FLOORS = (
    {"errors", "schema", "printable", "threads", "clouds", "outbox", "rule"},
    {"ranking", "kql", "window", "atomic_files", "credential_errors"},
    {"settings", "report", "sources", "explain", "sentinel"},
    {"sinks", "state", "misspelt"},
    {"pipeline"},
    {"azure_clients"},
    {"cli"},
    {"__main__"},
)
FLOOR_OF = {part: floor for floor, parts in enumerate(FLOORS) for part in parts}
# The folders inside sources/ have floors of their own.
SOURCE_FLOORS = (
    {"__init__", "context", "prefilter", "identity_columns"},
    {"decode"},
    {"recorded", "log_analytics"},
    {"workspace"},
)
SOURCE_FLOOR_OF = {part: floor for floor, parts in enumerate(SOURCE_FLOORS) for part in parts}
# The only modules that import the Azure SDKs.
AZURE_MODULES = {
    *("azure_clients.py", "credential_errors.py"),
    *("sources/log_analytics/client.py", "sources/log_analytics/http_exchange.py"),
    "sources/log_analytics/free_query.py",
    *("sources/workspace/source.py", "state/blob.py"),
    *("sinks/ingestion.py", "sinks/ingestion_errors.py"),
}
PURE = {
    *("bisect", "collections", "csv", "dataclasses", "datetime", "enum", "functools", "hashlib"),
    *("itertools", "struct", "operator", "pathlib", "re", "types", "typing", "unicodedata"),
    *("orjson", "zlib", "socket"),  # socket only reads addresses: inet_pton
}


def name(path: Path) -> str:
    """Return the path of a module inside the package."""
    return path.relative_to(PACKAGE).as_posix()


EMULATOR = sorted((ROOT / "emulator").rglob("*.py"))


def full_name(path: Path) -> str:
    """Return the path of a module or folder from the root."""
    return path.relative_to(ROOT).as_posix()


def imports(module: Path) -> set[str]:
    """Return the names of all modules that a module imports."""
    found = set[str]()
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def parts_used(module: Path, package: str) -> set[str]:
    """Return the parts of a package that a module imports."""
    folder = ROOT / package.replace(".", "/")
    there = {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()}
    used = {each.removeprefix(f"{package}.").split(".")[0] for each in imports(module)}
    return used & there


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_every_module_has_a_floor(module: Path) -> None:
    """Each module belongs to a part that has a floor; a part on no floor fails."""
    part = module.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert part == "__init__" or part in FLOOR_OF
    if part == "sources":
        assert module.relative_to(PACKAGE).parts[1].removesuffix(".py") in SOURCE_FLOOR_OF


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_nothing_imports_upward(module: Path) -> None:
    """A part imports itself and the parts on lower floors, and nothing else of the package."""
    part = module.relative_to(PACKAGE).parts[0].removesuffix(".py")
    below = {each for each, floor in FLOOR_OF.items() if floor < FLOOR_OF.get(part, 0)}
    assert parts_used(module, "detection") <= below | {part}


@pytest.mark.parametrize("module", sorted((PACKAGE / "sources").rglob("*.py")), ids=name)
def test_nothing_in_the_sources_imports_upward(module: Path) -> None:
    """Decoding knows no recording and no workspace, and neither of these knows the other."""
    part = module.relative_to(PACKAGE / "sources").parts[0].removesuffix(".py")
    below = {e for e, floor in SOURCE_FLOOR_OF.items() if floor < SOURCE_FLOOR_OF.get(part, 0)}
    if part in SOURCE_FLOORS[0]:
        below |= SOURCE_FLOORS[0]
    assert parts_used(module, "detection.sources") <= below | {part}


@pytest.mark.parametrize(
    ("house", "above"),
    [("detection", {"emulator", "scripts", "bench", "tests"}), ("emulator", {"bench", "tests"})],
)
def test_tools_stand_above_the_product(house: str, above: set[str]) -> None:
    """The product imports no tool, and the emulator no test."""
    for module in (ROOT / house).rglob("*.py"):
        assert not {each.split(".")[0] for each in imports(module)} & above, module


def test_no_floor_names_a_part_that_is_gone() -> None:
    """Each part of the floors exists."""
    for parts, folder in ((FLOOR_OF, PACKAGE), (SOURCE_FLOOR_OF, PACKAGE / "sources")):
        there = {path.stem for path in folder.iterdir()}
        assert parts.keys() <= there


def test_no_imports_form_a_circle() -> None:
    """Following imports never leads back to a module."""
    graph = {
        "detection." + name(path).removesuffix(".py").replace("/", ".").removesuffix(".__init__"): {
            each for each in imports(path) if each.startswith("detection")
        }
        for path in MODULES
    }
    done = set[str]()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path, module))
        if module in done:
            return
        for imported in graph[module] & graph.keys() - {module}:
            visit(imported, (*path, module))
        done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("module", [*RULE, *RANKING], ids=name)
def test_rule_and_ranking_are_pure(module: Path) -> None:
    """They import nothing that could tell the time, read a setting or use a network."""
    outside = {each.split(".")[0] for each in imports(module)} - {"detection"}
    assert outside <= PURE
    assert parts_used(module, "detection") <= {"rule", "ranking"}


@pytest.mark.parametrize("module", [*RULE, *RANKING], ids=name)
def test_rule_and_ranking_read_no_clock(module: Path) -> None:
    """Nothing in them calls now(), today() or utcnow()."""
    text = module.read_text("utf-8")
    assert not any(call in text for call in ("now(", "today(", "time.time"))


@pytest.mark.parametrize("module", [*MODULES, *EMULATOR], ids=full_name)
def test_modules_stay_readable(module: Path) -> None:
    """No module is longer than somebody reads in one go."""
    assert len(module.read_text("utf-8").splitlines()) <= 260


@pytest.mark.parametrize(
    "folder", sorted({path.parent for path in (*MODULES, *EMULATOR)}), ids=full_name
)
def test_folders_stay_readable(folder: Path) -> None:
    """No folder has more than twelve modules beside the one that makes it a package."""
    assert len({path.stem for path in folder.glob("*.py")} - {"__init__"}) <= 12


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_azure_is_met_at_the_edges_only(module: Path) -> None:
    """The Azure SDKs are imported where the product meets Azure, and nowhere else."""
    if any(each.split(".")[0] == "azure" for each in imports(module)):
        assert name(module) in AZURE_MODULES


def documented(tree: ast.AST) -> list[str]:
    """Return the docstrings of a module and of its classes and functions."""
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, kinds)]


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_docstrings_name_their_subject(module: Path) -> None:
    """No docstring and no message begins with "What" or "Whether": each names a thing."""
    tree = ast.parse(module.read_text("utf-8"))
    strings = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    for text in (*documented(tree), *strings):
        assert not text.startswith(("What ", "Whether ", "Return what ", "Return whether "))


def test_the_architecture_shows_the_floors() -> None:
    """ARCHITECTURE.md lists every part on its floor."""
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d) \| ([^|]+) \|", text, re.MULTILINE)
    shown = {int(floor): set(re.findall(r"`(\w+)`", parts)) for floor, parts in rows}
    assert shown == dict(enumerate(FLOORS))
