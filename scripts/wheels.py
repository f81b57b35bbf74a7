"""Downloads the app's dependencies as wheels for Azure, checks them by hash and reads their files.

pip picks the wheels for the deployed Python on Linux x86-64, on any machine. They are kept in .venv
until the lock changes, and checked again at each use.
"""

import hashlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from stat import S_ISLNK
from zipfile import ZipFile, ZipInfo

from packaging.utils import parse_wheel_filename

from scripts.lock import Pin, requirements_text
from scripts.once import make_once

# The wheels that a Linux with glibc 2.28 or newer accepts. pip takes each name literally, and
# manylinux2014 for the older ones too.
PLATFORMS = (
    *(f"manylinux_2_{minor}_x86_64" for minor in range(28, 16, -1)),
    "manylinux2014_x86_64",
)


class UnusableWheels(Exception):
    """The wheels could not be downloaded, or are not those of the lock.

    `unreachable` is True only if the package index could not be reached.
    """

    def __init__(self, message: str, *, unreachable: bool = False) -> None:
        super().__init__(message)
        self.unreachable = unreachable


def download(pins: Sequence[Pin], python: str) -> Path:
    """Return a folder with the wheels of pins for a Python such as "3.13".

    The first process downloads them, others wait. Raises UnusableWheels.
    """
    text = requirements_text(pins)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    home = Path(sys.prefix) / f"wheels-{python.replace('.', '')}-{digest}"

    def fill() -> None:
        lock = home / "requirements.txt"
        lock.write_text(text, "utf-8")
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-input"),
                *("--disable-pip-version-check", "--no-deps", "--require-hashes"),
                *("--only-binary", ":all:", "--implementation", "cp", "--python-version", python),
                *(f"--platform={platform}" for platform in PLATFORMS),
                *("--dest", str(home), "--requirement", str(lock)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise UnusableWheels(
                f"the wheels for Python {python} could not be downloaded:\n{done.stderr}",
                unreachable="from versions: none" in done.stderr,
            )

    make_once(home, fill)
    return home


def check(pins: Sequence[Pin], folder: Path) -> dict[Path, Pin]:
    """Return each wheel of a folder with its pin, limited to the hash of that wheel.

    Raises UnusableWheels unless the folder has one wheel of each pin, with one of its hashes.
    """
    by_name = {pin.name: pin for pin in pins}
    checked = {}
    for path in sorted(folder.glob("*.whl")):
        name, version, _, _ = parse_wheel_filename(path.name)
        digest = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
        pin = by_name.pop(name, None)
        if pin is None or pin.version != str(version) or digest not in pin.hashes:
            raise UnusableWheels(f"{path} is not a wheel of requirements.txt. Remove {folder}.")
        checked[path] = replace(pin, hashes=[digest])
    if by_name:
        raise UnusableWheels(f"{folder} has no wheel of {', '.join(by_name)}. Remove the folder.")
    return checked


def files(wheel: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file of a wheel; commands, which pip would make, are none.

    Raises UnusableWheels if a file is hidden, a link, or for another place than site-packages.
    """
    with ZipFile(wheel) as archive:
        for entry in archive.infolist():
            if entry.is_dir():
                continue
            if not _belongs_in_site_packages(entry):
                raise UnusableWheels(f"{wheel.name} holds {entry.filename!a}, which is not packed.")
            yield entry.filename, archive.read(entry)


def _belongs_in_site_packages(entry: ZipInfo) -> bool:
    """Return True for a regular file that is neither hidden, compiled nor installed elsewhere."""
    parts = entry.filename.split("/")
    return not (
        S_ISLNK(entry.external_attr >> 16)
        or "\\" in entry.filename
        or any(part.startswith(".") or part in {"", "__pycache__"} for part in parts)
        or parts[0].endswith(".data")
    )
