"""Microsoft's language service for KQL, which binds queries without a workspace."""

import contextlib
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scripts.node import NODE
from tests.support import ROOT
from tests.support.services.servers import installed

KQL = ROOT / "tests" / "support" / "node" / "kql"

Column = dict[str, str]
Schema = Mapping[str, Sequence[Column]]


class LanguageService:
    """The language service in a process of its own, for any number of requests."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def bind(
        self, texts: Sequence[str], *, tables: Schema, functions: Schema | None = None
    ) -> list[Any]:
        """Return the diagnostics and result columns of each query.

        `functions` take one string and return a table of the columns given.
        """
        request = {"tables": tables, "functions": functions or {}, "queries": texts}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the language service ended, and what it said is on stderr")
        return list(json.loads(answer))


@contextlib.contextmanager
def running() -> Iterator[LanguageService]:
    """Run the service, which takes a second to start; skip the test if it cannot be installed."""
    packages = installed(KQL)
    with subprocess.Popen(
        [NODE, KQL / "analyze.js", packages.parent],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        yield LanguageService(process)
