"""A cache of a function's results: logs repeat few values very often."""

from collections.abc import Callable, Hashable
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Memo(dict[K, V]):
    """A dict from arguments to a function's results, filled on access."""

    def __init__(self, function: Callable[[K], V]) -> None:
        super().__init__()
        self._function = function

    def __missing__(self, key: K) -> V:
        """Call the function and keep its result."""
        value = self[key] = self._function(key)
        return value
