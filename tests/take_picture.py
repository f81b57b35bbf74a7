"""Takes the README's picture of the demo's report: `make docs`."""

import tempfile
from pathlib import Path

from detection.cli import main
from tests.chromium import look

ROOT = Path(__file__).parent.parent
VIEW = {"name": "README", "width": 960, "height": 760, "dark": False}


def take_picture() -> None:
    """Run the demo, open its report, and keep what is seen of it."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        main(["demo", "--json", "--report", str(page)])
        look(page, [VIEW | {"shot": str(ROOT / "docs" / "report.png")}])


if __name__ == "__main__":
    take_picture()
