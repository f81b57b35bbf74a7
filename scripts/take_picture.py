"""Takes the README's screenshot of the demo's report: `make docs`."""

import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from detection.cli.main import main
from tests.support.chromium import FONTS, NoLetters, look

ROOT = Path(__file__).parent.parent
VIEW = {"name": "README", "width": 960, "height": 760, "dark": False}


def take_picture(target: Path, fonts: Path = FONTS) -> None:
    """Run the demo, open its report, and save a screenshot if the page shows text."""
    with tempfile.TemporaryDirectory() as folder:
        page, picture = Path(folder, "report.html"), Path(folder, "report.png")
        if status := main(["demo", "--json", "--report", str(page)]):
            sys.exit(status)
        try:
            look(page, [VIEW | {"shot": str(picture)}], fonts)
        except (NoLetters, pytest.skip.Exception, pytest.fail.Exception) as error:
            sys.exit(f"No picture was taken: {error}")
        shutil.copyfile(picture, target)


if __name__ == "__main__":
    take_picture(ROOT / "docs" / "report.png")
