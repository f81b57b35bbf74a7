"""The README is short, and shows what the program really prints."""

import re

from tests.support import run_on_terminal
from tests.support.pages import PAGES, blocks

README = PAGES["README.md"]


def test_it_takes_ten_minutes() -> None:
    """The README has at most 200 lines and 1,800 words."""
    assert len(README.splitlines()) <= 200
    assert len(README.split()) <= 1800


def test_the_sample_is_what_the_demo_prints() -> None:
    """The lines shown of the demo are lines that it prints, one after the other."""
    (sample,) = blocks("README.md", "text")
    printed = run_on_terminal("demo")[0].splitlines()
    shown = sample.splitlines()
    starts = [at for at, line in enumerate(printed) if line.rstrip() == shown[0]]
    assert len(shown) >= 15
    assert shown in [[line.rstrip() for line in printed[at : at + len(shown)]] for at in starts], (
        "\n".join(printed)
    )


def test_it_leads_to_every_page() -> None:
    """Every other page is linked from the README."""
    linked = set(re.findall(r"\]\(([^)#:]+)", README))
    assert PAGES.keys() - {"README.md"} <= linked
