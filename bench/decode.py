"""The baseline: read a recorded folder and decode its JSON, nothing more.

No detection over this JSON can be faster in Python, so the cost of a run is given as a multiple of
it. `python -m bench.decode DIR` prints the seconds without the start and end of the process.
"""

import gc
import sys
import time
from pathlib import Path

import orjson


def main(folder: Path) -> float:
    """Decode every file of the folder, one at a time, and return the seconds."""
    # The garbage collector would cost a quarter more; a slower baseline would flatter the product.
    gc.disable()
    started = time.perf_counter()
    for path in sorted(folder.glob("*.json")):
        orjson.loads(path.read_bytes())
    return time.perf_counter() - started


if __name__ == "__main__":
    print(main(Path(sys.argv[1])))
