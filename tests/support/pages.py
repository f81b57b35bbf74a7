"""The pages that people read, and how to take them apart."""

import re
from pathlib import Path

from tests.support import ROOT

PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
    for path in (
        *sorted(ROOT.glob("*.md")),
        *sorted((ROOT / "docs").glob("*.md")),
        ROOT / "tests" / "recorded" / "README.md",
    )
}
# Files that documents name before the commit that adds them.
NOT_YET = {"detection/ranking/operation_catalog.csv"}


def section(page: str, title: str) -> str:
    """Return the text of a page between a heading and the next."""
    return re.split(r"\n#+ ", PAGES[page].split(f"# {title}\n", 1)[1])[0]


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of code of a page that are in a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGES[page], re.DOTALL)


def prose(page: str) -> str:
    """Return a page without its blocks of code and its comments."""
    return re.sub(r"```.*?```|<!--.*?-->", "", PAGES[page], flags=re.DOTALL)


def exists(path: Path) -> bool:
    """Return True for a file of the project, or one that is still to come."""
    return path.exists() or path.resolve().relative_to(ROOT).as_posix() in NOT_YET
