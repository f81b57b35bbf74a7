"""Recorded folders for the benchmarks: the same bytes on every machine, generated once.

A folder's name contains a hash of the case and of the code that generates it, so an outdated folder
is never measured. `python -m bench.generate CASE...` is a process of its own, because a measured
child process would inherit the peak memory of a parent that generates.
"""

import hashlib
import os
import random
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from bench import cases, population, rows
from bench.cases import CASES, Case

DATA = Path(__file__).parent / "data"
CHUNK = 20_000


def folder_of(case: Case) -> Path:
    """Return the case's recorded folder, which may not exist yet."""
    return hashed_folder(case, __file__, cases.__file__, population.__file__, rows.__file__)


def generate(case: Case) -> Path:
    """Return the case's recorded folder, and generate it if it does not exist."""
    folder = folder_of(case)
    if folder.exists():
        return folder
    started = time.monotonic()
    create_folder(folder, case, partial(write_tables, case))
    size = sum(file.stat().st_size for file in folder.iterdir())
    _say(f"{case.name}: {size / 1e6:.1f} MB in {time.monotonic() - started:.1f} s\n")
    return folder


def hashed_folder(case: Case, *sources: str) -> Path:
    """Return a folder for a case whose name depends on the case and on the source files."""
    digest = hashlib.sha256(repr(case).encode())
    for source in sources:
        digest.update(Path(source).read_bytes())
    return DATA / f"{case.name}-{digest.hexdigest()[:12]}"


def create_folder(folder: Path, case: Case, fill: Callable[[Path], None]) -> None:
    """Create a case's folder and remove older ones.

    It appears whole or not at all; an unfinished folder keeps another name.
    """
    DATA.mkdir(exist_ok=True)
    # The pattern skips cases whose names only begin the same.
    for stale in DATA.glob(f"{case.name}-[0-9a-f]*"):
        shutil.rmtree(stale)
    unfinished = DATA / f"{folder.name}.{os.getpid()}.partial"
    unfinished.mkdir()
    fill(unfinished)
    unfinished.rename(folder)


def write_tables(case: Case, folder: Path) -> None:
    """Write the case's recorded tables into a folder."""
    identities = population.populate(case)
    source = random.Random(f"rows of {case.name}")
    for table, columns, rows_of in (
        ("AADManagedIdentitySignInLogs", rows.SIGN_IN_COLUMNS, rows.sign_ins),
        ("AzureActivity", rows.OPERATION_COLUMNS, rows.operations),
    ):
        drawn = population.draw(case, identities, source)
        chunks = _chunks(drawn, f"{case.name}: {table}")
        texts = (",".join(rows_of(chunk, source, mixed=case.mixed)) for chunk in chunks)
        _write(folder / f"{table}.json", columns, texts)
    entries = (f'["{entry}"]' for entry in rows.ALLOWLIST)
    _write(folder / "NetworkAllowlist.json", ("IPOrRange",), entries)


def _write(path: Path, columns: Iterable[str], texts: Iterable[str]) -> None:
    """Write a Log Analytics API response; each text is one row or several."""
    types = {"TimeGenerated": "datetime"}
    names = ",".join(
        f'{{"name":"{name}","type":"{types.get(name, "string")}"}}' for name in columns
    )
    with path.open("wb") as file:
        file.write(f'{{"tables":[{{"name":"PrimaryResult","columns":[{names}],"rows":['.encode())
        comma = ""
        for text in texts:
            file.write((comma + text).encode())
            comma = ","
        file.write(b"]}]}")


def _chunks(drawn: list[population.Identity], label: str) -> Iterator[list[population.Identity]]:
    """Yield the identities of the rows in chunks of bounded size, and print the progress."""
    for start in range(0, len(drawn), CHUNK):
        if sys.stderr.isatty():
            _say(f"\r\033[K{label} {100 * start // len(drawn)} %")
        yield drawn[start : start + CHUNK]
    _say(f"\r\033[K{label} done\n" if sys.stderr.isatty() else f"{label} done\n")


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


if __name__ == "__main__":
    for wanted in sys.argv[1:]:
        generate(CASES[wanted])
