"""The tables that a query reads."""

import re
from collections.abc import Collection, Iterator

_NAME = r"([A-Za-z_]\w*)"
_BEFORE_PIPE = re.compile(rf"\(\s*{_NAME}\s*(?=\|)")
_STATEMENT = re.compile(rf"(?:\A|;|\blet\s+\w+\s*=)\s*{_NAME}\s*(?=\||;|\Z)")
_UNION = re.compile(r"\bunion\b(?:\s+\w+\s*=\s*\w+)*")
_OPERAND = re.compile(rf"[\s(]*{_NAME}\s*(?![\w(])")
_TEXT_OR_COMMENT = re.compile(r"//.*|@?\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'")


def missing_tables(text: str, known: Collection[str]) -> list[str]:
    """Return the tables of a query that are neither known nor defined by a `let`, in order."""
    text = _TEXT_OR_COMMENT.sub(lambda found: "" if found[0][0] == "/" else '""', text)
    defined = {*re.findall(r"\blet\s+(\w+)\s*=", text), *known}
    found = [
        *_STATEMENT.findall(text),
        *_BEFORE_PIPE.findall(text),
        *(name for union in _UNION.finditer(text) for name in _operands(text[union.end() :])),
    ]
    return [name for name in dict.fromkeys(found) if name not in defined]


def _operands(text: str) -> Iterator[str]:
    """Yield the names with which the operands of a union begin; the text begins after the word."""
    operand, depth = "", 0
    for character in f"{text};":
        depth += (character == "(") - (character == ")")
        if depth >= 0 and (depth or character not in ",|;"):
            operand += character
            continue
        if match := _OPERAND.match(operand):
            yield match[1]
        if depth < 0 or character != ",":
            return
        operand = ""
