"""Evaluates the expressions of a portal form, in the functions that the project's form uses.

Such an expression is also JavaScript, so Node.js evaluates it. The functions have the meaning of
https://learn.microsoft.com/azure/azure-resource-manager/managed-applications
/create-uidefinition-functions. Only `coalesce`, `empty` and `equals` take a value that is not
there; the portal may forgive more.
"""

import json
import re
import subprocess
from collections.abc import Mapping
from typing import Any

from scripts.node import NODE

# JavaScript knows more signs than the portal.
EXPRESSION = re.compile(r"\[(?:'[^'\\]*'|\w+|=>|[().,]|\s)+\]")
FUNCTIONS = r"""
const { location, values, expressions } = JSON.parse(require("fs").readFileSync(0));
const a = (type, value) => {
  if (typeof value !== type) throw new TypeError(`${value} is not a ${type}`);
  return value;
};
const text = value => a("string", value);
const functions = {
  location: () => location,
  basics: element => values[""][element],
  steps: step => values[step],
  coalesce: (...given) => given.find(each => each != null),
  empty: value => value == null || Object.keys(value).length === 0,
  equals: (one, other) => one === other,
  not: flag => !a("boolean", flag),
  int: value => Number.parseInt(text(value), 10),
  parse: value => JSON.parse(text(value)),
  concat: (...parts) => parts.map(text).join(""),
  replace: (value, old, by) => text(value).split(text(old)).join(text(by)),
  split: (value, by) => text(value).split(text(by)),
  filter: (items, keeps) => items.filter(each => a("boolean", keeps(each))),
};
const evaluated = Object.entries(expressions).map(([name, expression]) => [
  name,
  new Function(...Object.keys(functions), `return ${expression.slice(1, -1)}`)(
    ...Object.values(functions),
  ),
]);
console.log(JSON.stringify(Object.fromEntries(evaluated)));
"""


def evaluate(
    expressions: Mapping[str, str], values: Mapping[str, Mapping[str, Any]], location: str
) -> dict[str, Any]:
    """Return the values of expressions by name.

    `values` has the value of each element by step, and the basics as step "". An element without a
    value is None. Raises ValueError for an expression that has no value.
    """
    for name, expression in expressions.items():
        if not EXPRESSION.fullmatch(expression):
            raise ValueError(f"{name}: {expression} is no expression of a form")
    answer = subprocess.run(
        [NODE, "-e", FUNCTIONS],
        input=json.dumps({"location": location, "values": values, "expressions": expressions}),
        capture_output=True,
        check=False,
        encoding="utf-8",
    )
    if answer.returncode:
        raise ValueError(answer.stderr)
    return dict(json.loads(answer.stdout))
