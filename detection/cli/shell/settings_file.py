"""`--settings`: takes settings from a file such as local.settings.json."""

import json
import os
from pathlib import Path
from typing import Any

import click

from detection.cli.options import path_option
from detection.errors import SettingsError


def _use_settings(context: click.Context, option: click.Parameter, path: Path | None) -> None:
    """Put the values of the file into the environment, where Azure's clients find theirs, too.

    Like `func`, a variable that is set and not empty keeps its value.
    """
    del context, option
    if path is None:
        return
    for name, value in read_settings_file(path).items():
        if not os.environ.get(name):
            os.environ[name] = value


settings_option = path_option(
    "--settings",
    metavar="FILE",
    expose_value=False,
    callback=_use_settings,
    help="Take settings from this file, such as local.settings.json; the environment comes first.",
)


def read_settings_file(path: Path) -> dict[str, str]:
    """Return the `Values` of a file in the form of local.settings.json; raises SettingsError."""
    try:
        # Visual Studio writes a byte order mark.
        document: Any = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise SettingsError(
            f"--settings {path} cannot be read: {error.strerror}: give a file like "
            "local.settings.json"
        ) from error
    except ValueError as error:
        raise SettingsError(
            f"--settings {path} is not JSON: {error}: give a file like local.settings.json"
        ) from error
    if not isinstance(document, dict) or not isinstance(document.get("Values"), dict):
        raise SettingsError(
            f'--settings {path} has no object "Values": give a file like local.settings.json'
        )
    if document.get("IsEncrypted"):
        raise SettingsError(
            f"--settings {path} is encrypted: run `func settings decrypt` in its folder, or set "
            "the variables in the environment"
        )
    wrong = [name for name, value in document["Values"].items() if isinstance(value, dict | list)]
    if wrong:
        raise SettingsError(
            f"--settings {path}: the value of {', '.join(wrong)} is not a text: write each value "
            "in quotation marks"
        )
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in document["Values"].items()
        if value is not None
    }
