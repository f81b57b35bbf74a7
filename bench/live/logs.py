"""The logs of a workspace, in files ordered by bucket, so that an answer is a slice of a file.

They are generated once, like the recorded folders; a folder's name has a hash of its sources.
"""

import json
import random
import sys
import zlib
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench import population, rows
from bench.cases import Case
from bench.generate import create_folder, hashed_folder
from detection.kql.constants import BUCKETS

SIGN_INS, OPERATIONS = "AADManagedIdentitySignInLogs", "AzureActivity"
TABLES = {
    SIGN_INS: (rows.SIGN_IN_COLUMNS, rows.sign_ins),
    OPERATIONS: (rows.OPERATION_COLUMNS, rows.operations),
}
CASES = {
    case.name: case
    for case in (
        Case("live-small", rows=5_000, identities=1_000),
        Case("live-half", rows=1_000_000, identities=20_000),
        Case("live", rows=2_000_000, identities=20_000),
    )
}


class Part(NamedTuple):
    """The place of a bucket's rows in their file, and their number."""

    start: int
    stop: int
    rows: int


def bucket_of(identity: str) -> int:
    """Return the bucket of an identity's rows; any even distribution works."""
    return zlib.crc32(identity.encode()) % BUCKETS


def folder_of(case: Case) -> Path:
    """Return the folder of the case's files, which may not exist yet."""
    return hashed_folder(case, __file__, population.__file__, rows.__file__)


def generate(case: Case) -> Path:
    """Return the folder of the case's files, and generate it if it does not exist."""
    folder = folder_of(case)
    if not folder.exists():
        create_folder(folder, case, partial(_write_all, case))
    return folder


def _write_all(case: Case, folder: Path) -> None:
    identities = population.populate(case)
    for table in TABLES:
        sys.stderr.write(f"{case.name}: {table}\n")
        _write(case, table, identities, folder)


def parts_of(folder: Path, table: str) -> dict[int, Part]:
    """Return the place of each bucket's rows."""
    found = json.loads((folder / f"{table}.parts").read_text("utf-8"))
    return {int(bucket): Part(*part) for bucket, part in found.items()}


def _write(case: Case, table: str, identities: Sequence[population.Identity], folder: Path) -> None:
    """Write a table's rows in the order of buckets, and the place of each bucket."""
    source = random.Random(f"{table} of {case.name}")
    by_bucket: defaultdict[int, list[population.Identity]] = defaultdict(list)
    for identity in population.draw(case, list(identities), source):
        by_bucket[bucket_of(identity.id)].append(identity)
    _, rows_of = TABLES[table]
    parts: dict[int, Part] = {}
    with (folder / f"{table}.rows").open("wb") as file:
        for bucket, drawn in sorted(by_bucket.items()):
            start = file.tell()
            # The queries leave the last column empty, as all of these events have ids.
            kept = (f'{row[: row.rindex(",")]},""]' for row in rows_of(drawn, source, mixed=False))
            file.write(",".join(kept).encode())
            parts[bucket] = Part(start, file.tell(), len(drawn))
            file.write(b",")
    (folder / f"{table}.parts").write_text(json.dumps(parts), "utf-8")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        generate(CASES[name])
