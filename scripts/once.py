"""Creates a folder once for several processes."""

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path


def make_once(home: Path, fill: Callable[[], None]) -> None:
    """Create the folder `home` and fill it, unless an earlier call did.

    The first process does it while others wait. If filling fails, the next process starts again
    with an empty folder.
    """
    done = home / ".done"
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released when the file is closed or the process ends
        if not done.exists():
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()
            fill()
            done.touch()
