"""Writes the scheduled rule of Microsoft Sentinel to infra/sentinel, with the default settings."""

from pathlib import Path

from detection.rule.filters import RuleSettings
from detection.sentinel.rule import as_arm, as_yaml
from detection.settings import SETTINGS

FOLDER = Path(__file__).parent.parent / "infra" / "sentinel"


def files() -> dict[str, str]:
    """Return the text of each file by its name."""
    alias = SETTINGS["WATCHLIST_ALIAS"].default
    return {
        "ManagedIdentityImpact.yaml": as_yaml(RuleSettings(), alias),
        "ManagedIdentityImpact.json": as_arm(RuleSettings(), alias),
    }


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text, "utf-8")
