"""Writes YAML, as far as the scheduled rule needs it."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

# Texts without quotes; those that YAML reads as other values are none.
PLAIN = re.compile(
    r"(?!(?:true|false|yes|no|on|off|null)$)[A-Za-z][\w .,/()-]*[\w)]|\d+[mhd]",
    re.ASCII | re.IGNORECASE,
)


def to_yaml(values: Mapping[str, Any]) -> str:
    """Write values that are texts, whole numbers, truth values, and lists or mappings of these.

    A text of several lines, with an end of line after each, becomes a literal block.
    """
    return "".join(f"{line}\n" for line in _mapping(values))


def _mapping(values: Mapping[str, Any]) -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield f"{key}:"
            yield from (f"  {line}" for line in _mapping(value))
        elif isinstance(value, list):
            yield f"{key}:"
            yield from _list(value)
        elif isinstance(value, str) and "\n" in value:
            yield f"{key}: |"
            yield from (f"  {line}" for line in value.splitlines())
        else:
            yield f"{key}: {_scalar(value)}"


def _list(values: list[Any]) -> Iterator[str]:
    for value in values:
        lines = list(_mapping(value)) if isinstance(value, Mapping) else [_scalar(value)]
        yield f"  - {lines[0]}"
        yield from (f"    {line}" for line in lines[1:])


def _scalar(value: object) -> str:
    """Write a text without quotes if it cannot be taken for anything else."""
    if isinstance(value, str) and PLAIN.fullmatch(value):
        return value
    return json.dumps(value)
