"""Reads requirements.txt, and limits it to one Python on Linux x86-64, as in Azure."""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# The values of environment markers in Azure, beside the version of Python.
AZURE = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "sys_platform": "linux",
}


@dataclass(frozen=True)
class Pin:
    """One entry of a lock: a requirement of one version, and "sha256:..." of each of its files."""

    requirement: Requirement
    hashes: list[str]

    @property
    def name(self) -> str:
        """Return the package's name in its normalised spelling."""
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        """Return the only version that the entry accepts."""
        (specifier,) = self.requirement.specifier
        return specifier.version

    def applies(self, python: str) -> bool:
        """Return True if the entry is installed in Azure on a Python such as "3.13"."""
        marker = self.requirement.marker
        on = AZURE | {"python_version": python, "python_full_version": f"{python}.0"}
        return marker is None or marker.evaluate(on)


def supported_pythons(root: Path) -> list[str]:
    """Return the versions of Python that pyproject.toml lists; the last one is deployed."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    return [text.rpartition(" ")[2] for text in project["classifiers"]]


def read_lock(lock: Path) -> list[Pin]:
    """Return the pins of a lock."""
    text = re.sub(r"^ *#.*\n", "", lock.read_text("utf-8"), flags=re.MULTILINE)
    pins = []
    for line in text.replace("\\\n", "").splitlines():
        requirement, *hashes = re.split(r" +--hash=", line.rstrip())
        pins.append(Pin(Requirement(requirement), hashes))
    return pins


def requirements_text(pins: Iterable[Pin]) -> str:
    """Return a requirements file of pins without markers, which accepts wheels only."""
    entries = (
        " \\\n    ".join([f"{pin.name}=={pin.version}", *(f"--hash={each}" for each in pin.hashes)])
        for pin in pins
    )
    return "\n".join(["--only-binary :all:", *entries, ""])
