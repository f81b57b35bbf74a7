"""Microsoft's language service for KQL, which binds queries without a workspace."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.node import NODE
from tests.servers import installed
from tests.support import ROOT

KQL = ROOT / "tests" / "kql"

Column = dict[str, str]
Schema = Mapping[str, Sequence[Column]]


def language_service() -> Path:
    """Return where the language service is installed; skips the test where it cannot be."""
    return installed(KQL)


def bind_queries(
    packages: Path, texts: Sequence[str], *, tables: Schema, functions: Schema | None = None
) -> list[Any]:
    """Return the diagnostics and result columns of each query.

    `functions` take one string and return a table of the columns given.
    """
    asked = {"tables": tables, "functions": functions or {}, "queries": texts}
    answer = subprocess.run(
        [NODE, KQL / "analyze.js", packages.parent],
        input=json.dumps(asked),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return list(json.loads(answer.stdout))
