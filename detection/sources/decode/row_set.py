"""The rows of one file or answer, decoded and not yet turned into the rows of a table."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple


class RowSet(NamedTuple):
    """Rows in batches: arrays of values if the columns are listed in `names`, else objects.

    `form` names the format for people. `warning` is a sentence about rows that the file may lack.
    `empty_is_null`: the format has no other way to write null than an empty text.
    """

    form: str
    names: Sequence[Any] | None
    batches: Iterable[list[Any]]
    warning: str = ""
    empty_is_null: bool = False

    def objects(self) -> Iterator[list[dict[str, Any]]]:
        """Yield the batches as objects; arrays must have a value for each column."""
        for rows in self.batches:
            if self.names is None:
                yield rows
            else:
                yield [dict(zip(self.names, row, strict=True)) for row in rows]
