"""What several processes need and only one of them has to make."""

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path


def made_once(home: Path, fill: Callable[[], None]) -> None:
    """Make the folder `home` and fill it, unless that was done before.

    The first process to ask does it while others wait; where filling fails, the next one tries
    again from an empty folder.
    """
    done = home / ".done"
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed, or the process ends
        if not done.exists():
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()
            fill()
            done.touch()
